"""Segments, marks, proof and lint on real requests."""

import asyncio

import msgspec
import pytest

from hapenny.caching.options import PrefixOptions
from hapenny.caching.prefix.lint import drift, lint
from hapenny.caching.prefix.marks import mark, marked, proof, segments
from hapenny.caching.prefix.reuse import Tariff
from hapenny.caching.prefix.stage import ModelCache, PrefixStage
from hapenny.core.answer import Answer, Replay
from hapenny.core.errors import Failure
from hapenny.core.events import Tokens, Usage
from hapenny.core.exchange import Exchange, Limits, Target
from hapenny.core.messages import Context, Message, Request, Text, Tool, ToolUse

DOCUMENT = "The opening hours of the shop are from nine to six on every working day. " * 120


def words(text):
    return len(text.split())


def conversation(turns, system=DOCUMENT, tools=()):
    messages = []
    for at in range(turns):
        messages.append(Message("user", (Text(f"question {at}"),)))
        messages.append(Message("assistant", (Text(f"answer {at}"),)))
    messages.append(Message("user", (Text(f"question {turns}"),)))
    return Request(protocol="anthropic", model="m", system=(Text(system),), messages=tuple(messages), tools=tools)


def test_the_prefix_proof_stays_from_turn_to_turn():
    first, second = (segments(conversation(turns), "m", words) for turns in (1, 2))
    assert [s.hash for s in second][: len(first)] == [s.hash for s in first]
    assert proof(first, 3) == proof(second, 3)
    assert proof(first, 0) == ""
    changed = segments(conversation(1, system=DOCUMENT + "!"), "m", words)
    assert proof(changed, 1) != proof(first, 1)
    assert proof(segments(conversation(1), "other model", words), 1) != proof(first, 1)


def test_marks_change_neither_hashes_nor_text():
    request = conversation(1, tools=(Tool("a", "does a"), Tool("b", "does b")))
    chain = segments(request, "m", words)
    done = mark(request, [segment.place for segment in chain[:3]], ["5m"] * 3)
    assert marked(done) == 3
    assert done.tools[1].checkpoint == "5m"
    assert done.tools[0].checkpoint == ""
    assert [s.hash for s in segments(done, "m", words)] == [s.hash for s in chain]
    assert mark(done, [segment.place for segment in chain[:3]], [""] * 3) == request


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        (conversation(0, system="Today is 2026-11-20 14:05. Be kind."), "timestamp"),
        (conversation(0, system="Session 6f1e2d3c-1111-2222-3333-444455556666"), "random-id"),
        (conversation(0, tools=(Tool("zeta"), Tool("alpha"))), "unsorted-tools"),
        (conversation(0, tools=(Tool("a", "Current time is 10:20:30"),)), "timestamp"),
    ],
)
def test_lint_names_what_breaks_the_prefix(request_, rule):
    assert rule in [finding.rule for finding in lint(request_)]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [('{"a": 1}', '{"a":1}', True), ('{"a": 1}', '{"a": 2}', False), ("{broken", "{broken ", False)],
)
def test_how_a_client_spaces_a_tool_calls_json_is_no_other_prefix(one, other, same):
    chains = []
    for arguments in (one, other):
        turn = Message("assistant", (ToolUse("id", "look", arguments),))
        chains.append(segments(msgspec.structs.replace(conversation(0), messages=(turn,)), "m", words))
    assert (chains[0][-1].hash == chains[1][-1].hash) == same


def test_lint_sees_chunks_before_the_history():
    request = conversation(1)
    chunked = (Message("user", (Text("<context>passage</context> question"),)), *request.messages[1:])
    assert [f.rule for f in lint(msgspec.structs.replace(request, messages=chunked))] == ["chunks-before-history"]
    assert lint(request) == []


def test_drift_between_turns_is_named():
    before, now = conversation(1), conversation(2)
    assert drift(before, now) == []
    assert drift(before, conversation(2, system="other"))[0].rule == "system-changed"
    rewritten = msgspec.structs.replace(now, messages=(Message("user", (Text("edited"),)), *now.messages[1:]))
    assert drift(before, rewritten)[0].rule == "history-rewritten"
    swapped = conversation(2, tools=(Tool("b"), Tool("a")))
    assert drift(conversation(1, tools=(Tool("a"), Tool("b"))), swapped)[0].rule == "tools-reordered"


def exchange(request, clock):
    return Exchange(
        id="x", request=request, context=Context(), clock=clock,
        limits=Limits(clock.now() + 30, clock.now() + 60), baseline=Target("m"),
    )  # fmt: skip


SHORT, LONG = Tariff(300.0, 1.25), Tariff(3_600.0, 2.0)


def stage(options=None, tariffs=(SHORT,), **how):
    return PrefixStage(
        lambda model: ModelCache(minimum=1_024, tariffs=tariffs, **how), lambda model, text: words(text), options
    )


