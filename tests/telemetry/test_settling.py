"""What a call is said to have cost: as it was served, with all it used, and what is not known is not made up."""

import contextlib

import pytest

from hapenny.config import load
from hapenny.core.errors import Failure
from hapenny.core.events import Started, Stopped, TextDelta, Tokens, Usage
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.simulation.loop import clock, run
from tests.server.house import Scripted

CONFIG = """
backends: {simulated: {kind: simulated}}
ledger: null
models: {big: {id: %s}}
tiers: {strong: big}
routes: {default: {preset: safe, holdout: 0, baseline: strong, stages: {throughput: "off", exact: "off"}}}
"""
SONNET, MINI, HAIKU = "claude-sonnet-4-6", "gpt-5-mini", "anthropic.claude-3-5-haiku-20241022-v1:0"
USED = Tokens(input=1_000, output=200)


def answer(tokens=USED, usage=None, stopped=None, text="There are two hundred pages in it."):
    return [
        Started("m", "m"),
        TextDelta(text, 0),
        Stopped("end_turn", extras=stopped or {}),
        *([Usage(tokens, extras=usage or {})] if tokens is not None else []),
    ]


def row_of(events, model=SONNET, *, after=None, failure=None, stream=True, parameters=None):
    """The row of one request that was answered with `events`, or failed."""
    rows = []

    async def main():
        backend = Scripted(events, after=after, failure=failure)
        async with Gateway(load(text=CONFIG % model), clock=clock(), backends={"simulated": backend}) as gateway:
            gateway.parts.exchanges.observe(lambda exchange, row: rows.append(row))
            request = Request(
                protocol="openai",
                model="strong",
                messages=(Message("user", (Text("How many pages has volume three? " * 20),)),),
                parameters=parameters or Parameters(max_tokens=300),
                stream=stream,
            )
            with contextlib.suppress(Failure):
                await gateway.complete(request, Context())

    run(main())
    return rows[-1]


def cost(row):
    return row.calls[-1].cost


PLAIN = 1_000 * 3_000 + 200 * 15_000


