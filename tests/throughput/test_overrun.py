"""A refilling quota of which calls take more than they reserve keeps something spare for ends not heard of yet."""

import asyncio

import pytest

from hapenny.simulation import loop
from hapenny.simulation.fleet_provider import Provider, ProviderCard, Throttled
from hapenny.stores.counters import MemoryCounters
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.gate import CallOutcome, Gate
from hapenny.throughput.overrun import Overrun
from hapenny.throughput.pools import Pool, QuotaSpec, Used
from hapenny.throughput.queue import Job, Shed
from hapenny.throughput.quota import Quota

PER_MINUTE = 600_000


def test_hardly_a_call_is_refused_where_answers_take_more_than_they_reserved_and_the_quota_stays_in_use():
    async def main(clock):
        card = ProviderCard(tokens_per_minute=PER_MINUTE, burndown=5.0, network_s=0.02)
        provider = Provider(clock, card)
        spec = QuotaSpec(tokens_per_minute=PER_MINUTE, output_burndown=5.0)
        quota = Quota(Pool("m"), spec, MemoryCounters(clock), clock)
        gate = Gate(clock, [Endpoint("provider", clock, quota=quota)])
        used, began = 0, clock.now()

        async def one(output):
            nonlocal used
            asked = Job(input_tokens=400, max_tokens=1000, begin_by=clock.now() + 30, finish_by=clock.now() + 600)
            try:
                leave = await gate.enter(asked)
            except Shed:
                return
            try:
                made = await provider.call(400, 1000, output, on_begin=leave.begun)
            except Throttled:
                leave.done(CallOutcome.THROTTLED)
                return
            leave.done(CallOutcome.OK, Used(400, made))
            if 60 < clock.now() - began < 600:
                used += 400 + 5 * made

        tasks = []
        for _ in range(3_000):
            tasks.append(asyncio.create_task(one(clock.random.choice((100, 700, 1000)))))
            await clock.sleep(0.2)
        await asyncio.gather(*tasks)
        assert provider.throttled / provider.calls <= 0.015
        assert used / (PER_MINUTE * 9) > 0.97

    loop.run(main, 7)


def test_a_call_as_large_as_the_bucket_still_goes_when_it_is_full():
    async def main(clock):
        spec = QuotaSpec(tokens_per_minute=6_000, output_burndown=5.0)
        quota = Quota(Pool("m"), spec, MemoryCounters(clock), clock)
        for _ in range(3):
            asked = Job(input_tokens=1_000, max_tokens=5_000)
            grant = await quota.reserve(asked)
            assert grant.ticket is not None
            quota.settle(asked, grant.ticket, Used(1_000, 2_000))
            waited = await quota.reserve(asked)
            assert waited.ticket is None
            await clock.sleep(waited.wait_s + 60)

    loop.run(main)


def test_who_waits_for_what_is_kept_spare_does_not_take_itself_for_one_of_several():
    async def main(clock):
        spec = QuotaSpec(tokens_per_minute=60_000, output_burndown=5.0)
        quota = Quota(Pool("m"), spec, MemoryCounters(clock), clock)
        asked = Job(input_tokens=500, max_tokens=500)
        until = clock.now() + 300
        while clock.now() < until:
            grant = await quota.reserve(asked)
            if grant.ticket is None:
                await clock.sleep(max(0.01, grant.wait_s / 2))
                continue
            quota.settle(asked, grant.ticket, Used(500, 400))
        assert quota.rate == pytest.approx(1_000)

    loop.run(main)


def test_nothing_is_kept_spare_where_no_call_overruns_and_a_tenth_at_most():
    async def main(clock):
        overrun = Overrun(clock)
        for _ in range(100):
            await clock.sleep(0.1)
            overrun.ended(900, 1_000)
        assert overrun.spare(100_000) == 0
        for _ in range(100):
            overrun.ended(1_000_000, 1_000)
        assert overrun.spare(100_000) == 10_000

    loop.run(main)
