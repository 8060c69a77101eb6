import asyncio

import pytest

from hapenny.simulation import loop
from hapenny.simulation.fleet_provider import Provider, ProviderCard, Throttled
from hapenny.stores.counters import MemoryCounters, Ticket
from hapenny.throughput.learner import Learner
from hapenny.throughput.pools import Pool, QuotaSpec, Used
from hapenny.throughput.queue import Job
from hapenny.throughput.quota import Quota


def job(input=1000, most=1000):
    return Job(input_tokens=input, max_tokens=most)


def made(clock, counters=None, **spec):
    return Quota(Pool("m"), QuotaSpec(**spec), counters or MemoryCounters(clock), clock)


def test_requests_tokens_and_days_are_reserved_together():
    async def main(clock):
        quota = made(clock, requests_per_minute=2, tokens_per_minute=10_000, tokens_per_day=5_000)
        assert (await quota.reserve(job())).ticket
        assert (await quota.reserve(job())).ticket
        third = await quota.reserve(job(10, 10))
        assert third.ticket is None
        assert third.wait_s == pytest.approx(30)
        await clock.sleep(60)
        day = await quota.reserve(job())
        assert day.ticket is None
        assert day.wait_s > 3600

    loop.run(main)


def test_requests_are_counted_once_whatever_the_tokens():
    async def main(clock):
        quota = made(clock, requests_per_minute=1, tokens_per_minute=1e9)
        grant = await quota.reserve(job())
        quota.settle(job(), grant.ticket, Used(10, 0))
        assert (await quota.reserve(job())).ticket is None

    loop.run(main)


def test_pools_are_apart():
    keys = {
        Pool("m").key,
        Pool("m", "us-east-1").key,
        Pool("m", "us-east-1", "123").key,
        Pool("m", "us-east-1", "", "bedrock-mantle").key,
        Pool("m", "us-east-1", "", "", "flex").key,
    }
    assert len(keys) == 5


def test_a_refusal_empties_the_mirror_and_repeated_ones_space_the_probes():
    async def main(clock):
        quota = made(clock, tokens_per_minute=60_000)
        waits = []
        for _ in range(6):
            grant = await quota.reserve(job())
            if grant.ticket is None:
                waits.append(grant.wait_s)
                await clock.sleep(grant.wait_s + 1e-3)
                grant = await quota.reserve(job())
                while grant.ticket is None:
                    await clock.sleep(grant.wait_s + 1e-3)
                    grant = await quota.reserve(job())
            quota.refused(job(), grant.ticket, clock.now())
        return waits, clock.now()

    waits, took = loop.run(main)
    assert waits
    assert took > 5


@pytest.mark.parametrize("window", ["refill", "minute"])
def test_an_unknown_quota_is_found(window):
    """A steady stream at twice the quota; nothing is told."""

    async def main(clock):
        provider = Provider(clock, ProviderCard(tokens_per_minute=100_000, window=window, burndown=1))
        quota = made(clock, output_burndown=1)
        throttled = [0, 0]

        async def one():
            while (grant := await quota.reserve(job(400, 100))).ticket is None:
                await clock.sleep(max(0.01, grant.wait_s))
            started = clock.now()
            try:
                await provider.call(400, 100, 100, on_begin=lambda: quota.accepted(started))
            except Throttled:
                quota.refused(job(400, 100), grant.ticket, started)
                throttled[clock.now() > 240] += 1
            else:
                quota.settle(job(400, 100), grant.ticket, Used(400, 100))

        pending = set()
        for step in range(600 * 4):
            if len(pending) < 40:
                task = asyncio.create_task(one())
                pending.add(task)
                task.add_done_callback(pending.discard)
            await clock.sleep(0.15)
            if step == 1600:
                before = provider.settled, clock.now(), provider.calls
        rate = 60 * (provider.settled - before[0]) / (clock.now() - before[1])
        return rate, quota.learner.by_minute, throttled[1] / (provider.calls - before[2] + 1)

    rate, by_minute, refused = loop.run(main)
    assert 90_000 < rate < 105_000
    assert by_minute == (window == "minute")
    assert refused < 0.1


def test_a_raised_quota_is_noticed():
    async def main(clock):
        learner = Learner(clock)
        for _ in range(100):
            await clock.sleep(0.3)
            learner.took(1000)
            learner.accepted(clock.now())
        learner.refused(clock.now())
        low = learner.per_minute
        for _ in range(600):
            await clock.sleep(0.3)
            learner.took(1000)
            learner.bound()
        return low, learner.per_minute

    low, high = loop.run(main)
    assert high > 1.5 * low


class Lost(MemoryCounters):
    async def reserve(self, charges, ttl_s=600.0):
        raise ConnectionError("gone")


def test_without_the_shared_store_each_process_keeps_its_own_share():
    async def main(clock):
        quota = made(clock, Lost(clock), tokens_per_minute=10_000)
        tickets = []
        while (grant := await quota.reserve(job())).ticket:
            tickets.append(grant.ticket)
        assert len(tickets) == 5
        quota.settle(job(), tickets[0], Used(0, 0))
        assert (await quota.reserve(job())).ticket

    loop.run(main)


class Away(MemoryCounters):
    """A shared store that can be away for a while."""

    away = False

    async def reserve(self, charges, ttl_s=600.0):
        if self.away:
            raise ConnectionError("gone")
        return await super().reserve(charges, ttl_s)


def test_what_was_taken_alone_is_taken_from_the_shared_store_when_it_is_back():
    async def main(clock):
        shared = Away(clock)
        quota = made(clock, shared, tokens_per_minute=10_000)
        assert (await quota.reserve(job())).ticket  # 2,000
        shared.away = True
        for _ in range(3):
            assert (await quota.reserve(job())).ticket
        shared.away = False
        assert (await quota.reserve(job())).ticket
        # Five calls of 2,000 are the whole minute, wherever they were counted.
        assert (await quota.reserve(job())).ticket is None

    loop.run(main)


def test_refusals_of_a_minute_say_nothing_of_the_next_one():
    async def main(clock):
        quota = made(clock, tokens_per_minute=10_000, window="minute")
        await clock.sleep(60 - clock.wall() % 60 + 55)
        for _ in range(8):  # the pauses have grown to their longest, 5 s and more
            started = clock.now()
            quota.refused(job(), (await quota.reserve(job(1, 1))).ticket or Ticket("", ()), started)
            await clock.sleep(0.5)
        assert clock.wall() % 60 < 59.5
        assert quota.held_s() > 0
        await clock.sleep(60 - clock.wall() % 60 + 0.01)
        assert quota.held_s() == 0
        assert (await quota.reserve(job())).ticket is not None
        assert (await quota.reserve(job())).ticket is None  # one asks first

    loop.run(main)