@pytest.mark.parametrize(
    ("usage", "nano", "region"),
    [
        ({}, PLAIN, ""),
        ({"anthropic.usage": {"service_tier": "standard"}}, PLAIN, ""),
        ({"anthropic.usage": {"inference_geo": "us"}}, PLAIN * 11 // 10, "geo:us"),
        ({"anthropic.usage": {"inference_geo": "global"}}, PLAIN, ""),
        ({"anthropic.usage": {"server_tool_use": {"web_search_requests": 3}}}, PLAIN + 30_000_000, ""),
        ({"anthropic.usage": {"server_tool_use": {"web_fetch_requests": 3}}}, PLAIN, ""),
    ],
)
def test_the_price_follows_what_the_answer_says(usage, nano, region):
    row = row_of(answer(usage=usage))
    assert cost(row) == row.actual == nano
    assert row.calls[-1].region == region
    assert row.reported
    # None of it is a technique's doing: without hapenny it would have cost the same.
    assert not row.savings
    assert abs(row.baseline - row.actual - row.estimate_error) == 0


@pytest.mark.parametrize(
    "usage",
    [
        {"anthropic.usage": {"service_tier": "turbo"}},
        {"anthropic.usage": {"speed": "fast"}},
        {"anthropic.usage": {"speed": "faster"}},
        {"anthropic.usage": {"inference_geo": "atlantis"}},
        {"anthropic.usage": {"server_tool_use": {"time_travel_requests": 1}}},
        {"anthropic": {"container": {"id": "c"}}},
    ],
)
def test_what_has_no_known_price_is_unpriced_and_in_no_sum(usage):
    row = row_of(answer(usage=usage))
    assert row.unpriced
    assert row.actual is None
    assert cost(row) is None


def test_fast_mode_costs_double_where_the_model_has_it():
    plain = row_of(answer(), "claude-opus-4-8")
    fast = row_of(answer(usage={"anthropic.usage": {"speed": "fast"}}), "claude-opus-4-8")
    assert cost(fast) == 2 * cost(plain)


@pytest.mark.parametrize(("tier", "factor"), [("flex", 0.5), ("priority", 1.8), ("default", 1.0), ("scale", None)])
def test_openai_says_which_tier_served(tier, factor):
    row = row_of(answer(stopped={"openai": {"service_tier": tier}}), MINI)
    plain = 1_000 * 250 + 200 * 2_000
    assert cost(row) == (None if factor is None else plain * factor)


def test_latency_optimised_inference_has_a_price_of_its_own():
    usage = {"bedrock.usage": {"performanceConfig": {"latency": "optimized"}}}
    assert cost(row_of(answer(usage=usage), HAIKU)) == 1_000 * 1_000 + 200 * 5_000
    usage = {"bedrock.usage": {"performanceConfig": {"latency": "standard"}}}
    assert cost(row_of(answer(usage=usage), HAIKU)) == 1_000 * 800 + 200 * 4_000


def test_units_of_a_guardrail_have_a_price_and_an_unseen_guardrail_has_none():
    metrics = {"usage": {"contentPolicyUnits": 2, "wordPolicyUnits": 5}}
    trace = {"guardrail": {"inputAssessment": {"g": {"invocationMetrics": metrics}}}}
    row = row_of(answer(usage={"bedrock.usage": {"trace": trace}}), HAIKU)
    assert cost(row) == 1_000 * 800 + 200 * 4_000 + 2 * 150_000


# -- calls that report nothing -----------------------------------------------------------------------------------


def test_a_whole_answer_that_is_cut_is_estimated_and_never_nothing():
    row = row_of(answer(None)[:2], stream=False)
    assert row.calls[-1].provenance == "estimated"
    assert cost(row) > 0
    assert not row.reported


@pytest.mark.parametrize("kind", ["timeout", "upstream", "truncated"])
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_was_lost_may_have_been_billed(kind, stream):
    row = row_of([], failure=Failure(kind, "lost"), stream=stream)
    assert row.calls[-1].provenance == "estimated"
    assert cost(row) > 0


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503, 529])
def test_what_the_provider_refused_cost_nothing(status):
    row = row_of([], failure=Failure("upstream", "no", upstream_status=status))
    assert (row.calls[-1].provenance, cost(row)) == ("reported", 0)


def test_counts_of_zero_beside_an_answer_are_no_report():
    row = row_of(answer(Tokens()))
    assert row.calls[-1].provenance == "estimated"
    assert cost(row) > 0


def test_an_estimate_is_not_below_what_the_same_answer_cost_when_it_was_reported():
    reported = row_of(answer(Tokens(input=130, output=9)))
    estimated = row_of(answer(None))
    assert cost(estimated) >= cost(reported)


PROMPT = "arn:aws:bedrock:us-east-1:111122223333:prompt/ABCDEFGHIJ:3"


@pytest.mark.parametrize(("model", "teaches"), [(f"{PROMPT}, card: {SONNET}", False), (SONNET, True)])
def test_what_a_managed_prompt_brings_is_paid_and_teaches_no_counts(model, teaches):
    rows, counts = [], []

    async def main():
        backend = Scripted(answer(Tokens(input=9_000, output=200)))
        async with Gateway(load(text=CONFIG % model), clock=clock(), backends={"simulated": backend}) as gateway:
            gateway.parts.exchanges.observe(lambda exchange, row: rows.append(row))
            target = gateway.names.resolve("strong").target
            for number in range(60):
                text = (Text(f"How many pages has volume {number}? " * 20),)
                request = Request(protocol="openai", model="strong", messages=(Message("user", text),))
                counts.append(gateway.books.prices.prompt(request, target))
                await gateway.complete(request, Context())

    run(main())
    assert {cost(row) for row in rows} == {9_000 * 3_000 + 200 * 15_000}
    assert (counts[-1] > 2 * counts[0]) == teaches
