"""What is done to keep a deadline, in a whole gateway before simulated providers in virtual time."""

import json

import pytest

from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import load
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.simulation import loop
from hapenny.simulation.cards import MANGA_2024
from hapenny.simulation.faults import Fault
from hapenny.simulation.provider import SimulatedProvider

STRONG, FAST = MANGA_2024.of_tier("strong").id, MANGA_2024.of_tier("fast").id
REGIONS = {"endpoints": [{"name": "east", "region": "us-east-1"}, {"name": "west", "region": "us-west-2"}]}


def config(mode="on", models=None, preset="safe", modes=None, **latency):
    stages = {"exact": "off", "flights": "off", "answer_size": "shadow", "latency": mode, **(modes or {})}
    return load(
        text=json.dumps(
            {
                "routes": {"default": {"preset": preset, "holdout": 0, "stages": stages}},
                "ledger": {"path": ":memory:"},
                "stages": {"latency": latency, "throughput": {"models": {STRONG: models or REGIONS}}},
            }
        )
    )


def ask(number, model="strong"):
    return Request(
        protocol="openai", model=model, messages=(Message("user", (Text(f"What is in volume {number}?"),)),),
        parameters=Parameters(max_tokens=600, temperature=0.0), stream=True,
    )  # fmt: skip


def played(config, count=60, faults=(), model="strong"):
    """Requests one after the other: their rows."""

    async def main(clock):
        backend = SimulatedBackend("simulated", SimulatedProvider(clock, MANGA_2024, faults=faults))
        async with Gateway(config, clock=clock, backends={"simulated": backend}) as gateway:
            ids = []
            for number in range(count):
                ids.append((await gateway.complete(ask(number, model), Context()))[1].id)
            await gateway.ledger.flush()
            return [await gateway.ledger.get(id) for id in ids]

    return loop.run(main)


def served(row):
    return next(call for call in row.calls if call.adopted)


def test_a_slow_region_is_left_and_what_is_late_is_raced():
    rows = played(config(deadline_s=4), faults=[Fault(kind="slow", factor=5, regions=("us-east-1",))])
    late = rows[10:]
    assert sum(served(row).region == "us-west-2" for row in late) > 0.9 * len(late)
    assert {reaction for row in rows for reaction in row.reactions} <= {"other_region", "hedge"}
    assert any("other_region" in row.reactions for row in late)


def test_a_call_that_hangs_is_raced_before_the_deadline_is_lost():
    hang = [Fault(kind="hang", regions=("us-east-1",), begin=100.0, end=101.0)]
    rows = played(config(deadline_s=5), count=100, faults=hang)
    raced = [row for row in rows if len(row.calls) > 1]
    assert all("hedge" in row.reactions and row.e2e < 5 for row in raced)
    assert any(row.e2e > 1.5 for row in raced)
    assert {call.purpose for row in raced for call in row.calls} == {"serve", "hedge"}


def test_a_dearer_tier_answers_what_would_be_too_late():
    tiers = {
        "endpoints": [
            {"name": "standard", "service_tier": "standard"},
            {"name": "priority", "service_tier": "priority", "cost_factor": 1.75},
        ]
    }
    rows = played(config(models=tiers, deadline_s=0.55))
    assert any("faster_tier" in row.reactions for row in rows)
    assert all(served(row).service_tier == "priority" for row in rows if "faster_tier" in row.reactions)
    unhurried = played(config(models=tiers, deadline_s=60))
    assert {served(row).service_tier for row in unhurried} == {"standard"}


def test_a_faster_model_answers_for_auto_alone_within_the_allowed_share():
    rules = {"deadline_s": 0.95, "most_degraded": 0.2, "react": ["faster_model"]}
    warm = {"modes": {"tiers": "off"}}

    async def main(clock):
        backend = SimulatedBackend("simulated", SimulatedProvider(clock, MANGA_2024))
        async with Gateway(config(**warm, **rules), clock=clock, backends={"simulated": backend}) as gateway:
            for number in range(40):  # both models have been measured
                await gateway.complete(ask(number, "fast"), Context())
                await gateway.complete(ask(number, "strong"), Context())
            ids = [
                (await gateway.complete(ask(number, model), Context()))[1].id
                for number in range(60)
                for model in ("auto", "strong")
            ]
            await gateway.ledger.flush()
            return [await gateway.ledger.get(id) for id in ids]

    rows = loop.run(main)
    degraded = [row for row in rows if "faster_model" in row.reactions]
    assert degraded
    assert {row.model_asked for row in degraded} == {"auto"}
    assert {row.model_served for row in degraded} == {FAST}
    assert all("degraded=faster_model" in row.notes for row in degraded)
    assert len(degraded) <= 0.2 * len(rows) + 5


