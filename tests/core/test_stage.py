"""The pipeline alone reads the mode; every stage in shadow leaves request, events, key and calls as `off` does."""

import tempfile
from pathlib import Path

import pytest

from hapenny.caching.keys import Keys
from hapenny.config import STAGES, RouteOptions, load
from hapenny.core.answer import Answer, Replay
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.core.stage import Decision, Pipeline, Stage
from hapenny.gateway.gateway import Gateway
from hapenny.routing.names import Asked
from hapenny.stores.counters import MemoryCounters
from hapenny.throughput.dispatchers import Dispatchers
from hapenny.throughput.options import ThroughputOptions
from hapenny.throughput.retry import Backoff
from hapenny.throughput.stage import ThroughputStage
from tests.core.house import FAST, STRONG, Asks, Terminal, events, exchange
from tests.crossing.house import experiments

SHADOWED = {spec.name: "shadow" for spec in STAGES}


def every_stage():
    """Every stage of the table, as a gateway builds it while an experiment runs."""
    with tempfile.TemporaryDirectory() as folder:
        file = experiments(Path(folder) / "experiments.json", ("a", {"system": "Be brief."}), ("b", {"system": "Hm."}))
        stages = f"stages: {{semantic: {{embedder: hashed}}, arms: {{file: '{file}'}}}}"
        config = load(text=f"ledger: null\n{stages}")
        config.routes["default"] = RouteOptions(stages=SHADOWED)
        stages = Gateway(config, clock=RealClock(1)).parts.pipelines["default"].stages
    built = [stage for stage in stages if stage.spec is not None]
    assert [stage.spec for stage in built] == list(STAGES)
    return built


def opened(**changes):
    there = exchange(**changes)
    there.context.user = "somebody"
    there.asked = Asked(name="auto", kind="auto", target=None)
    return there


async def outcome(stages, modes, there, terminal):
    answer = await Pipeline(stages, modes, terminal, Asks())(there)
    seen = []
    while (batch := await answer.read()) is not None:
        seen.extend(batch)
    return {
        "request": there.request,
        "target": there.target,
        "events": seen,
        "key": Keys(b"secret").encoded(there),
        "calls": [(call.purpose, call.target, call.request) for call in there.calls],
        "sent": terminal.seen,
        "notes": there.notes,
        "steps": there.steps,
    }


@pytest.mark.parametrize("stage", every_stage(), ids=lambda stage: stage.name)
async def test_shadow_is_off_to_everyone_outside(stage):
    stages = [stage]
    off = await outcome(stages, {}, opened(), Terminal())
    shadow = await outcome(stages, {stage.name: "shadow"}, opened(), Terminal())
    assert shadow == off


async def test_all_stages_in_shadow_together_are_off():
    off = await outcome(every_stage(), {}, opened(), Terminal())
    modes = {stage.name: "shadow" for stage in every_stage()}
    there = opened()
    assert await outcome(every_stage(), modes, there, Terminal()) == off
    assert {taken.stage for taken in there.decisions} >= {"arms", "exact", "tiers"}
    assert {taken.mode for taken in there.decisions} == {"shadow"}


class Broken(Stage):
    name = "broken"

    def __init__(self, error):
        self.error = error

    async def decide(self, exchange, ask):
        raise self.error


async def test_a_decision_that_breaks_does_not_break_the_request():
    there = exchange()
    answer = await Pipeline([Broken(ZeroDivisionError())], {"broken": "on"}, Terminal(), Asks())(there)
    assert (await answer.collect()).text == "answer"
    assert there.decisions[0].error == "ZeroDivisionError"


@pytest.mark.parametrize(("mode", "ends"), [("on", True), ("shadow", False)])
async def test_a_refusal_ends_the_request_only_when_on(mode, ends):
    pipeline = Pipeline([Broken(Failure("budget", "spent"))], {"broken": mode}, Terminal(), Asks())
    if ends:
        with pytest.raises(Failure, match="spent"):
            await pipeline(exchange())
    else:
        assert (await (await pipeline(exchange())).collect()).text == "answer"


class Answers(Stage):
    name = "template"

    async def decide(self, exchange, ask):
        return Decision()

    async def apply(self, decision, exchange, onward):
        return Answer(Replay(events("mine")))


async def test_a_stage_that_answers_itself_leaves_nothing_to_pay():
    there, terminal = exchange(), Terminal()
    answer = await Pipeline([Answers()], {"template": "on"}, terminal, Asks())(there)
    assert (await answer.collect()).text == "mine"
    assert terminal.seen == []
    assert [(step.technique, step.free) for step in there.steps] == [("template", True)]


class Pair(Stage):
    """Runs two branches at once and keeps the second."""

    name = "pair"

    async def decide(self, exchange, ask):
        return Decision()

    async def apply(self, decision, exchange, onward):
        import asyncio

        first = exchange.branch("first", purpose="hedge", payer="pair")
        second = exchange.branch("second", purpose="hedge", payer="pair")
        first.target, second.target = STRONG, FAST
        first.note("from first")
        second.note("from second")
        one, two = await asyncio.gather(onward(first), onward(second))
        await one.aclose()
        exchange.adopt(second)
        return two


async def test_concurrent_branches_do_not_mix():
    there = exchange()
    answer = await Pipeline([Pair()], {"pair": "on"}, Terminal(), Asks())(there)
    await answer.collect()
    assert there.target is FAST
    assert there.notes == ["from second"]
    assert there.adopted.target is FAST
    assert [(call.target, call.outcome) for call in there.calls] == [(STRONG, "abandoned"), (FAST, "complete")]
    assert [step.target for step in there.steps] == [FAST]


async def test_serving_calls_are_bounded():
    backoff = Backoff(tries=5, base_s=0.0001, jitter_s=0)
    failures = [Failure("unavailable", "down") for _ in range(9)]
    there, terminal = exchange(max_calls=2), Terminal(failures=failures)
    routes = Dispatchers(ThroughputOptions(retry=backoff), MemoryCounters(there.clock), there.clock)
    stage = ThroughputStage(routes)
    with pytest.raises(Failure):
        await (await Pipeline([stage], {"throughput": "on"}, terminal, Asks())(there)).collect()
    assert len(there.calls) == 2
