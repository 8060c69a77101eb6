"""Quotas at the near bank: shared by gateways, and refusals as each official client sees them."""

import asyncio
import contextlib
from urllib.parse import urlsplit

import aiohttp
import anthropic
import botocore.exceptions
import openai
import pytest

from hapenny.config import ConfigError, load
from tests.fault_proxy import proxied
from tests.server.house import SONNET, Scripted, serving
from tests.server.test_clients import ASK, aio, ant, bedrock, off_loop

# One request an hour refills: what is taken stays taken for the length of a test.
QUOTA = """
stages:
  throughput:
    gate: {patience_s: 0.3}
    models: {%s: {quota: {requests_per_minute: %d, window: refill}}}
"""


def quota(requests):
    return QUOTA % (SONNET, requests)


async def test_two_gateways_share_one_quota(tmp_path, redis_url):
    extra = quota(6) + f"counters: {redis_url}\n"
    backends = [Scripted(), Scripted()]
    async with contextlib.AsyncExitStack() as stack:
        urls = []
        for name, backend in zip("ab", backends, strict=True):
            folder = tmp_path / name
            folder.mkdir()
            url, _ = await stack.enter_async_context(serving(folder, backend, preset="safe", extra=extra))
            urls.append(url)
        refused = 0
        for turn in range(12):
            try:
                await aio(urls[turn % 2]).chat.completions.create(
                    model=SONNET, messages=[{"role": "user", "content": f"Toll {turn}?"}]
                )
            except openai.RateLimitError:
                refused += 1
        served = sum(len(backend.asked) for backend in backends)
        assert refused == 12 - served
        assert 6 <= served <= 8  # the quota, and what may refill meanwhile
        assert all(backend.asked for backend in backends)


async def test_without_sharing_each_gateway_has_its_own(tmp_path):
    backend = Scripted()
    async with serving(tmp_path, backend, preset="safe", extra=quota(2)) as (url, _):
        for turn in range(2):
            await aio(url).chat.completions.create(
                model=SONNET, messages=[{"role": "user", "content": f"Toll {turn}?"}]
            )
        with pytest.raises(openai.RateLimitError):
            await aio(url).chat.completions.create(model=SONNET, messages=[{"role": "user", "content": "Toll 3?"}])


async def test_counters_outlive_a_reload(tmp_path, redis_url):
    from hapenny.gateway.gateway import Gateway

    backend = Scripted()
    async with serving(tmp_path, backend, preset="safe", extra=quota(1) + f"counters: {redis_url}\n") as (url, app):
        await aio(url).chat.completions.create(model=SONNET, messages=ASK)
        await app.swap(Gateway(app.gateway.config, backends={"simulated": backend}, previous=app.gateway))
        with pytest.raises(openai.RateLimitError):
            await aio(url).chat.completions.create(model=SONNET, messages=[{"role": "user", "content": "Again?"}])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_shed_request_is_each_clients_own_429(tmp_path, stream):
    backend = Scripted()
    async with serving(tmp_path, backend, preset="safe", extra=quota(1)) as (url, _):
        await aio(url).chat.completions.create(model=SONNET, messages=[{"role": "user", "content": "First"}])
        with pytest.raises(openai.RateLimitError) as by_openai:
            await aio(url).chat.completions.create(model=SONNET, messages=ASK, stream=stream)
        assert _wait(by_openai.value.response.headers)
        with pytest.raises(anthropic.RateLimitError) as by_anthropic:
            await ant(url).messages.create(model=SONNET, messages=ASK, max_tokens=50, stream=stream)
        assert by_anthropic.value.body["error"]["type"] == "rate_limit_error"
        assert _wait(by_anthropic.value.response.headers)
        client = bedrock(url)
        call = client.converse_stream if stream else client.converse
        with pytest.raises(client.exceptions.ThrottlingException) as by_bedrock:
            await off_loop(call, modelId=SONNET, messages=[{"role": "user", "content": [{"text": "Toll?"}]}])
        answered = by_bedrock.value.response["ResponseMetadata"]
        assert answered["HTTPStatusCode"] == 429
        assert _wait(answered["HTTPHeaders"])
        assert len(backend.asked) == 1  # nothing was sent that would have been refused


