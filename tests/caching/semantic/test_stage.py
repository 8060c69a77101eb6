"""The semantic stage in a pipeline: who may share, what is stored, what a hit says about itself."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from hapenny.caching.keys import Keys
from hapenny.caching.semantic.cache import SemanticCache
from hapenny.caching.semantic.decider import Promise
from hapenny.caching.semantic.judging import AnswerJudge, LabelBudget
from hapenny.caching.semantic.stage import SemanticStage
from hapenny.caching.store import Selector, Store
from hapenny.core.answer import Answer, Replay
from hapenny.core.calls import Policy
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
        self.cache = SemanticCache(self.clock, self.answers, AnswerJudge(self.clock), embedder="hashed-256")
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
    house.cache.policy("default", Policy("model:m", knowledge_epoch="new"), "m")
    assert house.cache.stats()["default"].closures == 1


async def test_two_models_asked_on_one_route_do_not_close_it():
    house = House()
    await house.ask()
    for _ in range(3):
        house.cache.policy("default", Policy("model:one"), "one")
        house.cache.policy("default", Policy("model:two"), "two")
    assert house.cache.stats()["default"].closures == 0
    house.cache.policy("default", Policy("model:newer"), "one")
    assert house.cache.stats()["default"].closures == 1


async def test_a_layer_that_loses_money_does_not_even_look():
    house = House(stopped=lambda route: True)
    await house.ask()
    _, there = await house.ask("so when do you open")
    assert house.calls == 2
    assert there.cache is None or there.cache.layer != "semantic"


class Judge:
    """Says what it is told to, and remembers the prompts."""

    def __init__(self, *replies):
        self.replies, self.prompts = list(replies), []

    async def __call__(self, exchange, prompt):
        self.prompts.append(prompt)
        return (self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]), 1000


class Chance(HandClock):
    """A clock whose chance always or never draws."""

    def __init__(self, draws):
        super().__init__()
        self.random = SimpleNamespace(random=lambda: 0.0 if draws else 1.0)


async def test_the_judge_goes_the_cheapest_way():
    asks = Judge("SAME")
    judge, there = AnswerJudge(Chance(False), HashedEmbedder(256), asks), exchange("q", clock=HandClock())
    assert await judge.equal(there, "q", "We open at nine.", "we open  at nine")
    assert not await judge.equal(there, "q", "We open at nine.", "Gift cards are sold at the desk")
    assert asks.prompts == []
    assert await judge.equal(there, "q {first}", "The shop opens at nine", "The shop opens at nine in the morning")
    assert len(asks.prompts) == 1
    assert "q {first}" in asks.prompts[0]
    assert judge.stats.cost == 1000
    assert not await AnswerJudge(HandClock()).equal(there, "q", "yes", "no")


async def test_a_judge_that_calls_different_answers_the_same_narrows_the_promise():
    there, pair = exchange("q", clock=HandClock()), ("We open at nine.", "Gift cards are sold at the desk")
    good = AnswerJudge(Chance(True), HashedEmbedder(256), Judge("DIFFERENT"))
    bad = AnswerJudge(Chance(True), HashedEmbedder(256), Judge("SAME"))
    for judge in (good, bad):
        for _ in range(60):
            assert not await judge.equal(there, "q", *pair)
        judge.stats.by_model = 600
    assert good.stats.checks == bad.stats.checks == 60
    assert good.error < 0.07
    assert bad.error > 0.4


async def test_a_verdict_that_changes_with_the_places_counts_as_different():
    judge = AnswerJudge(Chance(True), HashedEmbedder(256), Judge("SAME", "DIFFERENT"))
    there = exchange("q", clock=HandClock())
    assert not await judge.equal(there, "q", "The shop opens at nine", "The shop opens at nine in the morning")
    assert judge.stats.misses == 0.5


async def test_verdicts_cost_no_more_than_their_share_and_what_they_leave_open_is_no_label():
    def over(cost):
        there = exchange("q", clock=HandClock())
        there.calls.append(SimpleNamespace(cost=cost))
        return there

    judge = AnswerJudge(Chance(False), HashedEmbedder(256), Judge("SAME"), LabelBudget(0.05))
    open_pair = ("q", "The shop opens at nine", "The shop opens at nine in the morning")
    verdicts = []
    for _ in range(40):
        there = over(10_000)  # a verdict costs 1,000: 5 % of two such requests
        judge.begin(there)
        verdicts.append(await judge.equal(there, *open_pair))
    assert verdicts.count(True) == pytest.approx(20, abs=1)
    assert verdicts.count(None) == judge.stats.deferred == 40 - verdicts.count(True)
    assert judge.stats.cost <= 0.05 * 40 * 10_000 + 1_000
    assert await judge.equal(over(0), "q", "We open at nine.", "we open  at nine")  # what is plain costs nothing


async def test_a_judge_that_fails_decides_nothing():
    async def asks(exchange, prompt):
        raise Failure("overloaded", "later")

    judge, there = AnswerJudge(HandClock(), HashedEmbedder(256), asks), exchange("q", clock=HandClock())
    assert not await judge.equal(there, "q", "The shop opens at nine", "The shop opens at nine in the morning")
    assert judge.stats.undecided == 1


@pytest.mark.parametrize("state", [b"nonsense", b""])
async def test_labels_of_another_version_are_learnt_anew(state):
    old = House(fixed=None)
    await old.ask()
    dump = msgspec.msgpack.decode(old.cache.dumps())
    for kept in dump["routes"].values():
        kept["state"] = state
    house = House(fixed=None)
    house.cache.loads(msgspec.msgpack.encode(dump))
    got, _ = await house.ask()
    assert got.text == "we open at nine"
    assert not next(iter(house.cache.stats().values())).open


async def test_later_turns_have_evidence_of_their_own():
    house = House(fixed=None)
    earlier = (Message("user", (Text("hi"),)), Message("assistant", (Text("hello"),)))
    for number in range(3):
        await house.ask(f"when do you open on day {number}")
    turn = exchange("and when do you close", clock=house.clock, context=Context(tenant="a"))
    turn.request = msgspec.structs.replace(turn.request, messages=(*earlier, *turn.request.messages))
    await (await house.pipeline(turn)).collect()
    stats = house.cache.stats()
    assert {name: route.requests for name, route in stats.items()} == {"default": 3, "default (later turns)": 1}
