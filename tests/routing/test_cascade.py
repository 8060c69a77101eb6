"""The cascade and the tier stage inside a real pipeline, over scripted answers."""

import pytest

from hapenny.core.answer import Answer, Replay
from hapenny.core.arms import ARM_TARGET
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure, Unavailable
from hapenny.core.events import BlockStarted, BlockStopped, Started, Stopped, TextDelta, Tokens, Usage
from hapenny.core.exchange import Exchange, Limits, Target
from hapenny.core.messages import Context, Message, Parameters, Request, Text, Tool
from hapenny.core.metering import Metered
from hapenny.core.stage import Pipeline
from hapenny.routing.cascade import CascadeStage, sure
from hapenny.routing.names import Names
from hapenny.routing.options import CascadeOptions
from hapenny.routing.router import Router
from hapenny.routing.tiers import TierStage
from hapenny.telemetry.headers import at_commit

TIERS = {"fast": "haiku", "balanced": "mini", "strong": "sonnet"}
NAMES = Names({}, TIERS, {}, {}, lambda name: Target(name))


def ask(text="Which colour?", intent="extraction", model="auto", tools=()):
    request = Request(protocol="openai", model=model, messages=(Message("user", (Text(text),)),), tools=tools)
    exchange = Exchange(
        id="r",
        request=request,
        context=Context(intent=intent, session="s"),
        clock=RealClock(),
        limits=Limits(1e9, 1e9),
        baseline=Target("sonnet"),
    )
    exchange.asked = NAMES.resolve(model)
    return exchange


def world(answers, *stages, mode="on"):
    """A pipeline over models that say what `answers` holds (a text, a failure, or a text and a stop reason)."""
    calls = []

    async def call(exchange):
        said = answers[exchange.target.model]
        calls.append((exchange.target.model, exchange.purpose))
        booked = exchange.begin_call(exchange.target, exchange.purpose, exchange.payer)
        if isinstance(said, Failure):
            exchange.end_call(booked, "failed", said)
            raise said
        text, reason = said if isinstance(said, tuple) else (said, "end_turn")
        events = [Started("m", exchange.target.model), BlockStarted(0, "text"), TextDelta(text, 0), BlockStopped(0),
                  Stopped(reason), Usage(Tokens(input=1, output=1))]  # fmt: skip
        exchange.adopted = booked
        return Answer(Replay(events)).through(Metered(booked, exchange))

    return Pipeline(stages, {stage.name: mode for stage in stages}, call, None), calls


def cascade(**options):
    find = {tier: NAMES.resolve(tier).target for tier in TIERS}
    return CascadeStage(CascadeOptions(**options), lambda name: find.get(name))


async def run(pipeline, exchange):
    return (await (await pipeline(exchange)).collect()).text


async def test_agreement_is_served_by_the_first():
    pipeline, calls = world({"haiku": "Blue.", "mini": "blue", "sonnet": "red"}, cascade())
    exchange = ask()
    assert await run(pipeline, exchange) == "Blue."
    assert sorted(calls) == [("haiku", "serve"), ("mini", "serve")]
    assert exchange.target.model == exchange.adopted.target.model == "haiku"
    assert {call.technique for call in exchange.calls} == {"cascade"}
    assert all(call.outcome == "complete" for call in exchange.calls)


@pytest.mark.parametrize("second", ["green", Unavailable("down"), ("blue", "max_tokens")])
async def test_anything_but_agreement_climbs(second):
    pipeline, calls = world({"haiku": "blue", "mini": second, "sonnet": "red"}, cascade())
    exchange = ask()
    assert await run(pipeline, exchange) == "red"
    assert calls[-1] == ("sonnet", "escalate")
    assert exchange.reason == "escalate to sonnet"


@pytest.mark.parametrize(
    "exchange",
    [ask(intent="chat"), ask(model="sonnet"), ask(tools=(Tool("look"),))],
    ids=["another intent", "a concrete model", "tools"],
)
async def test_where_it_is_not_allowed_one_call_is_made(exchange):
    pipeline, calls = world({"haiku": "a", "mini": "a", "sonnet": "red"}, cascade())
    assert await run(pipeline, exchange) == "red"
    assert len(calls) == 1


async def test_in_shadow_nothing_changes():
    pipeline, calls = world({"haiku": "a", "mini": "a", "sonnet": "red"}, cascade(), mode="shadow")
    exchange = ask()
    assert await run(pipeline, exchange) == "red"
    assert calls == [("sonnet", "serve")]
    assert exchange.decisions[0].decision.reason == "haiku+mini>sonnet"


async def test_tiers_by_use_case_and_score():
    stage = TierStage(NAMES, Router(score=lambda text, intent: len(text) / 1_000))
    answers = {"haiku": "cheap", "mini": "middle", "sonnet": "good"}
    assert await run(world(answers, stage)[0], ask("hm", intent="unknown")) == "cheap"
    assert await run(world(answers, stage)[0], ask("hm" * 400, intent="summarization")) == "cheap"
    # No max tier is configured: the strongest there is.
    assert await run(world(answers, stage)[0], ask("hm", intent="expert_reasoning")) == "good"


async def test_an_experiment_arm_goes_first():
    stage = TierStage(NAMES, Router(score=lambda text, intent: 0.9))
    exchange = ask()
    exchange.stage_notes[ARM_TARGET] = Target("mini")
    assert await run(world({"mini": "arm"}, stage)[0], exchange) == "arm"


