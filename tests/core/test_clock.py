"""The cheap time limit ends what is late, and nothing else."""

import asyncio

import pytest

from hapenny.core.clock import within


async def test_what_is_late_is_ended_and_the_task_goes_on():
    with pytest.raises(TimeoutError), within(0.001):
        await asyncio.Event().wait()
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0


async def test_no_time_left_ends_at_the_first_wait():
    with pytest.raises(TimeoutError), within(0):
        await asyncio.sleep(0)
        await asyncio.sleep(60)


async def test_what_is_in_time_is_left_alone():
    with within(60):
        await asyncio.sleep(0)
    with pytest.raises(KeyError), within(60):
        raise KeyError


async def test_a_cancellation_from_elsewhere_stays_one():
    started = asyncio.Event()

    async def work():
        with within(60):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_limits_nest():
    with pytest.raises(TimeoutError), within(60), within(0.001):
        await asyncio.Event().wait()
    with pytest.raises(TimeoutError), within(0.001), within(60):
        await asyncio.Event().wait()
