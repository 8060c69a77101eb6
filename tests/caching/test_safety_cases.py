"""The named safety cases, each through a whole gateway whose semantic cache is open and serving."""

import asyncio
import itertools

import pytest

from hapenny.config import load
from hapenny.core.calls import Policy
from hapenny.core.errors import Failure
from hapenny.core.events import BlockStarted, Started, Stopped, TextDelta, ThinkingDelta, Tokens, ToolCallDelta, Usage
from hapenny.core.messages import Context, Message, Parameters, Request, Text, Tool
from hapenny.gateway.cache_admin import Invalidation
from hapenny.gateway.gateway import Gateway
from tests.caching.semantic.rig import traffic
from tests.settling import settled

CONFIG = """
ledger: null
backends: {simulated: {kind: simulated}}
stages: {semantic: {max_error: 0.02, max_wrong_hits: null}}
routes:
  default:
    holdout: 0
    max_quality_loss: 1
    cache_scope: user
    stages: {semantic: "on", templates: "off", tiers: "off", prune: "off", window: "off"}
"""
OPENING = "hello! when do you open please"
NEW = itertools.count(1)
"""Makes every wording of a question a new one."""


class Shop:
    """Answers with the label of the question, and counts."""

    def __init__(self):
        self.answers = {}
        self.calls = 0
        self.events = None
        self.failure = None
        self.gate = None
        """An event that answers wait for."""

    async def call(self, request, target, limits):
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        question = request.messages[-1].content[0].text
        said = self.answers.get(question, f"the answer to {question}")
        whole = [Started("id", "m"), BlockStarted(0, "text"), TextDelta(said, 0), Stopped("end_turn")]
        return _Said(self.events if self.events is not None else [*whole, Usage(Tokens(input=9, output=4))])

    def notes(self, request, target):
        return []

    async def count(self, request, target):
        return None

    async def aclose(self):
        pass


class _Said:
    def __init__(self, events):
        self.left = list(events)

    async def read(self):
        return [self.left.pop(0)] if self.left else None

    def close(self):
        pass


class House:
    """A gateway, and what was asked of it."""

    def __init__(self, config=CONFIG, **parameters):
        self.shop = Shop()
        self.gateway = Gateway(load(text=config), backends={"simulated": self.shop})
        self.parameters = Parameters(temperature=0.0, **parameters)

    async def ask(self, text=OPENING, *, tenant="a", user=None, locale=None, control=(), tags=None, **changes):
        """(text of the answer, layer of the hit or "")"""
        request = Request(
            **{
                "protocol": "openai",
                "model": "fast",
                "messages": (Message("user", (Text(text),)),),
                "parameters": self.parameters,
                **changes,
            }
        )
        context = Context(tenant=tenant, user=user, locale=locale, cache_control=control, tags=tags or {})
        got, there = await self.gateway.complete(request, context)
        await settled(self.gateway)
        self.last = there
        return got.text, there.cache.layer if there.cache is not None and there.cache.hit else ""


async def opened(house=None):
    house = house or House()
    await house.gateway.start()
    house.gateway.clock.random.seed(5)
    for question, label in traffic():
        house.shop.answers[question] = f"{label} - that is all we can say"
        await house.ask(question)
    assert house.gateway.parts.semantic.stats()["default"].open
    return house


async def served(house):
    """Whether paraphrases of a plain question are served (an audit of a would-be hit may be in between)."""
    for _ in range(20):
        if (await house.ask(OPENING + " " * next(NEW)))[1] == "semantic":
            return True
    return False


@pytest.fixture(scope="module")
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def house(loop):
    house = loop.run_until_complete(opened())
    yield house
    loop.run_until_complete(house.gateway.aclose())


def test_labels_survive_a_restart(house, loop):
    async def story():
        heir = House()
        heir.shop.answers = house.shop.answers
        heir.gateway.parts.semantic.loads(house.gateway.parts.semantic.dumps())
        await heir.ask()
        stats = heir.gateway.parts.semantic.stats()["default"]
        assert stats.open
        assert stats.threshold == pytest.approx(house.gateway.parts.semantic.stats()["default"].threshold, rel=0.5)
        heir.gateway.parts.semantic.policy("default", Policy("tier:x", "another version"), "fast")
        assert not heir.gateway.parts.semantic.stats()["default"].open

    loop.run_until_complete(story())


