"""Stale answers are served at once and refreshed once, in rows of the gateway's own."""

import asyncio

from hapenny.config import load
from hapenny.core.errors import Failure
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.simulation.loop import clock, run
from tests.server.house import Scripted

CONFIG = """
backends: {simulated: {kind: simulated}}
ledger: null
stages: {exact: {ttl_s: 60, stale_s: 600}}
routes: {default: {preset: safe, holdout: 0}}
"""


class Slow(Scripted):
    """Takes a second, and fails while it is `ill`."""

    ill = False

    async def call(self, request, target, limits):
        await asyncio.sleep(1.0)
        if self.ill:
            self.asked.append((request, target))
            raise Failure("upstream", "ill")
        return await super().call(request, target, limits)


async def ask(gateway):
    request = Request(
        protocol="openai",
        model="strong",
        messages=(Message("user", (Text("What is the toll?"),)),),
        parameters=Parameters(temperature=0.0),
    )
    _, exchange = await gateway.complete(request, Context())
    return exchange.cache


def story(backend, then):
    """Runs `then(gateway, rows)` where one answer is stored and past its lifetime."""

    async def main():
        rows = []
        async with Gateway(load(text=CONFIG), clock=clock(), backends={"simulated": backend}) as gateway:
            gateway.parts.exchanges.observe(lambda exchange, row: rows.append(row))
            assert not (await ask(gateway)).hit
            await asyncio.sleep(61)
            await then(gateway, rows)

    run(main())


def test_many_are_served_the_stale_answer_and_one_refresh_renews_it():
    backend = Slow()

    async def then(gateway, rows):
        served = await asyncio.gather(*(ask(gateway) for _ in range(5)))
        assert [cache.detail for cache in served] == ["stale"] * 5
        await gateway.settled()
        assert len(backend.asked) == 2
        fresh = await ask(gateway)
        assert (fresh.hit, fresh.detail) == (True, "")
        refresh = [row for row in rows if row.background]
        assert [(row.background, row.baseline) for row in refresh] == [("refresh", 0)]

    story(backend, then)


def test_a_slow_reader_of_the_stale_answer_begins_no_second_refresh():
    backend = Slow()

    async def then(gateway, rows):
        first = Request(
            protocol="openai",
            model="strong",
            messages=(Message("user", (Text("What is the toll?"),)),),
            parameters=Parameters(temperature=0.0),
        )
        exchange = gateway.open(first, Context())
        answer = await gateway.answer(exchange)
        assert (await ask(gateway)).detail == "stale"
        await gateway.settled()
        await answer.collect()
        gateway.close(exchange)
        await gateway.settled()
        assert len(backend.asked) == 2

    story(backend, then)


def test_a_refresh_that_fails_leaves_the_stale_answer_and_the_next_one_tries_again():
    backend = Slow()

    async def then(gateway, rows):
        backend.ill = True
        assert (await ask(gateway)).detail == "stale"
        await gateway.settled()
        failed = len(backend.asked)
        assert failed > 1
        assert (await ask(gateway)).detail == "stale"
        await gateway.settled()
        assert len(backend.asked) > failed

    story(backend, then)
