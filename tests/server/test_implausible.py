"""A report of usage that cannot be true reaches neither books nor quotas, and a task that fails is said by health."""

import asyncio

import aiohttp
import pytest

from hapenny.core.events import BlockStarted, BlockStopped, Started, Stopped, TextDelta, Tokens, Usage
from tests.server.house import SONNET, Scripted, serving

QUOTA = f"stages: {{throughput: {{models: {{'{SONNET}': {{quota: {{tokens_per_minute: 400000}}}}}}}}}}"


def answer(usage, accepted=None):
    return [
        Started("msg_1", SONNET, tokens=accepted),
        BlockStarted(0, "text"),
        TextDelta("Half a penny.", 0),
        BlockStopped(0),
        Stopped("end_turn"),
        Usage(usage),
    ]


def ask(text, **more):
    message = {"role": "user", "content": text}
    return {"model": SONNET, "messages": [message], "temperature": 1, "max_tokens": 50, **more}


@pytest.mark.parametrize(
    "usage",
    [
        Tokens(input=2**64 - 1, output=3),
        Tokens(input=12, output=10**9),
        Tokens(input=12, cache_read=2**62, output=3),
        Tokens(input=12, output=100_000),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_absurd_report_is_estimated_and_closes_nothing(tmp_path, usage, stream):
    backend = Scripted(answer(usage, Tokens(input=usage.input)))
    async with serving(tmp_path, backend, preset="safe", extra=QUOTA) as (url, app), aiohttp.ClientSession() as client:
        first = await client.post(f"{url}/v1/chat/completions", json=ask("What is it?", stream=stream))
        assert first.status == 200
        await first.read()
        backend.events = answer(Tokens(input=12, output=5))
        others = [await client.post(f"{url}/v1/chat/completions", json=ask(f"And {n}?")) for n in range(5)]
        assert [each.status for each in others] == [200] * 5
        while app.gateway.books.closed < 6:
            await asyncio.sleep(0.01)
        await app.gateway.ledger.flush()
        row = await app.gateway.ledger.get(first.headers["x-request-id"])
        assert not row.reported
        assert row.tokens.output < 1_000
        assert row.tokens.prompt < 1_000
        assert app.gateway.books.implausible >= 1
        assert app.gateway.ledger.waiting == 0


async def test_a_true_report_is_taken_as_it_is(tmp_path):
    usage = Tokens(input=90_000, cache_read=50_000, output=180)
    async with serving(tmp_path, Scripted(answer(usage))) as (url, app), aiohttp.ClientSession() as client:
        reply = await client.post(f"{url}/v1/chat/completions", json=ask("What is it?"))
        while app.gateway.books.closed < 1:
            await asyncio.sleep(0.01)
        row = await app.gateway.ledger.get(reply.headers["x-request-id"])
        assert row.tokens == usage
        assert row.reported


async def test_a_client_that_asks_for_a_huge_answer_leaves_quota_for_others(tmp_path):
    slow = Scripted(answer(Tokens(input=12, output=5)), pause=0.2)
    async with serving(tmp_path, slow, preset="safe", extra=QUOTA) as (url, _), aiohttp.ClientSession() as client:
        greedy = asyncio.create_task(
            client.post(f"{url}/v1/chat/completions", json=ask("All of it", max_tokens=10**9, stream=True))
        )
        while not slow.asked:
            await asyncio.sleep(0.01)
        other = await client.post(f"{url}/v1/chat/completions", json=ask("And I?"))
        assert other.status == 200
        await (await greedy).read()


async def test_health_is_degraded_while_a_background_task_fails(tmp_path):
    async with serving(tmp_path, Scripted()) as (url, app), aiohttp.ClientSession() as client:
        assert (await (await client.get(f"{url}/health")).json())["status"] == "ready"

        async def work():
            raise RuntimeError("constructed")

        app.gateway.parts.tasks.serve("import of quotas", app.gateway.clock, work)
        await asyncio.sleep(0)
        answered = await client.get(f"{url}/health")
        assert answered.status == 200
        health = await answered.json()
        assert health["status"] == "degraded"
        assert "import of quotas" in health["reasons"][0]
