"""What the semantic layer costs: its judge stands in the ledger, and a layer that loses money stops."""

import asyncio
import contextlib

import aiohttp
import pytest

from hapenny.caching.profit import LayerProfit
from hapenny.config import load
from hapenny.config.problems import ConfigError
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.telemetry.rows import Row
from tests.log_lines import log_lines
from tests.server.house import serving
from tests.settling import settled

JUDGED = {
    "preset": "safe, stages: {semantic: 'on', templates: 'off'}",
    "extra": "stages: {semantic: {judge: fast, embedder: hashed}}",
}


@pytest.fixture
def exits():
    with contextlib.ExitStack() as stack:
        yield stack


async def ask(app, text):
    request = Request(
        protocol="openai",
        model="fast",
        messages=(Message("user", (Text(text),)),),
        parameters=Parameters(temperature=0.0),
    )
    got = await app.gateway.complete(request, Context(tenant="default"))
    for _ in range(20):
        await asyncio.sleep(0)
    await settled(app.gateway)
    return got


async def paraphrases(app):
    for text in (
        "where is my order",
        "where is my order now",
        "where is my parcel order",
        "where is the order of mine",
    ):
        await ask(app, text)


async def test_the_judges_calls_are_rows_of_the_ledger_and_costs_of_the_layer(tmp_path):
    async with serving(tmp_path, **JUDGED) as (_, app):
        rows = []
        app.gateway.parts.exchanges.observe(lambda exchange, row: rows.append(row))
        await paraphrases(app)
        judged = [row for row in rows if row.background == "judge"]
        assert judged
        assert all(row.savings == {"semantic": -row.actual} and row.actual > 0 for row in judged)
        stats = app.gateway.admin.stats()
        assert stats["judging"]["by_model"] > 0
        assert stats["judging"]["cost"] == sum(row.actual for row in judged)
        (books,) = [each for each in stats["returns"] if each["layer"] == "semantic"]
        assert books["judging"] == stats["judging"]["cost"]
        assert books["net"] < 0


async def test_a_semantic_layer_that_loses_money_stops_and_says_so(tmp_path):
    async with serving(tmp_path, **JUDGED) as (_, app):
        layer = app.gateway.shared.profit.layer("semantic", "default")
        await paraphrases(app)
        for _ in range(2_000):
            layer.add(hit=False, embedding=10)
        looked = app.gateway.parts.semantic.stats()["default"].requests
        await ask(app, "where is my order please")
        assert app.gateway.parts.semantic.stats()["default"].requests == looked
        (books,) = [each for each in app.gateway.admin.stats()["returns"] if each["layer"] == "semantic"]
        assert books["stopped"]


async def test_a_losing_layer_stops_in_a_running_gateway_is_seen_and_comes_back(tmp_path, exits):
    async with serving(tmp_path, **JUDGED) as (url, app), aiohttp.ClientSession() as session:
        app.gateway.shared.profit.window = 8
        logs = exits.enter_context(log_lines())
        for number in range(10):
            await ask(app, f"where is my order number {number} please")
        async with session.get(url + "/v1/cache/stats") as answer:
            (books,) = [each for each in (await answer.json())["returns"] if each["layer"] == "semantic"]
        assert books["stopped"]
        assert books["net"] < 0
        assert books["judging"] > 0
        assert books["tries_again_in"] > 0
        async with session.get(url + "/metrics") as answer:
            assert "hapenny_cache_layers_stopped 1.0" in await answer.text()
        looked = app.gateway.parts.semantic.stats()["default"].requests
        await ask(app, "where is my parcel")
        assert app.gateway.parts.semantic.stats()["default"].requests == looked
        async with session.post(url + "/v1/cache/resume", json={"layer": "semantic"}) as answer:
            assert await answer.json() == {"resumed": 1}
        said = [(line["event"], line["technique"]) for line in logs if "cache layer" in line["event"]]
        assert [(event.split()[-1], technique) for event, technique in said] == [
            ("stops", "semantic"), ("again", "semantic"),
        ]  # fmt: skip
        await ask(app, "where is my parcel now")
        assert app.gateway.parts.semantic.stats()["default"].requests == looked + 1
        async with session.post(url + "/v1/cache/resume", json={"layer": "exact"}) as answer:
            assert answer.status == 400


def test_what_a_layer_holds_is_paid_by_the_routes_that_used_it():
    returns = LayerProfit(lambda: {"semantic": 2**40})
    for route, requests in (("busy", 64), ("calm", 32)):
        returns.layer("semantic", route).seen = requests
    for at in (0.0, 3_600.0):
        returns.layer("semantic", "busy").seen = 64
        returns.add("semantic", Row(id="r", wall=at, tenant="t", route="busy"), hit=False, saved=0)
    assert returns.layer("semantic", "busy").books().storage == pytest.approx(1024 * 64 / 96 * 5_000_000, rel=0.05)


@pytest.mark.parametrize("judge", ["auto", "a-model-nobody-knows"])
def test_a_judge_must_be_one_known_model(judge):
    with pytest.raises(ConfigError, match="judge"):
        Gateway(load(text=f"ledger: null\nstages: {{semantic: {{judge: {judge}}}}}"))
