import json

import aiohttp
import msgspec
import pytest
from click.testing import CliRunner

from hapenny.cli.doctor import doctor, write
from hapenny.cli.index import index
from hapenny.config import load
from hapenny.protocols.known_errors import ROWS
from hapenny.protocols.pasted_errors import explain
from hapenny.throughput.service_quotas import parse
from tests.server.house import SONNET as SERVED
from tests.server.house import Scripted, failure, serving
from tests.server.test_clients import off_loop

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"


def run(*arguments):
    return CliRunner().invoke(doctor, list(arguments))


def config(tmp_path, regions):
    path = tmp_path / "hapenny.yaml"
    path.write_text(f"stages:\n  throughput:\n    models:\n      {regions}\n")
    return str(path)


def test_a_sound_configuration_shows_where_models_may_be_served(tmp_path):
    done = run("-c", config(tmp_path, f'"{SONNET}": {{regions: {{source: eu-west-1, residency: anywhere}}}}'))
    assert done.exit_code == 0, done.output
    assert f"eu.{SONNET}" in done.output
    assert f"global.{SONNET}" in done.output


def test_provisioned_with_a_profile_is_found(tmp_path):
    wrong = f'"us.{SONNET}": {{regions: {{source: us-east-1, provisioned: "arn:aws:bedrock:us-east-1:1:pm/x"}}}}'
    done = run("-c", config(tmp_path, wrong))
    assert done.exit_code == 1
    assert "provisioned throughput cannot be used" in done.output


def test_guardrails_are_told_and_what_about_them_surprises(tmp_path):
    path = tmp_path / "hapenny.yaml"
    path.write_text("routes: {default: {stages: {guard_input: on}}, shop: {stages: {guard_output: shadow}}}\n")
    done = run("-c", str(path))
    assert "route default: guardrails: guard_input on" in done.output
    assert "answers are not read in shadow" in done.output
    assert done.exit_code == 1


def test_a_denied_region_is_explained():
    message = (
        "is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:eu-west-3::foundation-model/x "
        "with an explicit deny in a service control policy"
    )
    done = run("--error", message, "--model", f"eu.{SONNET}")
    assert done.exit_code == 1
    assert "allow every region of the 'eu' profile" in done.output
    assert run("--error", "something else").exit_code == 1


def test_quotas_are_read_by_model():
    found = parse(
        [
            {
                "QuotaName": "Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4.5",
                "Value": 400000.0,
                "Adjustable": True,
                "QuotaCode": "L-1",
            },
            {"QuotaName": "On-demand InvokeModel requests per minute for Amazon Nova Lite", "Value": 200.0},
            {"QuotaName": "Number of custom models", "Value": 5.0},
        ]
    )
    assert [(f.scope, f.field, f.model, f.value) for f in found] == [
        ("cross-region", "tokens_per_minute", "Anthropic Claude Sonnet 4.5", 400000.0),
        ("on-demand", "requests_per_minute", "Amazon Nova Lite", 200.0),
    ]


def test_quotas_are_written_as_configuration(tmp_path):
    entries = [
        ("Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4.5 V1", 400000.0),
        ("Cross-region model inference requests per minute for Anthropic Claude Sonnet 4.5 V1", 200.0),
        ("On-demand model inference tokens per minute for Somebody Else 9", 1.0),
    ]
    found = parse([{"QuotaName": name, "Value": value} for name, value in entries])
    write(found, "eu-west-1", str(tmp_path / "quotas.yaml"))
    models = load(tmp_path / "quotas.yaml").stages.throughput.models
    assert list(models) == [f"eu.{SONNET}"]
    quota = models[f"eu.{SONNET}"].quota
    assert (quota.tokens_per_minute, quota.requests_per_minute) == (400_000, 200)
    assert run("--write", str(tmp_path / "x.yaml")).exit_code == 2


async def test_a_running_gateway_says_what_holds_calls_back(tmp_path):
    backend = Scripted(failure=failure("rate_limited", retry_after=30.0))
    async with serving(tmp_path, backend, preset="safe") as (url, _):
        calm = await off_loop(run, "--url", url)
        assert (calm.exit_code, calm.output.strip()) == (0, "nothing holds calls back now")
        async with aiohttp.ClientSession() as session:
            body = {"model": SERVED, "messages": [{"role": "user", "content": "Toll?"}]}
            async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
                assert answer.status == 429
                assert 25 < float(answer.headers["retry-after"]) < 60
        told = await off_loop(run, "--url", url)
        assert "the provider refuses calls for lack of quota; it is asked again in" in told.output


