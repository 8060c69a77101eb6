"""The account's quotas, read from Service Quotas and in force in a running gateway."""

import asyncio
import contextlib

import openai
import pytest

from hapenny.cli.simulate import provider
from hapenny.config import ConfigError, QuotaOptions, load
from hapenny.gateway.gateway import Gateway
from hapenny.server.app import App
from tests.settling import eventually

MODEL = "anthropic.claude-haiku-4-5-20251001-v1:0"


@contextlib.asynccontextmanager
async def house(tmp_path, monkeypatch, quotas, *, rpm=4):
    """(client, provider, gateway) over sockets: a gateway before a simulated account."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    account, backend = provider("current-2026", quota=QuotaOptions(rpm=rpm, tpm=1_000_000))
    await account.gateway.start()
    url = f"http://127.0.0.1:{await account.start(port=0)}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_SERVICE_QUOTAS", url)
    text = f"""
backends: {{aws: {{kind: bedrock, region: us-east-1, base_url: "{url}", api_key: any-key-will-do}}}}
tiers: {{strong: {MODEL}}}
routes: {{default: {{holdout: 0}}}}
ledger: {{path: "{tmp_path}/ledger.db"}}
stages: {{throughput: {{gate: {{patience_s: 0.3}}, quotas: {quotas}}}}}
"""
    gateway = Gateway(load(text=text))
    await gateway.start()
    app = App(gateway)
    port = await app.start(port=0)
    client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any", max_retries=0)
    try:
        yield client, backend.provider, gateway
    finally:
        await client.close()
        await app.stop()
        await account.stop()


async def ask(client, number):
    return await client.chat.completions.create(
        model=MODEL, max_tokens=20, messages=[{"role": "user", "content": f"Toll {number}?"}]
    )


async def outcome(client, count):
    found = await asyncio.gather(*(ask(client, n) for n in range(count)), return_exceptions=True)
    return sum(isinstance(each, openai.RateLimitError) for each in found), found


async def imported(gateway):
    await eventually(lambda: gateway.parts.dispatchers.imported)


async def test_imported_quotas_keep_every_refusal_inside(tmp_path, monkeypatch):
    async with house(tmp_path, monkeypatch, "{regions: [us-east-1]}") as (client, simulated, gateway):
        await imported(gateway)
        refused, _ = await outcome(client, 12)
        assert refused == 8
        assert simulated.quota(MODEL).throttled == 0  # the provider was never asked for what it would refuse


async def test_quotas_hold_for_routes_that_were_in_use_before(tmp_path, monkeypatch):
    async with house(tmp_path, monkeypatch, "{}") as (client, simulated, gateway):
        await ask(client, "first")
        from hapenny.throughput.pools import QuotaSpec

        gateway.parts.dispatchers.update_quotas(
            {("us-east-1", MODEL): QuotaSpec(requests_per_minute=3, tokens_per_minute=1_000_000)}
        )
        refused, _ = await outcome(client, 6)
        assert refused == 3
        assert simulated.quota(MODEL).throttled == 0


async def test_without_an_account_requests_are_served(tmp_path, monkeypatch):
    async with house(tmp_path, monkeypatch, "{regions: [us-east-1]}") as (client, _, gateway):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SERVICE_QUOTAS", "http://127.0.0.1:9")
        assert (await ask(client, 1)).choices[0].message.content
        assert gateway is not None


async def test_what_the_doctor_wrote_is_used_as_it_is(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from hapenny.cli.doctor import doctor

    file = tmp_path / "quotas.yaml"
    async with house(tmp_path, monkeypatch, "{}"):
        done = await asyncio.get_running_loop().run_in_executor(
            None, lambda: CliRunner().invoke(doctor, ["--quotas", "--write", str(file)])
        )
        assert done.exit_code == 0, done.output
    async with house(tmp_path, monkeypatch, f'{{file: "{file}"}}') as (client, simulated, _):
        refused, _ = await outcome(client, 10)
        assert refused == 6
        assert simulated.quota(MODEL).throttled == 0


def test_a_file_that_is_none_is_refused_at_start(tmp_path):
    (tmp_path / "q.yaml").write_text("models: {}")
    with pytest.raises(ConfigError, match=r"quotas\.file.*hapenny doctor"):
        load(text=f'stages: {{throughput: {{quotas: {{file: "{tmp_path}/q.yaml"}}}}}}')
