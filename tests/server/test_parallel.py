"""`POST /v1/parallel` over a socket."""

import json

import aiohttp
import pytest

from hapenny.config import load
from tests.server.house import running

CONFIG = """
backends: {simulated: {kind: simulated}}
keys: [{key: secret-key, tenant: shop, models: [fast, strong], requests_per_minute: 5}]
routes: {default: {holdout: 0}}
ledger: {path: ":memory:"}
"""
PARTS = [{"question": "What is in volume 1?", "name": "One"}, {"question": "What is in volume 2?", "model": "fast"}]


async def post(url, body, key="secret-key"):
    headers = {"authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url + "/v1/parallel", json=body) as answer,
    ):
        return answer.status, await answer.text()


def events(text):
    pairs = [block.split("\n", 1) for block in text.strip().split("\n\n") if block.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in pairs]


async def test_parts_are_answered_whole_or_streamed_with_what_they_cost():
    async with running(load(text=CONFIG)) as (url, app):
        status, text = await post(url, {"parts": PARTS, "model": "strong", "max_tokens": 60})
        assert status == 200
        whole = json.loads(text)
        assert [part["status"] for part in whole["parts"]] == ["complete", "complete"]
        assert whole["answer"].startswith("**One.** ")
        costs = [float(part["cost_usd"]) for part in whole["parts"]]
        assert float(whole["cost_usd"]) == pytest.approx(sum(costs))
        assert min(costs) > 0
        row = await app.gateway.ledger.get(whole["parts"][0]["request_id"])
        assert row.tags["parallel"] == whole["id"]
        assert row.tenant == "shop"
        status, text = await post(url, {"input": "What is A? What is B?", "model": "fast", "stream": True})
        told = events(text)
        assert {name for name, _ in told} == {"part.delta", "part.done", "answer.delta", "done"}
        done = told[-1][1]
        for number, part in enumerate(done["parts"]):
            said = [body["text"] for name, body in told if name == "part.delta" and body["part"] == number]
            assert "".join(said) == part["answer"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "give parts"),
        ({"parts": PARTS, "input": "x"}, "give parts"),
        ({"parts": PARTS, "width": 0}, "width"),
        ({"parts": PARTS, "hope": 1}, "hope"),
    ],
)
async def test_what_cannot_be_meant_is_refused(body, says):
    async with running(load(text=CONFIG)) as (url, _):
        status, text = await post(url, body)
        assert status == 400
        assert says in text


async def test_each_part_is_held_against_the_keys_models_and_limits():
    async with running(load(text=CONFIG)) as (url, _):
        status, text = await post(url, {"parts": [{"question": "a?", "model": "max"}, PARTS[1]], "model": "fast"})
        assert [part.get("failure", "") for part in json.loads(text)["parts"]] == ["permission", ""]
        status, text = await post(url, {"parts": [{"question": "a?", "model": "max"}]})
        assert status == 403
        status, text = await post(url, {"parts": PARTS * 4, "model": "fast", "width": 1})
        assert "rate_limited" in [part.get("failure", "") for part in json.loads(text)["parts"]]
