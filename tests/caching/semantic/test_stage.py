"""The semantic stage in a pipeline: who may share, what is stored, what a hit says about itself."""

import asyncio

import msgspec
import pytest

from hapenny.caching.keys import Keys
from hapenny.caching.semantic.cache import SemanticCache
from hapenny.caching.semantic.decider import Promise
from hapenny.caching.semantic.judging import AnswerJudge
from hapenny.caching.semantic.stage import SemanticStage
from hapenny.caching.store import Selector, Store
from hapenny.core.answer import Answer, Replay
from hapenny.core.errors import Failure
from hapenny.core.events import BlockStarted, Started, Stopped, TextDelta, ThinkingDelta, Tokens, ToolCallDelta, Usage
from hapenny.core.messages import Context, Message, Parameters, Text, Tool
from hapenny.core.stage import Pipeline
from hapenny.vectors import HashedEmbedder
from tests.caching.conftest import HandClock
from tests.core.house import exchange

WHOLE = (Started("id", "m"), TextDelta("we open at nine"), Stopped("end_turn"), Usage(Tokens(input=9, output=4)))


class Ask:
    def __init__(self):
        self.embedder = HashedEmbedder(256)

    async def embed(self, exchange, texts, *, technique, model=None):
        return await self.embedder.embed(texts)


class House:
    """A pipeline of the semantic stage alone, with a fixed threshold so that only the namespace keeps callers apart."""

    def __init__(self, events=WHOLE, **rest):
        self.clock, self.events, self.calls, self.tasks = HandClock(), events, 0, []
        self.answers = Store(self.clock, 1_000_000)
        self.cache = SemanticCache(self.clock, self.answers, AnswerJudge(), embedder="hashed-256")
        stage = SemanticStage(self.cache, Keys(b"secret"), Promise(), self.spawn, **{"fixed": 0.5, **rest})
        self.pipeline = Pipeline([stage], {"semantic": "on"}, self.far, Ask())

    def spawn(self, work):
        self.tasks.append(asyncio.ensure_future(work))

    async def far(self, there):
        self.calls += 1
        if isinstance(self.events, Failure):
            raise self.events
        return Answer(Replay(self.events))

    async def ask(self, text="when do you open", context=None, id="req_1", **changes):
        there = exchange(text, clock=self.clock, context=context or Context(tenant="a"), **changes)
        there.id = id
        got = await (await self.pipeline(there)).collect()
        await asyncio.gather(*self.tasks)
        return got, there

    async def hit(self, *args, **rest):
        """Whether a request is served without a call."""
        before = self.calls
        await self.ask(*args, **rest)
        return self.calls == before


async def test_another_wording_is_served_and_says_so():
    house = House()
    await house.ask("when do you open")
    got, there = await house.ask("so when do you open")
    assert house.calls == 1
    assert got.text == "we open at nine"
    assert there.cache.layer == "semantic"
    assert there.cache.hit
    assert "unproven" in there.cache.detail


def history(*texts):
    roles = ("user", "assistant")
    return tuple(Message(roles[at % 2], (Text(text),)) for at, text in enumerate(texts))


OTHERS = {
    "tenant": {"context": Context(tenant="b")},
    "document groups": {"context": Context(tenant="a", groups=("board",))},
    "locale": {"context": Context(tenant="a", locale="de")},
    "model": {"model": "another"},
    "system prompt": {"system": (Text("you are a pirate"),)},
    "tool set": {"tools": (Tool("search"),)},
    "parameters": {"parameters": Parameters(temperature=0.0, max_tokens=5)},
    "history": {"messages": history("do you sell shoes", "yes", "when do you open")},
}


@pytest.mark.parametrize("what", OTHERS)
async def test_never_shared_across(what):
    house = House()
    await house.ask()
    assert await house.hit()
    assert not await house.hit(**OTHERS[what])


async def test_users_are_kept_apart_where_the_route_says_so():
    house = House()
    house.pipeline = Pipeline(
        [SemanticStage(house.cache, Keys(b"secret", "user"), Promise(), house.spawn, fixed=0.5)],
        {"semantic": "on"}, house.far, Ask(),
    )  # fmt: skip
    await house.ask(context=Context(tenant="a", user="one"))
    assert await house.hit(context=Context(tenant="a", user="one"))
    assert not await house.hit(context=Context(tenant="a", user="two"))


