"""The shared space and the shared counters by their address."""

from __future__ import annotations

from hapenny.core.clock import Clock
from hapenny.stores.counters import Counters, MemoryCounters
from hapenny.stores.space import Space


def open_space(address: str, clock: Clock) -> Space | None:
    """The space at `redis://…`, `rediss://…`, `valkey://…` or `host:SOCKET`; None for an empty address."""
    if not address:
        return None
    if address.startswith("host:"):
        from hapenny.stores.host import HostLine, HostSpace

        return HostSpace(HostLine(address, clock))
    from hapenny.stores.space_redis import RedisSpace

    return RedisSpace(address.replace("valkey:", "redis:", 1), clock)


def open_counters(address: str, clock: Clock) -> Counters:
    """The counters at `memory`, `redis://…`, `rediss://…`, `valkey://…` or `host:SOCKET`."""
    if address == "memory":
        return MemoryCounters(clock)
    if address.startswith("host:"):
        from hapenny.stores.host import HostCounters, HostLine

        return HostCounters(HostLine(address, clock))
    from hapenny.stores.counters_redis import RedisCounters

    return RedisCounters(address.replace("valkey:", "redis:", 1), clock)
