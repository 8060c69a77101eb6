import aiohttp
from click.testing import CliRunner

from hapenny.cli.doctor import doctor, write
from hapenny.config import load
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
