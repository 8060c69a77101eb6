"""Key-value in a PostgreSQL table: for several hosts."""

from __future__ import annotations

from typing import Any

from hapenny.core.clock import Clock
from hapenny.stores.kv import MAX_SCAN
from hapenny.stores.postgres_link import PostgresLink, Step


class PostgresKeyValue:
    """See the module. The table is made if it is missing; a lost connection is opened again.

    Args:
        dsn: of the database.
        clock: decides about lifetimes.
        space: name of the table; letters, digits and underscores.

    Raises (all methods):
        ConnectionError: the database cannot be reached, or refuses, or does not answer in time.
    """

    def __init__(self, dsn: str, clock: Clock, space: str = "hapenny") -> None:
        if not space.replace("_", "").isalnum():
            raise ValueError(f"{space!r} is no name of a table")
        self._clock = clock
        self._table = f"{space}_kv"
        steps = [
            Step(
                f"CREATE TABLE IF NOT EXISTS {self._table}"
                " (key BYTEA PRIMARY KEY, value BYTEA NOT NULL, dies DOUBLE PRECISION)"
            )
        ]
        self._link = PostgresLink(dsn, clock, self._table, steps)

    async def get(self, key: str) -> bytes | None:
        """The live value."""
        now = self._clock.wall()
        return await self._link.run(lambda db: self._get(db, key, now))

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Puts a value."""
        now = self._clock.wall()
        await self._link.run(lambda db: self._set(db, key, value, now, ttl))

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes, ttl: float | None = None) -> bool:
        """Puts a value if the present one is as expected."""
        now = self._clock.wall()

        async def work(db: Any) -> bool:
            # A lock by the key's hash: `FOR UPDATE` locks no row that is not there yet.
            place = f"{self._table}/{_order(key).hex()}"
            await db.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (place,))
            if await self._get(db, key, now) != expected:
                return False
            await self._set(db, key, value, now, ttl)
            return True

        return await self._link.run(work)

    async def delete(self, key: str) -> bool:
        """Removes a value."""
        now = self._clock.wall()

        async def work(db: Any) -> bool:
            known = await self._get(db, key, now) is not None
            await db.execute(f"DELETE FROM {self._table} WHERE key = %s", (_order(key),))
            return known

        return await self._link.run(work)

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = MAX_SCAN) -> list[tuple[str, bytes]]:
        """Pairs by prefix, sorted."""
        low, now = _order(prefix), self._clock.wall()
        sql = (
            f"SELECT key, value FROM {self._table} WHERE substring(key FROM 1 FOR %s) = %s AND key > %s"
            " AND (dies IS NULL OR dies > %s) ORDER BY key LIMIT %s"
        )

        async def work(db: Any) -> list[Any]:
            cursor = await db.execute(sql, (len(low), low, _order(after), now, limit))
            return await cursor.fetchall()  # type: ignore[no-any-return]

        rows = await self._link.run(work)
        return [(bytes(key).decode("utf-8", "surrogatepass"), bytes(value)) for key, value in rows]

    async def aclose(self) -> None:
        """Closes the connections. Idempotent."""
        await self._link.aclose()

    async def _get(self, db: Any, key: str, now: float) -> bytes | None:
        sql = f"SELECT value FROM {self._table} WHERE key = %s AND (dies IS NULL OR dies > %s)"
        row = await (await db.execute(sql, (_order(key), now))).fetchone()
        return None if row is None else bytes(row[0])

    async def _set(self, db: Any, key: str, value: bytes, now: float, ttl: float | None) -> None:
        dies = None if ttl is None else now + ttl
        await db.execute(
            f"INSERT INTO {self._table} VALUES (%s, %s, %s)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value, dies = excluded.dies",
            (_order(key), value, dies),
        )


def _order(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")
