"""Waits for what a gateway does off the path."""


async def settled(gateway):
    """Until no background work is under way."""
    await gateway.settled()
