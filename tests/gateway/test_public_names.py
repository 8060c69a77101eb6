"""A model's public names lead to whatever configured backend serves it, in that provider's own words."""

import pytest

from hapenny.config import load
from hapenny.gateway.gateway import Gateway

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
KEYS = "api_key: k"
BACKENDS = {
    "br": f"{{kind: bedrock, region: us-east-1, {KEYS}}}",
    "eu": f"{{kind: bedrock, region: eu-west-1, {KEYS}}}",
    "an": f"{{kind: anthropic, {KEYS}}}",
    "oa": f"{{kind: openai, {KEYS}}}",
    "vllm": "{kind: openai, base_url: 'http://127.0.0.1:9/v1'}",
    "sim": "{kind: simulated}",
}


def names(backends, models="", default=None, tiers="{strong: claude-sonnet-4-5}"):
    lines = ["ledger: null", "backends:"] + [f"  {name}: {BACKENDS[name]}" for name in backends.split()]
    lines += [f"default_backend: {default or backends.split()[0]}", f"tiers: {tiers}"]
    if models:
        lines += ["models:"] + [f"  {line}" for line in models.splitlines()]
    return Gateway(load(text="\n".join(lines))).names


@pytest.mark.parametrize(
    ("backends", "name", "backend", "id"),
    [
        ("br", "claude-sonnet-4-5", "br", f"us.{SONNET}"),
        ("br", "claude-sonnet-4-5-20250929", "br", f"us.{SONNET}"),
        ("br", "claude-sonnet-4-5-latest", "br", f"us.{SONNET}"),
        ("br", "anthropic/claude-sonnet-4.5", "br", f"us.{SONNET}"),
        ("eu", "claude-sonnet-4-5[1m]", "eu", f"eu.{SONNET}"),
        ("br", f"global.{SONNET}", "br", f"global.{SONNET}"),
        ("br", f"bedrock/{SONNET}", "br", SONNET),
        ("br", "claude-opus-4-8", "br", "us.anthropic.claude-opus-4-8"),
        ("an", SONNET, "an", "claude-sonnet-4-5-20250929"),
        ("an", f"eu.{SONNET}", "an", "claude-sonnet-4-5-20250929"),
        ("an", "anthropic.claude-3-5-sonnet-20241022-v2:0", "an", "claude-3-5-sonnet-20241022"),
        ("an", "claude-3-5-sonnet-latest", "an", "claude-3-5-sonnet-latest"),
        ("an", "claude-sonnet-9-20300101", "an", "claude-sonnet-9-20300101"),
        ("br an oa", "gpt-4o", "oa", "gpt-4o"),
        ("br an oa", "openai/gpt-4o-mini", "oa", "gpt-4o-mini"),
        ("br an oa", "gpt-99-codex", "oa", "gpt-99-codex"),
        ("br an oa", "text-embedding-3-small", "oa", "text-embedding-3-small"),
        ("oa an", "claude-haiku-4-5-20251001", "an", "claude-haiku-4-5-20251001"),
        ("oa an br", "amazon.nova-lite-v1:0", "br", "amazon.nova-lite-v1:0"),
        ("an br", f"us.{SONNET}", "br", f"us.{SONNET}"),
        ("br an", "claude-sonnet-4-5", "br", f"us.{SONNET}"),
        ("an br", "claude-sonnet-4-5", "an", "claude-sonnet-4-5"),
        ("br an", "an/claude-sonnet-4-5", "an", "claude-sonnet-4-5"),
        ("vllm br", "meta-llama/Llama-3.1-8B-Instruct", "vllm", "meta-llama/Llama-3.1-8B-Instruct"),
        ("vllm br", "claude-sonnet-4-5", "br", f"us.{SONNET}"),
        ("vllm oa", "gpt-4o", "vllm", "gpt-4o"),
        ("sim", "gpt-5", "sim", "gpt-5"),
        ("sim", "anthropic/claude-opus-4.8", "sim", "anthropic.claude-opus-4-8"),
        ("br sim", "claude-sonnet-4-5", "br", f"us.{SONNET}"),
    ],
)
def test_a_name_goes_to_the_backend_that_serves_the_model(backends, name, backend, id):
    target = names(backends).resolve(name).target
    assert (target.backend, target.model) == (backend, id)


@pytest.mark.parametrize(
    "kind",
    [
        "application-inference-profile",
        "provisioned-model",
        "custom-model-deployment",
        "imported-model",
        "prompt-router",
    ],
)  # fmt: skip
def test_arns_that_say_nothing_go_to_bedrock_in_their_own_region(kind):
    arn = f"arn:aws:bedrock:eu-central-1:123456789012:{kind}/a1b2c3d4"
    target = names("an oa br").resolve(arn).target
    assert (target.backend, target.model, target.region) == ("br", arn, "eu-central-1")


PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x1"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
CONFIGURED = f"""
quick: {{id: us.{SONNET}, backend: br, service_tier: flex}}
sonnet: {{id: global.{SONNET}, backend: br}}
own: {{id: claude-haiku-4-5, backend: an}}
profile: {{id: "{PROFILE}", backend: br, card: claude-opus-4-8}}
""".strip()


@pytest.mark.parametrize(
    ("name", "backend", "id", "tier"),
    [
        ("claude-sonnet-4-5", "br", f"global.{SONNET}", "standard"),
        (f"us.{SONNET}", "br", f"us.{SONNET}", "standard"),
        (f"eu.{SONNET}", "br", f"eu.{SONNET}", "standard"),
        ("quick", "br", f"us.{SONNET}", "flex"),
        ("claude-haiku-4-5-20251001", "an", "claude-haiku-4-5", "standard"),
        (HAIKU, "br", HAIKU, "standard"),
        ("claude-opus-4-8", "br", PROFILE, "standard"),
    ],
)  # fmt: skip
def test_a_configured_model_is_meant_before_any_other(name, backend, id, tier):
    target = names("oa br an", CONFIGURED).resolve(name).target
    assert (target.backend, target.model, target.service_tier) == (backend, id, tier)


def test_a_simulated_provider_has_no_model_that_nobody_knows():
    assert names("sim").resolve("claude-sonnet-99").target is None
