"""Waits for what goes on beside a test."""

import asyncio
import time


async def eventually(holds, seconds=20):
    """Until `holds()` is true. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)


def until(holds, seconds=20):
    """The same where nothing else has to go on in this thread; what `holds()` gave."""
    end = time.monotonic() + seconds
    while not (given := holds()):
        if time.monotonic() > end:
            raise TimeoutError("it never came to that")
        time.sleep(0.05)
    return given


async def settled(gateway):
    """Until no background work is under way."""
    await gateway.settled()