async def served(prefix, request, clock, usage=None):
    """`usage`: what the provider says it read and wrote."""
    seen = []

    async def onward(there):
        seen.append(there.request)
        return Answer(Replay((Usage(usage),) if usage is not None else ()))

    ex = exchange(request, clock)
    decision = await prefix.decide(ex, None)
    if decision is not None:
        await (await prefix.apply(decision, ex, onward)).drain()
    return decision, seen, ex


async def test_a_shared_prefix_gets_marked_once_it_returns(clock):
    prefix = stage()
    decisions = []
    for turn in range(6):
        clock.time += 10
        decision, seen, _ = await served(prefix, conversation(turn), clock)
        decisions.append(decision)
    assert decisions[-1].places
    assert decisions[-1].reads > 0
    assert marked(seen[0]) == len(decisions[-1].places)
    assert decisions[-1].proof


async def test_a_prompt_that_no_provider_would_cache_is_not_followed(clock):
    question = Request(
        protocol="openai", model="m", messages=(Message("user", (Text("What does it cost to cross?"),)),)
    )
    prefix = stage()
    for _ in range(6):
        clock.time += 10
        assert (await served(prefix, question, clock))[0] is None
    longer = msgspec.structs.replace(question, system=(Text("A page of rules about the bridge. " * 40),))
    assert (await served(prefix, longer, clock))[0] is not None, "followed before it reaches the minimum in tokens"
    with_tools = msgspec.structs.replace(question, tools=(Tool("toll"),))
    assert (await served(prefix, with_tools, clock))[0] is not None, "nobody counts a tool's characters"


async def test_a_prefix_the_provider_did_not_read_is_no_longer_believed(clock):
    prefix = stage()
    for turn in range(4):
        clock.time += 10
        await served(prefix, conversation(turn), clock)
    clock.time += 10
    believed, _, _ = await served(prefix, conversation(4), clock, Tokens(input=5_000))
    assert believed.reads > 0
    clock.time += 10
    assert (await served(prefix, conversation(2), clock))[0].reads == 0


async def test_a_prefix_the_provider_read_stays_believed(clock):
    prefix = stage()
    for turn in range(6):
        clock.time += 10
        decision, _, _ = await served(prefix, conversation(turn), clock, Tokens(input=50, cache_read=4_000))
    assert decision.reads > 0


async def test_a_call_that_failed_has_written_nothing(clock):
    prefix, down = stage(), Failure("unavailable", "down")

    async def onward(there):
        raise down

    for turn in range(6):
        clock.time += 10
        ex = exchange(conversation(turn), clock)
        decision = await prefix.decide(ex, None)
        with pytest.raises(Failure):
            await prefix.apply(decision, ex, onward)
        assert decision.reads == 0
    assert decision.writes > 0


@pytest.mark.parametrize(
    ("ttl", "tariffs", "asked"),
    [
        ("5m", (SHORT, LONG), "5m"),
        ("1h", (SHORT, Tariff(3_600.0, 1.3)), "1h"),
        ("1h", (SHORT,), "5m"),
        ("auto", (SHORT, LONG), "5m"),
    ],
)
async def test_the_lifetime_is_one_the_model_offers(clock, ttl, tariffs, asked):
    prefix = stage(PrefixOptions(ttl=ttl), tariffs)
    for turn in range(6):
        clock.time += 10
        decision, seen, _ = await served(prefix, conversation(turn), clock)
    assert set(decision.ttls) == {asked}
    assert seen[0].messages[-1].content[-1].checkpoint in ("", asked)


async def test_the_callers_own_points_are_left_alone(clock):
    request = mark(conversation(2), [("system", 0, 0)], ["1h"])
    decision, seen, _ = await served(stage(), request, clock)
    assert decision.reason == "the caller's own points"
    assert seen == [request]


async def test_automatic_caches_take_no_marks(clock):
    decision, seen, _ = await served(stage(automatic=True), conversation(2), clock)
    assert decision.reason == "automatic"
    assert marked(seen[0]) == 0


async def test_models_without_a_cache_are_left_alone(clock):
    prefix = PrefixStage(lambda model: None, lambda model, text: words(text), PrefixOptions())
    assert (await served(prefix, conversation(2), clock))[0] is None


async def test_the_first_of_a_fan_out_goes_ahead(clock):
    prefix, order, gate = stage(), [], asyncio.Event()
    for turn in range(3):
        clock.time += 10
        await served(prefix, conversation(turn), clock)
    clock.time += 1_000  # the points are dead: the next writes again

    async def onward(there):
        order.append(there.id)
        if len(order) == 1:
            await gate.wait()
        return Answer(Replay(()))

    async def one(name):
        ex = exchange(conversation(3), clock)
        ex.id = name
        decision = await prefix.decide(ex, None)
        return await prefix.apply(decision, ex, onward)

    first = asyncio.ensure_future(one("first"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.ensure_future(one("second"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert order[0] == "first"
    gate.set()
    await asyncio.gather(first, second)
    assert order == ["first", "second"]
