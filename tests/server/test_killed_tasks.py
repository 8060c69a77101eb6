"""Whatever goes on beside requests is killed once, and goes on: health says so, metrics count it."""

import asyncio
import re

import aiohttp
import openai

from tests.jobs.test_service import finished, handed_in, jobs, lines
from tests.server.house import SONNET, Scripted, serving

OPEN = {"model": SONNET, "temperature": 0}


class Gone(BaseException):
    """Not even an `Exception`."""


def once(monkeypatch, owner, name, error):
    """The next call of a method raises."""
    real = getattr(owner, name)

    def broken(*args, **rest):
        monkeypatch.setattr(owner, name, real)
        raise error

    monkeypatch.setattr(owner, name, broken)


async def failures(session, url):
    async with session.get(f"{url}/metrics") as answer:
        text = await answer.text()
    return {name: float(n) for name, n in re.findall(r'hapenny_task_failures_total\{task="(.+)"\} (\S+)', text)}


async def reasons(session, url):
    async with session.get(f"{url}/health") as answer:
        assert answer.status == 200
        return " ".join((await answer.json()).get("reasons", []))


async def ask(session, url, text, **more):
    body = {"messages": [{"role": "user", "content": text}], **OPEN, **more}
    async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
        await answer.read()
        return answer.status


async def test_the_ledgers_writer(tmp_path, monkeypatch):
    async with serving(tmp_path, Scripted(), preset="safe") as (url, app), aiohttp.ClientSession() as session:
        ledger = app.gateway.ledger
        once(monkeypatch, ledger.file, "insert", ArithmeticError("a number of somebody's"))
        assert await ask(session, url, "one") == 200
        async with asyncio.timeout(20):
            while not ledger.guard.failures:
                await asyncio.sleep(0.02)
            assert await ask(session, url, "two") == 200
            assert "ledger writer" in await reasons(session, url)
            while ledger.waiting:
                await asyncio.sleep(0.02)
        assert ledger.written == 2
        assert (await failures(session, url))["ledger writer"] == 1


async def test_batch_jobs(tmp_path, monkeypatch):
    extra = jobs(tmp_path).partition("keys:")[0]
    async with (
        serving(tmp_path, Scripted(), preset="safe", extra=extra) as (url, app),
        aiohttp.ClientSession() as session,
    ):
        once(monkeypatch, app.services.batches.engine, "step", KeyError("no such part"))
        api = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0)
        batch = await finished(api, (await handed_in(api, lines())).id)
        assert batch.request_counts.completed == 3
        assert (await failures(session, url))["batch jobs"] == 1
        assert "batch jobs" in await reasons(session, url)


async def test_a_call_that_requests_share(tmp_path):
    backend = Scripted(after=ArithmeticError("a bug of ours"), events=[])
    async with serving(tmp_path, backend, preset="safe") as (url, _), aiohttp.ClientSession() as session:
        statuses = await asyncio.gather(*(ask(session, url, "the same") for _ in range(5)))
        assert set(statuses) == {500}
        assert (await failures(session, url))["calls that requests share"] >= 1
        backend.after, backend.events = None, Scripted().events
        assert await ask(session, url, "the same") == 200