DIFFERENT = {
    "negation": ("can walter see my account", "can walter not see my account"),
    "antonym": ("how do I enable two factor login", "how do I disable two factor login"),
    "number": ("where is order 1000", "where is order 1999"),
    "order-id change": ("status of order ABC-123", "status of order ABC-124"),
    "name swap": ("what is the phone number of anna", "what is the phone number of walter"),
    "place swap": ("what is the weather in paris", "what is the weather in hamburg"),
    "word order": ("transfer ten euros from walter to anna", "transfer ten euros from anna to walter"),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_another_question_gets_another_answer(house, loop, case):
    stored, asked = DIFFERENT[case]
    house.shop.answers[stored], house.shop.answers[asked] = f"first of {case}", f"second of {case}"

    async def both():
        await house.ask(stored)
        return await house.ask(asked)

    assert loop.run_until_complete(both())[0] == f"second of {case}"


ELSEWHERE = {
    "other tenant": {"tenant": "b"},
    "other user": {"user": "somebody"},
    "other model": {"model": "strong"},
    "other system prompt": {"system": (Text("you are a pirate"),)},
    "other tool set": {"tools": (Tool("search"),)},
    "other locale": {"locale": "de"},
    "follow-up yes": {"messages": tuple(
        Message(role, (Text(text),)) for role, text in zip(
            itertools.cycle(("user", "assistant")), ("cancel my order?", "are you sure?", OPENING), strict=False
        )
    )},
}  # fmt: skip


@pytest.mark.parametrize("case", ELSEWHERE)
def test_nothing_is_shared_across(house, loop, case):
    async def both():
        assert await served(house)
        return await house.ask(OPENING, **ELSEWHERE[case])

    assert loop.run_until_complete(both())[1] == ""


@pytest.mark.parametrize("follow_up", ["yes", "and in blue?"])
def test_follow_up_means_what_was_said_before(house, loop, follow_up):
    def after(*texts):
        roles = itertools.cycle(("user", "assistant"))
        return tuple(Message(next(roles), (Text(text),)) for text in texts)

    async def both():
        shoes = await house.ask(messages=after("do you sell shoes", "yes, shall I show some?", follow_up))
        again = await house.ask(messages=after("do you sell shoes", "yes, shall I show some?", follow_up))
        other = await house.ask(messages=after("cancel my order?", "are you sure?", follow_up))
        return shoes, again, other

    _, again, other = loop.run_until_complete(both())
    assert again[1] == "exact"
    assert other[1] == ""


WHOLE = [Started("id", "m"), BlockStarted(0, "text"), TextDelta("half an", 0)]
CALL = [Started("id", "m"), BlockStarted(0, "tool_use", id="t", name="search"), ToolCallDelta("{}", 0)]
USAGE = Usage(Tokens(input=9, output=4))
NEVER = {
    "tool-call answers": [*CALL, Stopped("tool_use"), USAGE],
    "cut stream": WHOLE,
    "cut at the limit": [*WHOLE, Stopped("max_tokens"), USAGE],
    "no usage": [*WHOLE, Stopped("end_turn")],
}


@pytest.mark.parametrize("case", NEVER)
def test_never_stored(house, loop, case):
    async def both():
        house.shop.events = NEVER[case]
        try:
            await house.ask(f"never stored: {case}", stream=True)
        except Failure:
            pass
        finally:
            house.shop.events = None
        return await house.ask(f"never stored: {case}")

    assert loop.run_until_complete(both())[1] == ""


def test_errored_streams_are_never_stored(house, loop):
    async def both():
        house.shop.failure = Failure("invalid_request", "constructed")
        with pytest.raises(Failure):
            await house.ask("an errored question")
        house.shop.failure = None
        return await house.ask("an errored question")

    assert loop.run_until_complete(both())[1] == ""


def test_stream_and_non_stream_mixed(house, loop):
    async def both():
        first = await house.ask("streamed once", stream=True)
        return first, await house.ask("streamed once", stream=False)

    first, second = loop.run_until_complete(both())
    assert second == (first[0], "exact")


def test_reasoning_on_replay(house, loop):
    async def both():
        house.shop.events = [
            Started("id", "m"), BlockStarted(0, "thinking"), ThinkingDelta("hm", 0), BlockStarted(1, "text"),
            TextDelta("thought through", 1), Stopped("end_turn"), USAGE,
        ]  # fmt: skip
        request = Request(
            protocol="openai", model="fast", messages=(Message("user", (Text("think about it"),)),),
            parameters=Parameters(temperature=0.0),
        )  # fmt: skip
        first, _ = await house.gateway.complete(request, Context(tenant="a"))
        house.shop.events = None
        second, there = await house.gateway.complete(request, Context(tenant="a"))
        assert there.cache.hit
        return first, second

    first, second = loop.run_until_complete(both())
    assert [type(block) for block in first.choices[0].content] == [type(block) for block in second.choices[0].content]


def test_stale_price(house, loop):
    """A price that changed: the caller tagged the answers that rest on it, and takes them back."""
    question, tags = "what does volume three cost", {"price": "v3"}

    async def story():
        admin = house.gateway.admin
        house.shop.answers[question] = "it costs ten euros"
        await house.ask(question, tags=tags)
        house.shop.answers[question] = "it costs twelve euros"
        assert admin.invalidate(Invalidation(tag="price:v3", dry_run=True), "a")["exact"]["entries"] == 1
        assert await house.ask(question) == ("it costs ten euros", "exact")  # a dry run removes nothing
        assert admin.invalidate(Invalidation(tag="price:v3"), "b")["exact"]["entries"] == 0
        assert admin.invalidate(Invalidation(tag="price:v3"), "a")["semantic"]["entries"] == 1
        return await house.ask(question)

    assert loop.run_until_complete(story()) == ("it costs twelve euros", "")


def test_poisoned_entry_removed(house, loop):
    async def story():
        assert await served(house)
        poisoned, entries = house.last, len(house.gateway.parts.semantic)
        assert house.gateway.admin.feedback(poisoned.id)
        assert len(house.gateway.parts.semantic) == entries - 1
        assert not house.gateway.admin.feedback(poisoned.id)

    loop.run_until_complete(story())


def test_caller_lowering_the_threshold(house, loop):
    async def story():
        doubtful = await house.ask("what is the weather in bremen", control=("x-max-error=0.9",))
        careful = [await house.ask(OPENING + "." * n, control=("x-max-error=0",)) for n in range(1, 5)]
        return doubtful, careful

    doubtful, careful = loop.run_until_complete(story())
    assert doubtful[1] == ""
    assert all(layer == "" for _, layer in careful)


def test_a_semantic_hit_never_becomes_an_exact_answer(house, loop):
    """It would begin a new life there, count as given twice, and outlive its removal."""

    async def story():
        shared = house.gateway.shared
        while True:
            before = shared.answers.stats().puts, shared.dedup.merged
            question = OPENING + " " * next(NEW)
            if (await house.ask(question))[1] == "semantic":
                break
        assert (shared.answers.stats().puts, shared.dedup.merged) == before
        return await house.ask(question)

    assert loop.run_until_complete(story())[1] != "exact"
