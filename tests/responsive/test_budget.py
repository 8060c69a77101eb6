"""The latency budget: what a client, the ledger and the metrics are told of a request's time."""

import asyncio
import json

import pytest

from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import ConfigError, load
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.responsive.budget import RESERVE_MS, STEPS, behind, limits
from hapenny.responsive.stage import Allowance
from hapenny.simulation import loop
from hapenny.simulation.cards import MANGA_2024
from hapenny.simulation.provider import SimulatedProvider
from hapenny.telemetry.headers import server_timing


def config(mode="on", **stages):
    options = {"routes": {"default": {"stages": {"latency": mode}, "holdout": 0}}, "ledger": {"path": ":memory:"}}
    return load(text=json.dumps({**options, "stages": stages}))


def ask(text="How many pages has volume three?", stream=True):
    return Request(
        protocol="openai", model="strong", messages=(Message("user", (Text(text),)),),
        parameters=Parameters(max_tokens=600, temperature=0.0), stream=stream,
    )  # fmt: skip


def played(config, *requests):
    """Requests through a whole gateway in virtual time: exchanges, rows, and what a scrape shows."""

    async def main(clock):
        backend = SimulatedBackend("simulated", SimulatedProvider(clock, MANGA_2024))
        async with Gateway(config, clock=clock, backends={"simulated": backend}) as gateway:
            exchanges = [(await gateway.complete(request, Context()))[1] for request in requests]
            await asyncio.sleep(0)
            await gateway.ledger.flush()
            rows = [await gateway.ledger.get(exchange.id) for exchange in exchanges]
            return exchanges, rows, gateway.recorder.metrics.render().decode()

    return loop.run(main)


def test_the_steps_are_those_of_the_reference_application():
    assert sum(step.limit_ms for step in STEPS) == 1300
    assert RESERVE_MS == 200
    kept = behind(limits())
    assert kept["routing"] == pytest.approx(1.275)
    assert kept["hybrid_search"] == pytest.approx(0.330 + 0.650 + 0.040 + 0.060)
    assert kept["format"] == 0


def test_steps_add_up_to_the_whole_duration_in_ledger_headers_and_metrics():
    [exchange, _], [row, hit], scraped = played(config(), ask(), ask())
    assert row.deadline == 1.5
    assert sum(row.steps.values()) == pytest.approx(row.e2e)
    assert row.steps["first_token"] == pytest.approx(row.ttft, abs=1e-3)
    assert row.steps["streaming"] > 0
    assert {"cache", "model_selection"} <= row.steps.keys()
    assert hit.cache_hit
    assert "first_token" not in hit.steps
    timing = server_timing(exchange)
    assert "step_first_token;dur=" in timing
    assert "left;dur=" in timing
    assert 'hapenny_step_seconds_count{route="default",step="first_token"} 1.0' in scraped


def test_without_a_deadline_nothing_is_noted():
    [exchange], [row], scraped = played(config("off"), ask())
    assert (row.deadline, row.steps, row.reactions) == (None, {}, ())
    assert "step_" not in server_timing(exchange)
    assert "hapenny_step_seconds_count" not in scraped


def test_a_missed_deadline_is_counted():
    _, [row], scraped = played(config(latency={"deadline_s": 0.2}), ask())
    assert row.e2e > 0.2
    assert 'hapenny_deadline_missed_total{route="default"} 1.0' in scraped


def test_a_route_may_have_rules_of_its_own():
    _, [row], _ = played(config(latency={"routes": {"default": {"deadline_s": 4}}}), ask())
    assert row.deadline == 4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": {"first_tokens": 3}}, "no such step; one of routing"),
        ({"steps": {"cache": -1}}, "give milliseconds"),
        ({"deadline_s": 0}, "deadline_s: 0 is outside"),
        ({"most_degraded": 2}, "no share"),
        ({"react": ["hope"]}, "react"),
        ({"objective": 1}, "outside 0 to 1"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        config(latency=options)


def test_no_more_than_the_allowed_share_is_degraded():
    allowance = Allowance(0.03)
    taken = 0
    for _ in range(10_000):
        allowance.came()
        taken += allowance.take()
    assert 0.029 <= taken / 10_000 <= 0.03
    assert allowance.refused == 10_000 - taken
