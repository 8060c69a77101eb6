"""Waits under lasting overload, and under bursts that pass."""

import asyncio
import statistics

import pytest

from hapenny.simulation import loop
from hapenny.throughput.gate import CallOutcome
from hapenny.throughput.pools import Used
from hapenny.throughput.queue import Priority, Shed
from hapenny.throughput.standing import TARGET_S, StandingWait
from tests.throughput.test_gate import job, quota_gate

COST = 1_500
"""Units of the quota that a job of these tests settles at."""


async def arriving(clock, gate, seconds, per_s, **rest):
    """Sends jobs evenly; moments of arrival and waits of those that were served, moments of those turned away."""
    served, turned = [], []

    async def one():
        began = clock.now()
        try:
            leave = await gate.enter(job(clock, input=1000, most=100, begin_by=began + 30, **rest))
        except Shed:
            turned.append(began)
            return
        leave.begun()
        leave.done(CallOutcome.OK, Used(1000, 100))
        served.append((began, clock.now() - began))

    tasks = []
    for _ in range(round(seconds * per_s)):
        tasks.append(asyncio.create_task(one()))
        await clock.sleep(1 / per_s)
    await asyncio.gather(*tasks)
    return served, turned


def test_what_stands_for_minutes_is_not_waited_for_and_the_quota_stays_in_use():
    async def main(clock):
        gate, _ = quota_gate(clock, per_minute=60 * COST)  # one job a second
        served, turned = await arriving(clock, gate, 600, 2.0)
        late = [wait for began, wait in served if began >= 300]
        assert statistics.median(late) < 8
        assert len(late) == pytest.approx(300, abs=12)  # as many as the quota gives
        assert turned

    loop.run(main)


def test_a_burst_that_can_be_served_in_time_is_served_to_the_last():
    async def main(clock):
        gate, _ = quota_gate(clock, per_minute=60 * COST)
        await arriving(clock, gate, 1, 60.0)  # the minute that a refilling quota saves
        for _ in range(5):
            served, turned = await arriving(clock, gate, 1, 25.0)
            assert (len(served), turned) == (25, [])
            await clock.sleep(40)

    loop.run(main)


def test_overload_that_is_over_is_forgotten_within_minutes():
    async def main(clock):
        gate, _ = quota_gate(clock, per_minute=60 * COST)
        await arriving(clock, gate, 400, 2.0)
        for _ in range(300):
            await arriving(clock, gate, 2, 0.5)
        served, _ = await arriving(clock, gate, 1, 70.0)
        assert len(served) > 60
        assert max(wait for _, wait in served) > 5

    loop.run(main)


def test_background_work_waits_for_what_is_left_however_long_that_takes():
    async def main(clock):
        gate, _ = quota_gate(clock, per_minute=60 * COST)
        served, turned = await arriving(clock, gate, 400, 1.2, priority=Priority.BACKGROUND)
        assert turned == [] or min(turned) > 150
        assert max(wait for _, wait in served) > 20

    loop.run(main)


def test_nothing_is_learnt_from_a_time_in_which_nobody_came():
    standing = StandingWait()
    for second in range(400):
        standing.seen(float(second), 20.0, 28.0)
    assert standing.excess > 10
    assert standing.within(28.0) >= TARGET_S
    standing.seen(4_000.0, 20.0, 28.0)
    assert standing.within(28.0) == 28.0
