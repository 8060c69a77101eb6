"""A key-value store by URL."""

from __future__ import annotations

from hapenny.core.clock import Clock
from hapenny.stores.kv import KeyValue


def open_kv(url: str, clock: Clock, *, space: str = "hapenny") -> KeyValue:
    """A key-value store by URL: `memory:`, `redis://…` (also `rediss`, `valkey`).

    Args:
        url: where.
        clock: decides about lifetimes (Redis uses its own).
        space: separates deployments that share a server.

    Raises:
        ValueError: no store has such a URL.
    """
    scheme = url.partition(":")[0]
    if scheme == "memory":
        from hapenny.stores.memory import MemoryKeyValue

        return MemoryKeyValue(clock)
    if scheme in ("redis", "rediss", "valkey"):
        from hapenny.stores.redis import RedisKeyValue

        return RedisKeyValue(url.replace("valkey:", "redis:", 1), space)
    raise ValueError(f"no store has the URL {scheme}:…; use memory: or redis://…")
