"""Waits for what goes on beside a test."""

import asyncio


async def eventually(holds, seconds=20):
    """Until `holds()` is true. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)


async def settled(gateway):
    """Until no background work is under way."""
    await gateway.settled()