@pytest.mark.parametrize(
    ("message", "kind", "fix"),
    [
        (
            "An error occurred (AccessDeniedException) when calling the Converse operation: no access",
            "provider_account",
            "access",
        ),
        (
            "AccessDeniedException: you don't have access to the model",
            "provider_account",
            "access",
        ),
        (
            "Error code: 429 - {'error': {'message': 'You exceeded your current quota', 'type': 'insufficient_quota', "
            "'code': 'insufficient_quota'}}",
            "provider_account",
            "credit",
        ),
        ('{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', "overloaded", "tried again"),
        (
            "openai.BadRequestError: Error code: 400 - {'error': {'message': \"maximum context length is 8192 "
            "tokens\", 'code': 'context_length_exceeded'}}",
            "context_overflow",
            "window",
        ),
        (
            "botocore.errorfactory.ThrottlingException: An error occurred (ThrottlingException) when calling Converse "
            "operation: Too many tokens, please wait.",
            "rate_limited",
            "quota",
        ),
        ("HTTP/1.1 529 ", "overloaded", "tried again"),
        ("503 Service Unavailable", "overloaded", "tried again"),
        ('{"error": {"code": "tokens", "message": "slow"}}', "rate_limited", "quota"),
    ],
)
def test_providers_errors_are_explained_as_they_are_pasted(message, kind, fix):
    done = run("--error", message)
    assert done.exit_code == 1
    assert done.output.startswith(f"{kind}: ")
    assert fix in done.output.partition("Fix:")[2]


def test_words_of_everyday_are_no_codes():
    assert "nothing in this message is known" in run("--error", "the tokens and requests went out").output


def test_every_row_of_the_table_is_known_as_a_body():
    for row in ROWS:
        status = row.status[0] if row.status else 400
        body = msgspec.json.encode({"error": {"type": row.code, "message": row.text}}).decode()
        known = explain(f"Error code: {status} - {body}")
        assert known is not None, row
        assert known.fix


FALLBACK = """
backends: {simulated: {kind: simulated, card: current-2026}}
fallbacks: {strong: [%s]}
ledger: null
"""


def test_every_fallback_is_proved(tmp_path):
    path = tmp_path / "hapenny.yaml"
    path.write_text(FALLBACK % "fast")
    done = run("-c", str(path))
    assert done.exit_code == 0, done.output
    assert "fallback of strong on route default" in done.output
    assert "throttle, outage, account, context overflow, content filter" in done.output


def test_a_fallback_that_cannot_help_is_told(tmp_path):
    path = tmp_path / "hapenny.yaml"
    path.write_text(FALLBACK % "strong")
    done = run("-c", str(path), "--json")
    assert done.exit_code == 1
    problems = json.loads(done.output)["problems"]
    assert {each["path"] for each in problems} == {"$.fallbacks.strong"}


def test_a_provider_without_a_key_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    path = tmp_path / "hapenny.yaml"
    path.write_text("backends: {oa: {kind: openai}}\ntiers: {fast: gpt-4.1-mini, strong: gpt-4.1}\nledger: null\n")
    done = run("-c", str(path))
    assert done.exit_code == 1
    assert "$.backends.oa.api_key: api.openai.com wants a key. Fix: export OPENAI_API_KEY" in done.output


def test_a_model_without_a_price_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    path = tmp_path / "hapenny.yaml"
    path.write_text("backends: {oa: {kind: openai}}\ntiers: {fast: gpt-9-nano, strong: gpt-4.1}\nledger: null\n")
    done = run("-c", str(path))
    assert done.exit_code == 1
    assert "$.tiers.fast" in done.output


def test_a_collection_that_another_embedder_made_is_told_before_the_start(tmp_path):
    guide = tmp_path / "guide.md"
    guide.write_text("# Lamps\n\nA lamp has two years of warranty.\n")
    kb, file = tmp_path / "kb", tmp_path / "hapenny.yaml"
    built = CliRunner().invoke(index, ["build", str(kb), str(guide), "--embedder", "hashed"])
    assert built.exit_code == 0, built.output
    file.write_text(f"backends: {{simulated: {{kind: simulated}}}}\ncollections: {{kb: {{path: {kb}}}}}\n")
    told = run("-c", str(file))
    assert told.exit_code == 1
    assert "holds vectors of hashed-512" in told.output
    file.write_text(file.read_text() + "stages: {semantic: {embedder: hashed}}\n")
    assert "holds vectors" not in run("-c", str(file)).output


def test_a_folder_without_a_collection_is_told(tmp_path):
    file = tmp_path / "hapenny.yaml"
    file.write_text(f"backends: {{simulated: {{kind: simulated}}}}\ncollections: {{kb: {{path: {tmp_path}}}}}\n")
    told = run("-c", str(file))
    assert told.exit_code == 1
    assert f"hapenny index build {tmp_path}" in told.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tiers: {strong: nova-pro}\nfallbacks: {strong: [no-such-model]}", "$.fallbacks.strong[0]"),
        ("ledger: {path: hapenny.yaml/ledger.db}", "$.ledger.path"),
        (f"  bedrock: {{kind: bedrock, region: us-east-1}}\ntiers: {{strong: eu.{SONNET}}}", "from us-east-1"),
        ("stages: {arms: {file: broken.json}}", "broken.json"),
    ],
)
def test_what_the_start_or_the_first_fallback_would_refuse_is_told(tmp_path, monkeypatch, text, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{oops")
    (tmp_path / "hapenny.yaml").write_text(f"backends:\n  simulated: {{kind: simulated}}\n{text}\n")
    told = run("-c", "hapenny.yaml")
    assert told.exit_code == 1
    assert words in told.output
