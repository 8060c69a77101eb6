"""Gateways of two versions over one PostgreSQL and one Redis, upgraded one after the other under traffic."""

import asyncio
import contextlib

import aiohttp
import psycopg
import pytest

from hapenny.config import load
from hapenny.stores.postgres_link import Step
from hapenny.telemetry import ledger_postgres
from tests.caching.test_safety_cases import Shop
from tests.server.house import running

pytestmark = [pytest.mark.redis, pytest.mark.postgres]

CONFIG = """
backends: {{simulated: {{kind: simulated}}}}
fingerprint_key: the same for all of them
auth: open
routes: {{default: {{holdout: 0, preset: safe}}}}
shared: {redis}
ledger: {{path: "{postgres}"}}
"""
NEWER = [*ledger_postgres.STEPS, Step("ALTER TABLE requests ADD COLUMN tomorrow TEXT")]


async def test_nothing_fails_and_nothing_is_lost_while_they_are_upgraded(redis_url, postgres_dsn, monkeypatch):
    text = CONFIG.format(redis=redis_url, postgres=postgres_dsn)
    asked: list[str] = []

    @contextlib.asynccontextmanager
    async def gateway(newer=False):
        if newer:
            monkeypatch.setattr(ledger_postgres, "STEPS", NEWER)
        shop = Shop()
        async with running(load(text=text), {"simulated": shop}) as (url, _):
            yield url, shop

    async def ask(session, url, question, hit=None):
        body = {"model": "strong", "temperature": 0, "messages": [{"role": "user", "content": question}]}
        async with session.post(url + "/v1/chat/completions", json=body) as answer:
            assert answer.status == 200, await answer.text()
            asked.append(answer.headers["x-request-id"])
            if hit is not None:
                assert ("hit" in answer.headers["cache-status"]) is hit

    async with aiohttp.ClientSession() as session, contextlib.AsyncExitStack() as stays:
        old, _ = await stays.enter_async_context(gateway())
        async with gateway() as (leaving, _):
            await ask(session, leaving, "asked of an old one", hit=False)
            await ask(session, old, "asked of an old one", hit=True)
        new, _ = await stays.enter_async_context(gateway(newer=True))
        await ask(session, new, "asked of an old one", hit=True)
        await ask(session, new, "asked of a new one", hit=False)
        await ask(session, old, "asked of a new one", hit=True)
        await asyncio.gather(*(ask(session, url, f"mixed {n}") for n in range(20) for url in (old, new)))
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        kept = {id for (id,) in connection.execute("SELECT id FROM requests")}
        (version,) = connection.execute("SELECT version FROM hapenny_schema WHERE name = 'ledger'").fetchone()
    assert set(asked) <= kept
    assert version == len(NEWER)
