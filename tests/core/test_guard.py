"""A long-lived task that fails is begun again, later and later, and is said to be failing meanwhile."""

from itertools import pairwise

from hapenny.core.guard import CALM_S, LONGEST_S, Guard
from hapenny.core.tasks import Tasks
from hapenny.simulation.loop import clock as virtual_clock
from hapenny.simulation.loop import run


def test_it_is_begun_again_with_growing_pauses_and_recovers():
    async def main():
        clock = virtual_clock()
        guard, begun = Guard("writer", clock), []

        async def work():
            begun.append(clock.now())
            if len(begun) < 10:
                raise OverflowError("a number of somebody's")

        await guard.keep(work)
        pauses = [round(after - before) for before, after in pairwise(begun)]
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        assert max(pauses) == LONGEST_S
        assert guard.failures == 9
        await clock.sleep(CALM_S)
        assert not guard.failing

    run(main())


def test_a_service_that_fails_is_failing_until_it_has_been_well_for_a_while():
    async def main():
        clock, tasks, runs = virtual_clock(), Tasks(), []

        async def work():
            runs.append(1)
            if len(runs) == 1:
                raise RuntimeError("once")
            await clock.sleep(10_000)

        tasks.serve("import of quotas", clock, work)
        await clock.sleep(5)
        assert len(runs) == 2
        assert [guard.name for guard in tasks.guards if guard.failing] == ["import of quotas"]
        await clock.sleep(CALM_S)
        assert not [guard for guard in tasks.guards if guard.failing]
        await tasks.aclose()

    run(main())
