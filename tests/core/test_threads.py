"""Blocking work of one kind never keeps another's waiting, nor the process."""

import asyncio
import subprocess
import sys
import threading

import pytest

from hapenny.core.clock import RealClock


async def test_kinds_that_hang_leave_the_others_their_threads():
    clock, release = RealClock(), threading.Event()
    hung = [asyncio.ensure_future(clock.work("retrieve:far", 1, release.wait)) for _ in range(50)]
    for number in range(20):
        assert await clock.work("ledger", 1, lambda n=number: n + 1) == number + 1
        assert await clock.work("retrieve:near", 1, lambda n=number: n) == number
    release.set()
    assert all(await asyncio.gather(*hung))


async def test_what_is_raised_comes_back():
    with pytest.raises(KeyError):
        await RealClock().work("x", 1, lambda: {}["missing"])
    with pytest.raises(RuntimeError):
        await RealClock().work("x", 1, lambda: next(iter(())))


async def test_who_leaves_is_not_waited_for_and_leaves_the_thread_to_others():
    clock, release = RealClock(), threading.Event()
    waiting = asyncio.ensure_future(clock.work("x", 1, release.wait))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()
    assert [await clock.work("x", 1, lambda n=n: n) for n in range(10)] == list(range(10))


def test_a_process_ends_although_a_server_it_asked_never_answers():
    code = """
import asyncio, threading
from hapenny.core.clock import RealClock
async def main():
    asyncio.ensure_future(RealClock().work("x", 1, threading.Event().wait))
    await asyncio.sleep(0.05)
asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=20, check=False).returncode == 0
