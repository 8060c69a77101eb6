import asyncio

import pytest

from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.simulation import loop
from hapenny.throughput.microbatch import MicroBatcher, MicroBatchSpec, QueueFull


class Upstream:
    """An embedder: 20 ms a call and 1 ms an item."""

    def __init__(self, clock, bad=()):
        self.clock, self.bad, self.batches = clock, set(bad), []

    async def __call__(self, items):
        self.batches.append(list(items))
        await self.clock.sleep(0.02 + 0.001 * len(items))
        if self.bad & set(items):
            raise ValueError("bad item")
        return [item * 2 for item in items]


def batcher(clock, upstream, size=lambda item: 1, **spec):
    return MicroBatcher(clock, upstream, size, MicroBatchSpec(**spec))


def test_idle_calls_do_not_wait():
    async def main(clock):
        upstream = Upstream(clock)
        call = batcher(clock, upstream, window_s=1.0)
        for item in range(5):
            started = clock.now()
            assert await call(item) == item * 2
            assert clock.now() - started == pytest.approx(0.021)
            await clock.sleep(0.5)
        return upstream.batches

    assert loop.run(main) == [[0], [1], [2], [3], [4]]


def test_calls_made_meanwhile_share_a_batch_and_get_their_own_results():
    async def main(clock):
        upstream = Upstream(clock)
        call = batcher(clock, upstream, places=1)
        results = await asyncio.gather(*(call(item) for item in range(30)))
        return results, upstream.batches

    results, batches = loop.run(main)
    assert results == [item * 2 for item in range(30)]
    assert [len(batch) for batch in batches] == [1, 29]


def test_batches_are_bounded_by_items_and_tokens():
    async def main(clock):
        upstream = Upstream(clock)
        call = batcher(clock, upstream, size=lambda item: item, items=4, tokens=100, places=1)
        await asyncio.gather(*(call(item) for item in [1, 60, 50, 10, 10, 10, 10, 10, 500, 1]))
        return upstream.batches

    for batch in loop.run(main):
        assert len(batch) <= 4
        assert sum(batch) <= 100 or len(batch) == 1


def test_with_a_place_free_nobody_waits_longer_than_the_window():
    async def main(clock):
        upstream = Upstream(clock)
        call = batcher(clock, upstream, window_s=0.005, places=2)
        first = asyncio.create_task(call(1))
        await clock.sleep(0.001)
        started = clock.now()
        await call(2)
        await first
        return clock.now() - started

    assert 0.021 < loop.run(main) <= 0.005 + 0.021 + 1e-9


def test_one_bad_item_fails_alone():
    async def main(clock):
        upstream = Upstream(clock, bad=[3])
        call = batcher(clock, upstream, places=1)
        return await asyncio.gather(*(call(item) for item in range(6)), return_exceptions=True)

    results = loop.run(main)
    assert isinstance(results[3], ValueError)
    assert [r for i, r in enumerate(results) if i != 3] == [0, 2, 4, 8, 10]


def test_a_caller_that_leaves_is_not_sent():
    async def main(clock):
        upstream = Upstream(clock)
        call = batcher(clock, upstream, places=1)
        tasks = [asyncio.create_task(call(item)) for item in range(5)]
        await clock.sleep(0.001)
        tasks[2].cancel()
        await asyncio.wait(tasks)
        return upstream.batches

    assert loop.run(main) == [[0], [1, 3, 4]]


def test_the_queue_is_bounded():
    async def main(clock):
        call = batcher(clock, Upstream(clock), places=1, queue=3)
        results = await asyncio.gather(*(call(item) for item in range(10)), return_exceptions=True)
        return [r for r in results if isinstance(r, QueueFull)]

    assert len(loop.run(main)) == 6


async def test_a_failure_that_one_item_did_not_bring_is_not_asked_for_again():
    sizes = []

    async def down(items):
        sizes.append(len(items))
        await asyncio.sleep(0)
        raise ConnectionError

    gathered = MicroBatcher(RealClock(), down, len, MicroBatchSpec(window_s=0.0, places=1), alone=lambda error: False)
    asked = await asyncio.gather(*[gathered("text") for _ in range(5)], return_exceptions=True)
    assert [type(each) for each in asked] == [ConnectionError] * 5
    assert sizes == [1, 4]


def test_a_batch_that_is_killed_fails_its_callers_and_leaves_the_next_ones_be():
    async def main(clock):
        upstream = Upstream(clock)
        call = batcher(clock, upstream, places=1, window_s=0.5)
        first = asyncio.create_task(call(1))
        await clock.sleep(0.001)
        later = [asyncio.create_task(call(item)) for item in (2, 3)]
        await clock.sleep(0.001)
        (batch,) = [task for task in asyncio.all_tasks() if "MicroBatcher._batch" in repr(task.get_coro())]
        batch.cancel()
        with pytest.raises(Failure):  # an error, and not a cancellation: nobody cancelled the caller
            await first
        assert [await each for each in later] == [4, 6]
        assert call.guard.failures == 1

    loop.run(main)
