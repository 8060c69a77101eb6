"""A wrong configuration is refused at start with path, value and fix."""

from pathlib import Path

import jsonschema
import pytest

from hapenny.config import ConfigError, load, manual
from hapenny.gateway.gateway import Gateway

WRONG = {
    "nonsense: 1": ("$.nonsense", "unknown key"),
    "server: {prot: 80}": ("$.server.prot", "unknown key"),
    "server: {port: eighty}": ("$.server.port", "'eighty'"),
    "routes: {default: {holdout: 2}}": ("$.routes.default.holdout", "2"),
    "routes: {default: {stages: {exakt: on}}}": ("$.routes.default.stages", ""),
    "routes: {default: {stages: {exakt: 'on'}}}": ("$.routes.default.stages.exakt", "unknown stage"),
    "routes: {default: {stages: {exact: maybe}}}": ("$.routes.default.stages.exact", "one of off, on, shadow"),
    "routes: {default: {preset: fast}}": ("$.routes.default.preset", "one of balanced, demo, safe"),
    "tiers: {huge: x}": ("$.tiers.huge", "unknown tier"),
    "aliases: {a: b, b: a}": ("$.aliases.a", "circle"),
    "default_backend: mars": ("$.default_backend", "'mars'"),
    "models: {m: {id: us.anthropic.claude-x, provisioned: true}}": ("$.models.m", "provisioned"),
    "models: {m: {id: x, backend: mars}}": ("$.models.m.backend", "'mars'"),
    "stages: {throughput: {retry: {tries: 9}}}": ("$.stages.throughput.retry", "9"),
    "keys: [{key: short}]": ("$.keys[0].key", "shorter"),
    "keys: [{key: long-enough, routes: [none]}]": ("$.keys[0]", "'none'"),
    "backends: {b: {kind: bedrock, lifetime_s: 5}}": ("$.backends.b.lifetime_s", "5"),
    "backends: {b: {kind: openai, base_url: api.example.com/v1}}": ("$.backends.b.base_url", "no http address"),
    "backends: {b: {kind: bedrock, base_url: 'http://a b'}}": ("$.backends.b.base_url", "no http address"),
    "server: {tls_certificate: /nowhere.pem}": ("$.server.tls_certificate", "nowhere"),
    "[1, 2]": ("$", "list"),
    "a: [": ("configuration", "YAML"),
    "server: {host: '${HAPENNY_NOT_SET}'}": ("$.server.host", "HAPENNY_NOT_SET"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_named_with_its_fix(text):
    with pytest.raises(ConfigError) as caught:
        load(text=text)
    path, what = WRONG[text]
    problem = "\n".join(caught.value.problems)
    assert path in problem
    assert what in problem
    assert "Fix:" in problem


def test_a_tier_that_names_no_model_is_said_to_be_the_fault():
    with pytest.raises(ConfigError, match=r"\$\.tiers\.strong: 'claude-nine'"):
        Gateway(load(text="tiers: {strong: claude-nine}"))


def test_nothing_at_all_is_a_configuration():
    config = load()
    assert set(config.tiers) == {"fast", "balanced", "strong", "max"}
    assert config.backends["simulated"].kind == "simulated"


def test_environment_fills_in_values(monkeypatch):
    monkeypatch.setenv("HAPENNY_TEST_HOST", "0.0.0.0")
    config = load(text="server: {host: '${HAPENNY_TEST_HOST}', port: 9}\nfingerprint_key: '${NOPE:-fallback}'")
    assert (config.server.host, config.fingerprint_key) == ("0.0.0.0", "fallback")


def test_temperature_with_top_p_is_refused_where_the_model_refuses_both():
    with pytest.raises(ConfigError, match="top_p"):
        load(
            text="""
backends: {b: {kind: bedrock}}
models: {m: {id: anthropic.claude-opus-4-5-20251101-v1:0, parameters: {temperature: 0.5, top_p: 0.9}}}
"""
        )


def test_every_option_has_a_meaning_and_the_page_is_up_to_date():
    assert [option.path for option in manual.options() if not option.meaning] == []
    page = Path(__file__).parent.parent / "docs" / "configuration.md"
    assert page.read_text(encoding="utf-8") == manual.markdown(), "hapenny options --markdown > docs/configuration.md"


def test_editors_get_a_schema_that_takes_our_files_and_refuses_slips():
    schema = manual.schema()
    jsonschema.validate({"routes": {"default": {"preset": "balanced"}}, "server": {"port": 9000}}, schema)
    for slip in ({"server": {"port": "many"}}, {"rout": {}}, {"routes": {"default": {"preset": "fast"}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(slip, schema)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stages: {exact: {max_mb: 0.01}}", r"\$\.stages\.exact: max_mb: 0\.01"),
        ("stages: {exact: {ttl_s: -5}}", r"\$\.stages\.exact: ttl_s: -5"),
        ("stages: {semantic: {similarity: 7}}", r"\$\.stages\.semantic: similarity: 7"),
        ("stages: {semantic: {audit_share: 0.5}}", r"\$\.stages\.semantic: audit_share: 0\.5"),
        ("stages: {flights: {max_flights: -1}}", r"\$\.stages\.flights: max_flights: -1"),
        ("edge: {shared_s: -1}", r"\$\.edge: shared_s: -1"),
    ],
)
def test_what_a_cache_cannot_be_is_refused_at_start(text, says):
    with pytest.raises(ConfigError, match=says):
        load(text=text)
