"""Waits for what a gateway does off the path."""

import asyncio


async def settled(gateway):
    """Until no background work is under way. Each turn yields: a wait for tasks that are all done need not."""
    while gateway._tasks:
        await asyncio.wait(gateway._tasks)
        await asyncio.sleep(0)
