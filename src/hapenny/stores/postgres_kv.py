"""Key-value in a PostgreSQL table: for several hosts. Work runs off the loop, one statement at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from hapenny.core.clock import Clock
from hapenny.stores.kv import MAX_SCAN

T = TypeVar("T")

STATEMENT_S = 5
"""Seconds after which a statement is given up by the server."""


class PostgresKeyValue:
    """See the module. The table is made if it is missing; a lost connection is opened again at the next call.

    Args:
        dsn: of the database.
        clock: decides about lifetimes.
        space: name of the table; letters, digits and underscores.

    Raises (all methods):
        ConnectionError: the database cannot be reached, or refuses.
    """

    def __init__(self, dsn: str, clock: Clock, space: str = "hapenny") -> None:
        if not space.replace("_", "").isalnum():
            raise ValueError(f"{space!r} is no name of a table")
        self._dsn = dsn
        self._clock = clock
        self._table = f"{space}_kv"
        self._lock = threading.Lock()
        self._db: Any = None

    async def get(self, key: str) -> bytes | None:
        """The live value."""
        now = self._clock.wall()
        return await self._run(lambda db: self._get(db, key, now))

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Puts a value."""
        now = self._clock.wall()
        await self._run(lambda db: self._set(db, key, value, now, ttl))

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes, ttl: float | None = None) -> bool:
        """Puts a value if the present one is as expected."""
        now = self._clock.wall()

        def work(db: Any) -> bool:
            # A lock by the key's hash: `FOR UPDATE` locks no row that is not there yet.
            db.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{self._table}/{_order(key).hex()}",))
            if self._get(db, key, now) != expected:
                return False
            self._set(db, key, value, now, ttl)
            return True

        return await self._run(work)

    async def delete(self, key: str) -> bool:
        """Removes a value."""
        now = self._clock.wall()

        def work(db: Any) -> bool:
            known = self._get(db, key, now) is not None
            db.execute(f"DELETE FROM {self._table} WHERE key = %s", (_order(key),))
            return known

        return await self._run(work)

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = MAX_SCAN) -> list[tuple[str, bytes]]:
        """Pairs by prefix, sorted."""
        low, now = _order(prefix), self._clock.wall()
        sql = (
            f"SELECT key, value FROM {self._table} WHERE substring(key FROM 1 FOR %s) = %s AND key > %s"
            " AND (dies IS NULL OR dies > %s) ORDER BY key LIMIT %s"
        )
        rows = await self._run(lambda db: db.execute(sql, (len(low), low, _order(after), now, limit)).fetchall())
        return [(bytes(key).decode("utf-8", "surrogatepass"), bytes(value)) for key, value in rows]

    async def aclose(self) -> None:
        """Closes the connection. Idempotent."""
        db, self._db = self._db, None
        if db is not None:
            await self._clock.work("postgres", 1.0, db.close)

    def _get(self, db: Any, key: str, now: float) -> bytes | None:
        sql = f"SELECT value FROM {self._table} WHERE key = %s AND (dies IS NULL OR dies > %s)"
        row = db.execute(sql, (_order(key), now)).fetchone()
        return None if row is None else bytes(row[0])

    def _set(self, db: Any, key: str, value: bytes, now: float, ttl: float | None) -> None:
        dies = None if ttl is None else now + ttl
        db.execute(
            f"INSERT INTO {self._table} VALUES (%s, %s, %s)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value, dies = excluded.dies",
            (_order(key), value, dies),
        )

    async def _run(self, work: Callable[[Any], T]) -> T:
        def locked() -> T:
            import psycopg

            with self._lock:
                try:
                    if self._db is None or self._db.closed:
                        self._db = self._connected()
                    with self._db.transaction():
                        return work(self._db)
                except psycopg.OperationalError as error:
                    broken, self._db = self._db, None
                    if broken is not None:
                        broken.close()
                    raise ConnectionError(f"the database cannot be used: {type(error).__name__}") from error

        return await self._clock.work("postgres", 1.0, locked)

    def _connected(self) -> Any:
        import psycopg

        db = psycopg.connect(self._dsn, connect_timeout=STATEMENT_S, autocommit=True)
        db.execute(f"SET statement_timeout = {STATEMENT_S * 1000}")
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table}"
            " (key BYTEA PRIMARY KEY, value BYTEA NOT NULL, dies DOUBLE PRECISION)"
        )
        return db


def _order(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")