@pytest.mark.parametrize("follow_up", ["yes", "and in blue?", "why"])
async def test_a_follow_up_only_matches_under_its_own_history(follow_up):
    house = House()
    await house.ask(messages=history("do you sell shoes", "yes, want to see some?", follow_up))
    assert await house.hit(messages=history("do you sell shoes", "yes, want to see some?", follow_up))
    assert not await house.hit(messages=history("cancel my order?", "are you sure?", follow_up))
    assert not await house.hit(follow_up)


NEVER = {
    "tool call": (
        Started("id", "m"), BlockStarted(0, "tool_use", id="t1", name="search"), ToolCallDelta("{}", 0),
        Stopped("tool_use"), Usage(Tokens(input=9, output=4)),
    ),
    "cut at the limit": (*WHOLE[:2], Stopped("max_tokens"), WHOLE[3]),
    "refusal": (*WHOLE[:2], Stopped("refusal"), WHOLE[3]),
    "filtered": (*WHOLE[:2], Stopped("content_filtered"), WHOLE[3]),
    "no usage": WHOLE[:3],
}  # fmt: skip


@pytest.mark.parametrize("what", NEVER)
async def test_never_stored(what):
    house = House(NEVER[what])
    await house.ask()
    assert len(house.cache) == 0
    assert not await house.hit()


async def test_errors_and_cut_streams_are_never_stored():
    house = House(Failure("overloaded", "later"))
    with pytest.raises(Failure):
        await house.ask()
    house.events = WHOLE[:2]
    with pytest.raises(Failure):
        await house.ask()
    assert len(house.cache) == 0


async def test_stream_and_whole_answers_are_the_same_entry():
    house = House()
    await house.ask(stream=False)
    assert await house.hit(stream=True)


async def test_reasoning_is_replayed_with_its_answer():
    house = House((WHOLE[0], ThinkingDelta("hm", block=0), TextDelta("we open at nine", block=1), *WHOLE[2:]))
    first, _ = await house.ask()
    second, _ = await house.ask("so when do you open")
    assert house.calls == 1
    assert msgspec.to_builtins(second.choices) == msgspec.to_builtins(first.choices)


@pytest.mark.parametrize("directive", ["no-store", "no-cache"])
async def test_cache_control_is_obeyed(directive):
    house = House()
    await house.ask()
    assert not await house.hit(context=Context(tenant="a", cache_control=(directive,)))


async def test_a_poisoned_entry_is_removed_by_feedback():
    house = House()
    await house.ask()
    await house.ask("so when do you open", id="req_wrong")
    assert house.cache.feedback("req_wrong")
    assert len(house.cache) == 0
    assert not await house.hit("so when do you open")
    assert not house.cache.feedback("req_wrong")


async def test_a_purged_answer_is_not_served():
    house = House()
    await house.ask()
    house.answers.purge(Selector(tag="route:default"))
    assert not await house.hit()


async def test_an_expired_answer_is_not_served():
    house = House(ttl=60.0)
    await house.ask()
    house.clock.time += 61
    assert not await house.hit()


async def test_a_changed_policy_closes_the_route():
    house = House()
    await house.ask()
    house.cache.policy("default", ("new epoch",))
    assert house.cache.stats()["default"].closures == 1


async def test_another_embedder_forgets_everything():
    house = House()
    await house.ask()
    house.cache.change_embedder("other/fp32")
    assert len(house.cache) == 0
    assert not await house.hit()


async def test_the_judge_goes_the_cheapest_way():
    asked = []

    async def model(question, stored, new):
        asked.append(question)
        return True

    judge = AnswerJudge(HashedEmbedder(256), model)
    assert await judge.equal("q", "We open at nine.", "we open  at nine")
    assert not await judge.equal("q", "We open at nine.", "Gift cards are sold at the desk")
    assert asked == []
    assert await judge.equal("q", "The shop opens at nine", "The shop opens at nine in the morning")
    assert asked == ["q"]
    assert not await AnswerJudge().equal("q", "yes", "no")
