"""Gateways that learn together: what one has answered and verified, the others hit, within the same bound."""

import asyncio
import itertools

import pytest

from hapenny.caching.keys import Keys
from hapenny.caching.semantic.cache import SemanticCache
from hapenny.caching.semantic.decider import Promise
from hapenny.caching.semantic.judging import AnswerJudge
from hapenny.caching.semantic.shared import SharedSemantic
from hapenny.caching.semantic.stage import SemanticStage
from hapenny.caching.shared import SharedAnswers
from hapenny.caching.store import Store
from hapenny.caching.withdrawals import Withdrawal
from hapenny.core.answer import Answer, Replay
from hapenny.core.clock import RealClock
from hapenny.core.events import Started, Stopped, TextDelta, Tokens, Usage
from hapenny.core.messages import Context
from hapenny.core.stage import Pipeline
from hapenny.stores.space import MemorySpace
from tests.caching.semantic.rig import traffic
from tests.caching.semantic.test_stage import Ask
from tests.core.house import exchange

SEEDS = itertools.count(5)


class Gateway:
    """A pipeline of the semantic stage alone."""

    def __init__(self, space, *, embedder="hashed-256", secret=b"secret", **rest):
        self.clock, self.calls, self.hits, self.tasks = RealClock(seed=next(SEEDS)), 0, 0, []
        self.wrong, self.label = 0, ""
        self.answers = Store(self.clock, 50_000_000)
        self.cache = SemanticCache(self.clock, self.answers, AnswerJudge(self.clock), embedder=embedder)
        stage = SemanticStage(self.cache, Keys(b"secret"), Promise(), self.spawn, **rest)
        self.pipeline = Pipeline([stage], {"semantic": "on"}, self.far, Ask())
        self.elsewhere = SharedAnswers(space, Store(self.clock, 1_000_000), secret, self.clock)
        self.together = SharedSemantic(self.elsewhere, self.cache, self.clock)
        self.cache.others = self.together

    def spawn(self, work):
        self.tasks.append(asyncio.ensure_future(work))

    async def far(self, there):
        self.calls += 1
        return Answer(
            Replay(
                (
                    Started("id", "m"), TextDelta(f"the answer is {self.label}"), Stopped("end_turn"),
                    Usage(Tokens(input=9, output=4)),
                )
            )
        )  # fmt: skip

    async def ask(self, text, label="nine", id="req_1"):
        self.label = label
        there = exchange(text, clock=self.clock, context=Context(tenant="a"))
        there.id = id
        got = await (await self.pipeline(there)).collect()
        await asyncio.gather(*self.tasks)
        self.tasks.clear()
        hit = there.cache is not None and there.cache.hit
        self.hits += hit
        self.wrong += hit and got.text != f"the answer is {label}"
        return hit


async def heard(*gateways):
    for gateway in gateways:
        await gateway.together.exchange()
    for gateway in gateways:
        await gateway.together.exchange()


@pytest.fixture
def two():
    space = MemorySpace(RealClock())
    return [Gateway(space, fixed=0.5) for _ in range(2)]


async def test_what_one_has_answered_the_other_one_hits(two):
    one, other = two
    assert not await one.ask("when do you open today")
    await heard(one, other)
    assert await other.ask("when do you open today please")
    assert other.calls == 0


async def test_questions_with_one_answer_are_one_group_everywhere(two):
    one, other = two
    for text in ("when do you open", "at what hour is the shop open"):
        await one.ask(text)
    await heard(one, other)
    assert len(other.cache) == len(one.cache)
    assert other.together.taken == 2
    await heard(one, other)
    assert other.together.taken == 2, "nothing is taken in twice"


async def test_what_was_reported_wrong_goes_everywhere(two):
    one, other = two
    await one.ask("when do you open today")
    await heard(one, other)
    assert await other.ask("when do you open today please", id="req_2")
    assert other.cache.feedback("req_2", "a")
    await heard(one, other)
    assert len(one.cache) == 0
    assert not await one.ask("when do you open today please")


async def test_another_embedder_and_another_secret_are_left_out(two):
    one, _ = two
    space = one.elsewhere.space
    strange = Gateway(space, fixed=0.5, embedder="another")
    foreign = Gateway(space, fixed=0.5, secret=b"not the same")
    await one.ask("when do you open today")
    await heard(one, strange, foreign)
    assert strange.together.taken == foreign.together.taken == 0
    assert foreign.elsewhere.stats()["refused"] == 1


async def test_who_comes_later_learns_it_all_but_what_was_withdrawn(two):
    one, _ = two
    await one.ask("when do you open today")
    await heard(one)
    late = Gateway(one.elsewhere.space, fixed=0.5)
    await late.elsewhere.catch_up()
    await heard(late)
    assert await late.ask("when do you open today please")
    await one.elsewhere.withdraw(Withdrawal(tenant="a"))
    later = Gateway(one.elsewhere.space, fixed=0.5)
    await later.elsewhere.catch_up()
    await heard(later)
    assert later.together.taken == 0


async def test_two_hit_as_often_as_one_and_keep_the_same_promise():
    asked = traffic()[:2_400]
    single = Gateway(MemorySpace(RealClock()))
    for text, label in asked:
        await single.ask(text, label)
    space = MemorySpace(RealClock())
    pair = [Gateway(space) for _ in range(2)]
    for number, (text, label) in enumerate(asked):
        await pair[number % 2].ask(text, label)
        await heard(*pair)
    hits, wrong = sum(each.hits for each in pair), sum(each.wrong for each in pair)
    assert single.hits > 100
    assert hits >= 0.9 * single.hits
    assert wrong <= 0.01 * len(asked)
    stats = [next(iter(each.cache.stats().values())) for each in pair]
    assert stats[0].labels == pytest.approx(stats[1].labels, rel=0.1)
    assert stats[0].threshold == pytest.approx(stats[1].threshold, rel=0.5)