def _wait(headers):
    """Milliseconds until the client may come back: of a quota of one a minute, most of it, spread by a fifth."""
    return 30_000 < int(headers["retry-after-ms"]) <= 72_000


FULL = """
stages:
  throughput:
    gate: {patience_s: 0.3}
    models: {%s: {limit: {kind: fixed, initial: 1}}}
"""


async def test_full_servers_are_each_clients_own_503(tmp_path):
    backend = Scripted(pause=1.0)
    async with serving(tmp_path, backend, preset="safe", extra=FULL % SONNET) as (url, _):
        first = await aio(url).chat.completions.create(
            model=SONNET, messages=[{"role": "user", "content": "First"}], stream=True
        )
        with pytest.raises(openai.InternalServerError) as by_openai:
            await aio(url).chat.completions.create(model=SONNET, messages=ASK)
        assert by_openai.value.status_code == 503
        assert int(by_openai.value.response.headers["retry-after-ms"]) > 0
        with pytest.raises(anthropic.APIStatusError) as by_anthropic:
            await ant(url).messages.create(model=SONNET, messages=ASK, max_tokens=50)
        assert by_anthropic.value.status_code in (503, 529)
        assert by_anthropic.value.body["error"]["type"] == "overloaded_error"
        assert int(by_anthropic.value.response.headers["retry-after-ms"]) > 0
        with pytest.raises(botocore.exceptions.ClientError) as by_bedrock:
            await off_loop(
                bedrock(url).converse, modelId=SONNET, messages=[{"role": "user", "content": [{"text": "Toll?"}]}]
            )
        assert by_bedrock.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        await first.close()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("counters: memcached://x", r"\$\.counters: 'memcached://x' is no store.*Fix: memory, or redis://"),
        ("counters: 'redis//:secret@x'", r"\$\.counters"),
        (
            "counters: redis://127.0.0.1:6379/0\nroutes: {default: {stages: {throughput: off}}}",
            r"\$\.counters: .*used by no route.*Fix",
        ),
    ],
)
def test_contradictions_are_refused_at_start(extra, said):
    with pytest.raises(ConfigError, match=said) as found:
        load(text=extra)
    assert "secret" not in str(found.value)


def test_a_missing_extra_is_refused_at_start(monkeypatch):
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "redis" else there(name))
    with pytest.raises(ConfigError, match=r"\$\.counters: .*pip install 'hapenny\[redis\]'"):
        load(text="counters: redis://127.0.0.1:6379/0")


async def test_what_the_stage_knows_is_shown(tmp_path):
    backend = Scripted()
    async with serving(tmp_path, backend, preset="safe", extra=quota(5)) as (url, _):
        await aio(url).chat.completions.create(model=SONNET, messages=ASK)
        async with aiohttp.ClientSession() as http, http.get(f"{url}/v1/throughput") as answer:
            (route,) = (await answer.json())["routes"]
        assert route["model"] == SONNET
        assert route["totals"]["granted"] == 1
        (endpoint,) = route["endpoints"]
        assert endpoint["health"] == "closed"
        assert endpoint["quota"]["requests_per_minute"] == 5


async def test_a_counter_store_that_hangs_keeps_nobody_from_an_answer(tmp_path, redis_url):
    address = urlsplit(redis_url)
    backend = Scripted()
    async with proxied(address.hostname, address.port) as proxy:
        extra = quota(6000) + f"counters: redis://127.0.0.1:{proxy.port}/0\n"
        async with serving(tmp_path, backend, preset="safe", extra=extra) as (url, _):

            async def ask(turn):
                body = {"model": SONNET, "messages": [{"role": "user", "content": f"Toll {turn}?"}]}
                async with (
                    aiohttp.ClientSession() as session,
                    session.post(f"{url}/v1/chat/completions", json=body) as answer,
                ):
                    return answer.status

            assert await ask(0) == 200
            proxy.hang()
            async with asyncio.timeout(60):
                assert set(await asyncio.gather(*(ask(turn) for turn in range(1, 80)))) == {200}
            proxy.go_on()
            assert await ask(100) == 200
        assert len(backend.asked) == 81
