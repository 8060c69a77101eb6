"""What the planner asks for, in which way, and what it leaves: over an answering that counts, in virtual time."""

import asyncio

import pytest

from hapenny.caching.profit import LayerProfit
from hapenny.caching.store import Selector, Store
from hapenny.caching.stored import Stored
from hapenny.core.events import Tokens
from hapenny.core.exchange import Target
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.prefetch.contract import PrefetchItem, SeenRequest
from hapenny.prefetch.forecast import Asked
from hapenny.prefetch.memory import PrefetchMemory
from hapenny.prefetch.options import PrefetchOptions
from hapenny.prefetch.planner import PrefetchPlanner
from hapenny.simulation.loop import clock, run

CHEAP, OTHER = Target("cheap", "aws", "us-east-1"), Target("other", "aws", "us-east-1")


class Counting:
    """An `Answering` that stores an answer for 400 nano-dollars."""

    def __init__(self, now, answers):
        self.now, self.answers = now, answers
        self.sent = []

    def question(self, exchange):
        return "q"

    async def past(self, since, day):
        return {}, 0

    async def key(self, seen):
        return seen.question.encode()

    async def prepare(self, seen):
        target = OTHER if seen.question.startswith("other") else CHEAP
        item = PrefetchItem(
            question=seen.question, key=seen.question.encode(), route="faq", request=seen.request,
            context=seen.context, shaped=seen.request, target=target,
        )  # fmt: skip
        return item, 0

    def bound(self, item, tier):
        return None if tier == "flex" else 500

    async def send(self, item, tier):
        self.sent.append((item.question, tier))
        self.store(item)
        return True, 400

    def store(self, item):
        self.answers.put(item.key, Stored((), Tokens(), "cheap", "t"), 100, 3600.0, (), tenant="t")


class Ordered:
    """`Jobs` of ten records or more, done in ten minutes."""

    least, most = 10, 1_000

    def __init__(self):
        self.orders = []

    def lead_s(self, count):
        return 600.0

    def takes(self, target, count):
        return count >= self.least

    def submit(self, items, deadline):
        self.orders.append((items[0].target, len(items)))


def house(**options):
    now = clock()
    answers, memory = Store(now, 10_000_000), PrefetchMemory(now)
    profit = LayerProfit(dict)
    answering = Counting(now, answers)

    def made(**more):
        wanted = PrefetchOptions(routes=["faq"], least=0.01, off_peak=[], **{"budget_usd": 0.00001, **options, **more})
        return PrefetchPlanner(wanted, memory, answers, profit, now, answering, ttl=3600.0)

    return made, memory, answering


def seen(planner, memory, names):
    request = Request(
        protocol="openai", model="cheap", messages=(Message("user", (Text("?"),)),), parameters=Parameters()
    )
    planner.remember([SeenRequest(name, request, Context(tenant="t"), "faq") for name in names])
    wall = clock().wall()
    memory.demand.add([Asked(name, wall, 1_000) for name in names])


def test_enough_questions_for_one_model_go_by_job_and_the_rest_alone():
    async def main():
        made, memory, answering = house()
        planner, jobs = made(), Ordered()
        seen(planner, memory, [f"q{n}" for n in range(12)] + ["other1", "other2"])
        await begun(planner, jobs)
        assert jobs.orders == [(CHEAP, 12)]
        assert answering.sent == [("other1", "standard"), ("other2", "standard")]
        assert planner.stats().held == 12 * 500

    run(main())


async def begun(planner, jobs):
    """Runs the planner until its first round is over: answers that went with a restart are asked for at once."""
    task = asyncio.create_task(planner.run(jobs))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_the_day_is_over_for_the_budget_and_not_for_what_is_under_way():
    async def main():
        made, memory, _ = house(budget_usd=0.0000011)
        planner = made()
        seen(planner, memory, ["a", "b", "c"])
        assert await planner.renew() == 2
        stats = planner.stats()
        assert (stats.today, stats.held, stats.refused) == (800, 0, 1)

    run(main())


def test_a_reloads_planner_goes_on_with_all_that_is_known_and_the_old_one_ends():
    async def main():
        made, memory, answering = house()
        old = made()
        seen(old, memory, ["a", "b"])
        assert await old.renew() == 2
        answering.answers.purge(Selector())
        old.stop()
        new = made(budget_usd=0.000002)
        assert new.stats().known == 2
        assert new.stats().today == 800
        assert new.stats().budget == 2_000
        await old.run()  # ends at once
        assert answering.sent == [("a", "standard"), ("b", "standard")]
        await new.renew()
        assert len(answering.sent) == 4

    run(main())


@pytest.mark.parametrize(("ways", "sent"), [(("flex",), 0), (("flex", "standard"), 1)])
def test_only_ways_that_may_be_used_and_are_sold_are_used(ways, sent):
    async def main():
        made, memory, answering = house(ways=ways)
        planner = made()
        seen(planner, memory, ["a"])
        assert await planner.renew() == sent
        assert len(answering.sent) == sent

    run(main())
