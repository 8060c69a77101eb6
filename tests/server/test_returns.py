"""What the semantic layer costs: its judge stands in the ledger, and a layer that loses money stops."""

import asyncio

import pytest

from hapenny.config import load
from hapenny.config.problems import ConfigError
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway import Gateway
from tests.server.house import serving

JUDGED = (
    "stages: {semantic: {judge: fast, embedder: hashed}}\n"
    "routes: {default: {holdout: 0, stages: {semantic: 'on', templates: 'off'}}}"
)


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
    while app.gateway._tasks:
        await asyncio.wait(app.gateway._tasks, timeout=5)
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
    async with serving(tmp_path, extra=JUDGED) as (_, app):
        rows = []
        observe = app.gateway.deck.observe
        app.gateway.deck.observe = lambda exchange, row: (rows.append(row), observe(exchange, row))
        await paraphrases(app)
        judged = [row for row in rows if row.background == "judge"]
        assert judged
        assert all(row.savings == {"semantic": -row.actual} and row.actual > 0 for row in judged)
        stats = app.gateway.deck.admin.stats()
        assert stats["judging"]["by_model"] > 0
        assert stats["judging"]["cost"] == sum(row.actual for row in judged)
        (books,) = [each for each in stats["returns"] if each["layer"] == "semantic"]
        assert books["judging"] == stats["judging"]["cost"]
        assert books["net"] < 0


async def test_a_semantic_layer_that_loses_money_stops_and_says_so(tmp_path):
    async with serving(tmp_path, extra=JUDGED) as (_, app):
        layer = app.gateway.deck.returns.layer("semantic", "default")
        await paraphrases(app)
        for _ in range(2_000):
            layer.add(hit=False, embedding=10)
        looked = app.gateway.deck.semantic.stats()["default"].requests
        await ask(app, "where is my order please")
        assert app.gateway.deck.semantic.stats()["default"].requests == looked
        (books,) = [each for each in app.gateway.deck.admin.stats()["returns"] if each["layer"] == "semantic"]
        assert books["stopped"]


@pytest.mark.parametrize("judge", ["auto", "a-model-nobody-knows"])
def test_a_judge_must_be_one_known_model(judge):
    with pytest.raises(ConfigError, match="judge"):
        Gateway(load(text=f"ledger: null\nstages: {{semantic: {{judge: {judge}}}}}"))
