"""Key-value: small values under text keys, with a lifetime and compare-and-set. And how to open one by URL."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

MAX_SCAN = 1_000


class KeyValue(Protocol):
    """The contract (`tests/stores/test_kv.py` holds every implementation to it).

    Keys are any text but the empty one, values any bytes. `ttl` is in seconds; None lives until it is deleted.
    Every call is atomic.
    """

    async def get(self, key: str) -> bytes | None:
        """The value, or None where there is none or its lifetime is over."""

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Puts a value; an earlier one and its lifetime are replaced."""

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes, ttl: float | None = None) -> bool:
        """Puts `value` if the present one is `expected` (None: there is none). Whether it did."""

    async def delete(self, key: str) -> bool:
        """Removes a value; whether there was one."""

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = MAX_SCAN) -> list[tuple[str, bytes]]:
        """Up to `limit` pairs whose keys begin with `prefix` and come behind `after`, in the order of their UTF-8."""

    async def aclose(self) -> None:
        """Lets go of connections. Idempotent."""


async def scanned(store: KeyValue, prefix: str, page: int = MAX_SCAN) -> AsyncGenerator[tuple[str, bytes], None]:
    """All pairs whose keys begin with `prefix`, in order, read by the `page`; what is put or deleted meanwhile may be
    among them or not."""
    after = ""
    while True:
        pairs = await store.scan(prefix, after=after, limit=page)
        for pair in pairs:
            yield pair
        if len(pairs) < page:
            return
        after = pairs[-1][0]