async def test_a_deployment_with_a_trained_router_and_a_running_experiment(tmp_path):
    import msgspec
    import numpy as np

    from hapenny.config import load
    from hapenny.gateway.gateway import Gateway
    from hapenny.routing.certificates import Fingerprint, certify
    from hapenny.routing.intents.classifier import train
    from hapenny.routing.intents.features import extract
    from hapenny.routing.router import Trained
    from hapenny.routing.scorer import Reader, fit
    from hapenny.routing.training import save_router
    from hapenny.tuning.experiments import Arm, Experiment
    from tests.routing.test_scorer import traffic

    prompts, weak, strong, _ = traffic(300)
    scorer = fit(prompts, weak, strong)
    scores = [Reader(scorer).gain(extract(p)) for p in prompts]
    about = Fingerprint(route="default", intent="", weak="fast", strong="strong")
    promise = certify(about, scores, np.maximum(strong - weak, 0), max_quality_loss=0.1, dated=0.0)
    trained = Trained(weak="fast", strong="strong", scorer=scorer, certificates=(promise,))
    (tmp_path / "r.msgpack").write_bytes(save_router(trained))
    running = Experiment(name="brief", arms={"control": Arm(), "brief": Arm(system="Be brief.")})
    (tmp_path / "e.json").write_bytes(msgspec.json.encode([running]))
    labels = train(["cancel my order", "where is my order"] * 20, ["cancel", "track"] * 20)
    (tmp_path / "i.msgpack").write_bytes(msgspec.msgpack.encode(labels))
    config = load(
        text=f"""
routes: {{default: {{preset: balanced, holdout: 0}}}}
ledger: null
intents: {tmp_path}/i.msgpack
stages: {{tiers: {{trained: {tmp_path}/r.msgpack}}, arms: {{file: {tmp_path}/e.json}}}}
"""
    )
    async with Gateway(config) as gateway:
        request = Request(protocol="openai", model="auto", messages=(Message("user", (Text(prompts[0]),)),))
        _, exchange = await gateway.complete(request, Context(session="s1"))
    taken = {one.stage: one for one in exchange.decisions}
    assert exchange.arms["brief"] in ("control", "brief")
    assert taken["tiers"].error is None
    assert taken["tiers"].decision.tier in ("fast", "strong")
    assert "cold" not in taken["tiers"].decision.reason
    certified = taken["tiers"].decision.tier == "fast"
    assert ("x-hapenny-certificate" in at_commit(exchange)) is certified
    ask = Request(protocol="openai", model="fast", messages=(Message("user", (Text("please cancel my order"),)),))
    assert gateway.open(ask, Context()).intent == "cancel"
    assert gateway.open(ask, Context(intent="refund")).intent == "refund"


@pytest.mark.parametrize(
    ("answers", "said", "asked"),
    [
        ({"haiku": "blue"}, "blue", ["haiku"]),
        ({"haiku": "I am not sure.", "sonnet": "red"}, "red", ["haiku", "sonnet"]),
        ({"haiku": ("blu", "max_tokens"), "sonnet": "red"}, "red", ["haiku", "sonnet"]),
        ({"haiku": Unavailable("down"), "sonnet": "red"}, "red", ["haiku", "sonnet"]),
    ],
)
async def test_confidence_asks_one_cheap_model_alone(answers, said, asked):
    pipeline, calls = world(answers, cascade(gate="confidence"))
    exchange = ask()
    assert await run(pipeline, exchange) == said
    assert [model for model, _ in calls] == asked
    assert exchange.reason == ("cascade haiku" if len(asked) == 1 else "escalate to sonnet")


async def test_a_hard_question_is_never_answered_on_confidence_alone():
    hard = "If x, compare each of (a + b) * c and derive the plan; then prove it. " * 6
    pipeline, calls = world({"haiku": "blue", "sonnet": "red"}, cascade(gate="confidence"))
    assert await run(pipeline, ask(hard)) == "red"
    assert len(calls) == 2


async def test_either_gate_takes_the_second_only_where_the_first_is_unsure():
    pipeline, calls = world({"haiku": "unclear: 7", "mini": "Unclear: 7", "sonnet": "9"}, cascade(gate="either"))
    assert await run(pipeline, ask()) == "unclear: 7"
    assert [model for model, _ in calls] == ["haiku", "mini"]
    pipeline, calls = world({"haiku": "7", "mini": "8", "sonnet": "9"}, cascade(gate="either"))
    assert await run(pipeline, ask()) == "7"
    assert [model for model, _ in calls] == ["haiku"]


async def test_background_work_and_every_intent_may_be_allowed():
    quiet = ask(intent="chat")
    quiet.context = Context(intent="chat", priority=-1)
    answers = {"haiku": "x", "mini": "x", "sonnet": "y"}
    for options, exchange, count in (
        ({}, quiet, 1),
        ({"background": True}, quiet, 2),
        ({"background": True}, ask(intent="chat"), 1),
        ({"intents": ["*"]}, ask(intent="chat"), 2),
    ):
        pipeline, calls = world(answers, cascade(**options))
        await run(pipeline, exchange)
        assert len(calls) == count


@pytest.mark.parametrize(
    ("text", "wanted", "good"),
    [
        ('{"a": 1}', {"type": "json_object"}, True),
        ("a is 1", {"type": "json_object"}, False),
        ('{"a": 1}', {"type": "json_schema", "json_schema": {"schema": {"required": ["b"]}}}, False),
        ("plain", None, True),
        ("  ", None, False),
        ("I cannot determine that.", None, False),
    ],
)
def test_what_looks_sure(text, wanted, good):
    request = Request(
        protocol="openai",
        model="auto",
        messages=(Message("user", (Text("x"),)),),
        parameters=Parameters(format=wanted),
    )
    assert sure(text, request) is good
