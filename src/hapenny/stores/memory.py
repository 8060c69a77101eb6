"""Stores of this process, bounded: for tests, for simulated time, for deployments of one process."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec

from hapenny.core.clock import Clock
from hapenny.stores.kv import MAX_SCAN
from hapenny.stores.rows import MAX_FOUND, Record, Scalar, checked, matches


class MemoryKeyValue:
    """Key-value in a dictionary; past `capacity` entries the least recently used leave."""

    def __init__(self, clock: Clock, capacity: int = 1_000_000) -> None:
        self._clock = clock
        self._capacity = capacity
        self._values: OrderedDict[str, tuple[bytes, float | None]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        """The live value."""
        entry = self._values.get(key)
        if entry is None:
            return None
        value, dies = entry
        if dies is not None and self._clock.wall() >= dies:
            del self._values[key]
            return None
        self._values.move_to_end(key)
        return value

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Puts a value."""
        self._values[key] = (bytes(value), None if ttl is None else self._clock.wall() + ttl)
        self._values.move_to_end(key)
        if len(self._values) > self._capacity:
            self._values.popitem(last=False)

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes, ttl: float | None = None) -> bool:
        """Puts a value if the present one is as expected (no other task runs in between)."""
        if await self.get(key) != expected:
            return False
        await self.set(key, value, ttl)
        return True

    async def delete(self, key: str) -> bool:
        """Removes a value."""
        known = await self.get(key) is not None
        self._values.pop(key, None)
        return known

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = MAX_SCAN) -> list[tuple[str, bytes]]:
        """Pairs by prefix, sorted."""
        now = self._clock.wall()
        keys = sorted(
            key for key, (_, dies) in self._values.items()
            if key.startswith(prefix) and key > after and (dies is None or now < dies)
        )  # fmt: skip
        return [(key, self._values[key][0]) for key in keys[:limit]]

    async def aclose(self) -> None:
        """Forgets everything."""
        self._values.clear()


class MemoryRows:
    """Rows in dictionaries; past `capacity` rows of a table the oldest leave."""

    def __init__(self, capacity: int = 100_000) -> None:
        self._capacity = capacity
        self._tables: dict[str, dict[str, Record]] = {}
        self._orders: dict[str, list[tuple[float, str]]] = {}

    async def put(self, table: str, id: str, body: Mapping[str, Any], *, at: float) -> None:
        """Puts a row (a copy of it)."""
        rows, order = self._tables.setdefault(table, {}), self._orders.setdefault(table, [])
        self._drop(rows, order, id)
        copy = msgspec.json.decode(msgspec.json.encode(dict(body)))
        rows[id] = Record(id, at, copy)
        insort(order, (at, id))
        if len(order) > self._capacity:
            self._drop(rows, order, order[0][1])

    async def get(self, table: str, id: str) -> Record | None:
        """A row by id."""
        return self._tables.get(table, {}).get(id)

    async def find(
        self,
        table: str,
        *,
        where: Mapping[str, Scalar] | None = None,
        since: float | None = None,
        until: float | None = None,
        newest: bool = False,
        limit: int = MAX_FOUND,
    ) -> list[Record]:
        """Rows by fields and time."""
        where = checked(where)
        rows, order = self._tables.get(table, {}), self._orders.get(table, [])
        first = 0 if since is None else bisect_left(order, (since, ""))
        last = len(order) if until is None else bisect_left(order, (until, ""))
        span = order[first:last]
        records: list[Record] = []
        for _, id in reversed(span) if newest else span:
            if len(records) >= limit:
                break
            record = rows[id]
            if matches(record.body, where):
                records.append(record)
        return records

    async def delete(
        self,
        table: str,
        *,
        id: str | None = None,
        where: Mapping[str, Scalar] | None = None,
        until: float | None = None,
    ) -> int:
        """Removes what matches."""
        where = checked(where)
        rows, order = self._tables.get(table, {}), self._orders.get(table, [])
        gone = [
            record.id for record in rows.values()
            if (id is None or record.id == id) and (until is None or record.at < until) and matches(record.body, where)
        ]  # fmt: skip
        for name in gone:
            self._drop(rows, order, name)
        return len(gone)

    async def aclose(self) -> None:
        """Forgets everything."""
        self._tables.clear()
        self._orders.clear()

    @staticmethod
    def _drop(rows: dict[str, Record], order: list[tuple[float, str]], id: str) -> None:
        record = rows.pop(id, None)
        if record is not None:
            del order[bisect_right(order, (record.at, id)) - 1]
