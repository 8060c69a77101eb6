"""Key-value in a PostgreSQL table: for several hosts. Lifetimes follow the server's clock."""

from __future__ import annotations

from typing import Any

from hapenny.core.clock import Clock
from hapenny.stores.kv import MAX_SCAN
from hapenny.stores.postgres_link import PostgresLink, Step

_NOW = "extract(epoch FROM clock_timestamp())"
_LIVES = f"(dies IS NULL OR dies > {_NOW})"


class PostgresKeyValue:
    """See the module. The table is made if it is missing; a lost connection is opened again.

    Args:
        dsn: of the database.
        clock: the deployment's, for waits.
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
        return await self._link.run(lambda db: self._get(db, key))

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Puts a value."""
        await self._link.run(lambda db: self._set(db, key, value, ttl))

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes, ttl: float | None = None) -> bool:
        """Puts a value if the present one is as expected."""

        async def work(db: Any) -> bool:
            # A lock by the key's hash: `FOR UPDATE` locks no row that is not there yet.
            place = f"{self._table}/{_order(key).hex()}"
            await db.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (place,))
            if await self._get(db, key) != expected:
                return False
            await self._set(db, key, value, ttl)
            return True

        return await self._link.run(work)

    async def delete(self, key: str) -> bool:
        """Removes a value."""

        async def work(db: Any) -> bool:
            known = await self._get(db, key) is not None
            await db.execute(f"DELETE FROM {self._table} WHERE key = %s", (_order(key),))
            return known

        return await self._link.run(work)

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = MAX_SCAN) -> list[tuple[str, bytes]]:
        """Pairs by prefix, sorted."""
        low = _order(prefix)
        sql = (
            f"SELECT key, value FROM {self._table} WHERE substring(key FROM 1 FOR %s) = %s AND key > %s"
            f" AND {_LIVES} ORDER BY key LIMIT %s"
        )

        async def work(db: Any) -> list[Any]:
            cursor = await db.execute(sql, (len(low), low, _order(after), limit))
            return await cursor.fetchall()  # type: ignore[no-any-return]

        rows = await self._link.run(work)
        return [(bytes(key).decode("utf-8", "surrogatepass"), bytes(value)) for key, value in rows]

    async def aclose(self) -> None:
        """Closes the connections. Idempotent."""
        await self._link.aclose()

    async def _get(self, db: Any, key: str) -> bytes | None:
        sql = f"SELECT value FROM {self._table} WHERE key = %s AND {_LIVES}"
        row = await (await db.execute(sql, (_order(key),))).fetchone()
        return None if row is None else bytes(row[0])

    async def _set(self, db: Any, key: str, value: bytes, ttl: float | None) -> None:
        await db.execute(
            f"INSERT INTO {self._table} VALUES (%s, %s, {_NOW} + %s::float8)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value, dies = excluded.dies",
            (_order(key), value, ttl),
        )


def _order(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")