@pytest.mark.parametrize("react", [["baseline_model"], []])
def test_where_a_cheaper_model_would_be_late_the_baselines_answers_and_nothing_is_degraded(react):
    """3.5 Haiku is cheaper than Sonnet, and writes more slowly."""
    cheaper = "anthropic.claude-3-5-haiku-20241022-v1:0"
    rules = config(deadline_s=1.9, react=react, modes={"tiers": "on"})
    rules.routes["default"].unproven = "open"
    rules.routes["default"].baseline = "strong"
    rules.tiers = {"fast": cheaper, "strong": STRONG}
    rows = played(rules, model="auto")[40:]
    moved = [row for row in rows if "baseline_model" in row.reactions]
    assert bool(moved) == bool(react)
    assert {row.model_served for row in moved} <= {STRONG}
    assert {row.model_served for row in rows if row not in moved} <= {cheaper}
    assert not any("degraded" in note for row in rows for note in row.notes)


def test_a_shorter_answer_is_asked_for_behind_everything_else():
    rules = {"deadline_s": 1.05, "most_degraded": 1.0, "react": ["shorter_answer"]}

    async def main(clock):
        provider = SimulatedProvider(clock, MANGA_2024)
        asked = []

        class Seen(SimulatedBackend):
            async def call(self, request, target, limits):
                asked.append(request)
                return await super().call(request, target, limits)

        async with Gateway(
            config(**rules), clock=clock, backends={"simulated": Seen("simulated", provider)}
        ) as gateway:
            exchanges = [(await gateway.complete(ask(number), Context()))[1] for number in range(80)]
            return exchanges, asked

    exchanges, asked = loop.run(main)
    brief = [each for each in exchanges if "degraded=shorter_answer" in each.notes]
    assert brief
    assert brief[0].answer.degraded == "shorter_answer"
    ends = [request.messages[-1].content[-1].text for request in asked]
    assert sum(end.startswith("Answer in at most ") for end in ends) == len(brief)


@pytest.mark.parametrize("mode", ["shadow", "off"])
def test_where_it_only_watches_nothing_is_done(mode):
    rows = played(config(mode, deadline_s=0.3), count=40, faults=[Fault(kind="slow", factor=4, regions=("us-east-1",))])
    done = {reaction for row in rows for reaction in row.reactions if not reaction.startswith("would:")}
    assert done == set()
    assert all(row.notes == () or not any("degraded" in note for note in row.notes) for row in rows)


def test_an_answer_that_has_just_expired_stands_in_where_a_model_would_be_too_late():
    rules = {"deadline_s": 0.3, "most_degraded": 1.0, "react": ["stale_answer"]}

    async def main(clock, stale_s):
        backend = SimulatedBackend("simulated", SimulatedProvider(clock, MANGA_2024))
        made = config(modes={"exact": "on"}, stale_s=stale_s, **rules)
        made.stages.exact.ttl_s = 60.0
        async with Gateway(made, clock=clock, backends={"simulated": backend}) as gateway:
            await gateway.complete(ask(1), Context())
            await clock.sleep(70)
            for number in range(2, 5):  # models have been measured of late
                await gateway.complete(ask(number), Context())
            _, late = await gateway.complete(ask(1), Context())
            await gateway.settled()
            refreshed = (await gateway.complete(ask(1), Context()))[1]
            return late, refreshed

    late, refreshed = loop.run(lambda clock: main(clock, 3_600.0))
    assert late.cache.hit
    assert "degraded=stale_answer" in late.notes
    assert refreshed.cache.hit
    assert refreshed.notes == []
    late, _ = loop.run(lambda clock: main(clock, 0.0))
    assert not late.cache.hit
