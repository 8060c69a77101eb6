"""Stores in Redis or Valkey: shared by processes and hosts. Lifetimes follow the server's clock."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from hapenny.stores.kv import MAX_SCAN

_COMPARE_AND_SET = """
local present = redis.call('GET', KEYS[1])
if ARGV[1] == '0' then
  if present then return 0 end
elseif present ~= ARGV[2] then
  return 0
end
if ARGV[4] == '' then redis.call('SET', KEYS[1], ARGV[3])
else redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) end
return 1
"""
_PAGE = 500
TIMEOUT_S = 2.0
"""Seconds a server may take to answer, and to be connected to."""


def connect(url: str) -> Any:
    """An asyncio client. Raises `ImportError` without the `redis` extra."""
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    # Once more at once, for a connection that was kept over the server's restart; no pauses beyond our own limits.
    again = Retry(NoBackoff(), 1)
    return Redis.from_url(
        url, retry=again, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S, health_check_interval=30
    )


P = ParamSpec("P")
T = TypeVar("T")


def _reached(call: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Tells a lost server as every other store does."""

    @functools.wraps(call)
    async def wrapped(*arguments: P.args, **named: P.kwargs) -> T:
        from redis.exceptions import RedisError

        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        failed: RedisError | None = None
        try:
            result = await call(*arguments, **named)
        except RedisError as error:
            failed = error
        if task is not None and task.cancelling() > before:  # the client has swallowed a cancellation
            raise asyncio.CancelledError
        if failed is not None:
            raise ConnectionError(f"the key-value store cannot be used: {type(failed).__name__}") from failed
        return result

    return wrapped


class RedisKeyValue:
    """Key-value. `scan` walks the whole key space of the server: for administration, not for the hot path."""

    def __init__(self, url: str, space: str = "hapenny") -> None:
        self._client = connect(url)
        self._space = f"{space}:kv:".encode()
        self._cas = self._client.register_script(_COMPARE_AND_SET)

    @_reached
    async def get(self, key: str) -> bytes | None:
        """The live value."""
        found: bytes | None = await self._client.get(self._key(key))
        return found

    @_reached
    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Puts a value."""
        await self._client.set(self._key(key), value, px=_milliseconds(ttl))

    @_reached
    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes, ttl: float | None = None) -> bool:
        """Puts a value if the present one is as expected."""
        span = _milliseconds(ttl)
        arguments = [int(expected is not None), expected or b"", value, "" if span is None else span]
        return bool(await self._cas(keys=[self._key(key)], args=arguments))

    @_reached
    async def delete(self, key: str) -> bool:
        """Removes a value."""
        return bool(await self._client.delete(self._key(key)))

    @_reached
    async def scan(self, prefix: str = "", *, after: str = "", limit: int = MAX_SCAN) -> list[tuple[str, bytes]]:
        """Pairs by prefix, sorted."""
        pattern = b"".join(_literal(byte) for byte in self._key(prefix)) + b"*"
        floor = self._key(after)
        keys = sorted({key async for key in self._client.scan_iter(match=pattern, count=_PAGE) if key > floor})
        found: list[tuple[str, bytes]] = []
        for start in range(0, len(keys), _PAGE):
            page = keys[start : start + _PAGE]
            for key, value in zip(page, await self._client.mget(page), strict=True):
                if value is not None:
                    found.append((key[len(self._space) :].decode("utf-8", "surrogatepass"), value))
            if len(found) >= limit:
                break
        return found[:limit]

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    def _key(self, key: str) -> bytes:
        return self._space + key.encode("utf-8", "surrogatepass")


def _milliseconds(ttl: float | None) -> int | None:
    return None if ttl is None else max(1, round(ttl * 1000))


def _literal(byte: int) -> bytes:
    return b"\\" + bytes([byte]) if byte in b"*?[]^-\\" else bytes([byte])
