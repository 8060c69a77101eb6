"""Equal questions at once through HTTP, when clients come and go."""

import asyncio
import json

import aiohttp
import pytest

from hapenny.config import load
from hapenny.core.events import BlockStarted, Started, Stopped, TextDelta, Usage
from tests.caching.test_safety_cases import USAGE, Shop
from tests.server.house import running
from tests.settling import eventually

CONFIG = """
ledger: null
backends: {simulated: {kind: simulated}}
routes: {default: {holdout: 0, preset: safe}}
"""
BODY = {"model": "strong", "temperature": 0, "messages": [{"role": "user", "content": "when do you open"}]}
SAID = "the answer to when do you open"


def readers(app):
    stages = [stage for stage in app.gateway.parts.pipelines["default"].stages if stage.name == "flights"]
    return sum(flight.readers for flight in stages[0].flights.values())


@pytest.fixture
async def house():
    shop = Shop()
    shop.gate = asyncio.Event()
    async with running(load(text=CONFIG), {"simulated": shop}) as (url, app), aiohttp.ClientSession() as session:

        def ask(stream=False):
            async def asked():
                async with session.post(url + "/v1/chat/completions", json={**BODY, "stream": stream}) as answer:
                    return answer.status, answer.headers, await answer.text()

            return asyncio.create_task(asked())

        yield shop, app, ask


async def test_the_rest_is_answered_and_stored_when_the_first_client_leaves(house):
    shop, app, ask = house
    first = ask()
    await eventually(lambda: shop.calls == 1)
    rest = [ask(stream) for stream in (False, True, False)]
    await eventually(lambda: readers(app) == 4)
    first.cancel()
    await eventually(lambda: readers(app) == 3)
    shop.gate.set()
    answers = await asyncio.gather(*rest)
    assert shop.calls == 1
    assert all(status == 200 and "collapsed" not in headers for status, headers, _ in answers)
    assert json.loads(answers[0][2])["choices"][0]["message"]["content"] == SAID
    (entry,) = app.gateway.shared.answers
    assert entry.value.model == answers[0][1]["x-hapenny-model"] == answers[1][1]["x-hapenny-model"]
    status = (await ask())[1]["cache-status"]
    assert "; hit" in status
    assert "detail=exact" in status


async def test_nobody_left_means_no_call_goes_on_and_nothing_is_stored(house):
    shop, app, ask = house
    asked = [ask(stream) for stream in (False, True)]
    await eventually(lambda: shop.calls == 1 and readers(app) == 2)
    for each in asked:
        each.cancel()
    await eventually(lambda: readers(app) == 0)
    shop.gate.set()
    assert len(app.gateway.shared.answers) == 0
    shop.gate = None
    assert (await ask())[0] == 200
    assert shop.calls == 2


async def test_a_cut_answer_is_cut_for_all_and_kept_for_none(house):
    shop, app, ask = house
    shop.events = [Started("id", "m"), BlockStarted(0, "text"), TextDelta("half an", 0)]
    asked = [ask(stream) for stream in (True, True, True)]
    await eventually(lambda: readers(app) == 3)
    shop.gate.set()
    answers = await asyncio.gather(*asked)
    assert all("ended before its closing event" in text for _, _, text in answers), "each is told"
    assert not any("[DONE]" in text for _, _, text in answers)
    shop.events, shop.gate = None, None
    assert len(app.gateway.shared.answers) == 0
    assert SAID in (await ask())[2]


async def test_a_follower_keeps_an_answer_under_the_evidence_it_rests_on(house):
    shop, app, ask = house
    shop.events = [Started("id", "m"), TextDelta("as the manual says", 0), Stopped("end_turn"), Usage(USAGE.tokens)]
    first = ask()
    await eventually(lambda: shop.calls == 1)
    follower = ask()
    await eventually(lambda: readers(app) == 2)
    stage = next(each for each in app.gateway.parts.pipelines["default"].stages if each.name == "flights")
    (flight,) = stage.flights.values()
    flight.exchange.answer.evidence = (("manual", "7"),)
    first.cancel()
    await eventually(lambda: readers(app) == 1)
    shop.gate.set()
    await follower
    (entry,) = app.gateway.shared.answers
    assert "doc:manual@7" in entry.tags
