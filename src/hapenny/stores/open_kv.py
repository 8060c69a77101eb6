"""A key-value store by URL."""

from __future__ import annotations

from hapenny.core.clock import Clock
from hapenny.stores.kv import KeyValue


def open_kv(url: str, clock: Clock, *, space: str = "hapenny") -> KeyValue:
    """A key-value store by URL: `memory:`, `redis://…` (also `rediss`, `valkey`), `postgresql://…`,
    `s3://BUCKET/PREFIX`, or the path of a file: JSON where it ends with `.json`, else SQLite.

    Args:
        url: where.
        clock: decides about lifetimes (Redis uses its own).
        space: separates deployments that share a server.

    Raises:
        ValueError: no store has such a URL.
        OSError: the file cannot be opened.
    """
    scheme = url.partition(":")[0] if ":" in url else ""
    if scheme == "memory":
        from hapenny.stores.memory import MemoryKeyValue

        return MemoryKeyValue(clock)
    if scheme in ("redis", "rediss", "valkey"):
        from hapenny.stores.redis import RedisKeyValue

        return RedisKeyValue(url.replace("valkey:", "redis:", 1), space)
    if scheme in ("postgres", "postgresql"):
        from hapenny.stores.postgres_kv import PostgresKeyValue

        return PostgresKeyValue(url, clock, space)
    if scheme == "s3":
        from hapenny.stores.s3_kv import S3KeyValue

        return S3KeyValue(url, clock)
    if "://" in url or not url:
        raise ValueError(f"no store has the URL {scheme}:…; use memory:, redis://…, postgresql://…, s3://… or a path")
    if url.endswith(".json"):
        from hapenny.stores.file_kv import FileKeyValue

        return FileKeyValue(url, clock)
    from hapenny.stores.sqlite import SqliteFile, SqliteKeyValue

    return SqliteKeyValue(SqliteFile(url, clock))
