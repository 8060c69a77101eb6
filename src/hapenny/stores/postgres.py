"""Stores in PostgreSQL: shared by processes and hosts, durable. Lifetimes follow the deployment's clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from hapenny.core.clock import Clock
from hapenny.stores.blobs import name_of
from hapenny.stores.kv import MAX_SCAN
from hapenny.stores.rows import MAX_FOUND, Record, Scalar, checked
from hapenny.stores.sqlite import SWEEP, after_prefix

_TABLES = """
CREATE TABLE IF NOT EXISTS {p}_kv (key bytea PRIMARY KEY, value bytea NOT NULL, dies double precision);
CREATE INDEX IF NOT EXISTS {p}_kv_dies ON {p}_kv (dies) WHERE dies IS NOT NULL;
CREATE TABLE IF NOT EXISTS {p}_rows (
  tab text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, at double precision NOT NULL, body jsonb NOT NULL,
  PRIMARY KEY (tab, id)
);
CREATE INDEX IF NOT EXISTS {p}_rows_at ON {p}_rows (tab, at, id);
CREATE TABLE IF NOT EXISTS {p}_blobs (name text PRIMARY KEY, data bytea NOT NULL);
"""
_LOCK = 0x68617065


class Postgres:
    """A few connections that several stores may share; a broken one is replaced.

    Args:
        dsn: a libpq connection string or URI.
        clock: decides about lifetimes.
        space: a prefix of the tables' names (letters, digits, underscores).
        connections: open at most.
    """

    def __init__(self, dsn: str, clock: Clock, space: str = "hapenny", connections: int = 8) -> None:
        if not space.isidentifier():
            raise ValueError(f"space: {space!r} cannot be part of a table's name; use letters, digits and underscores")
        self.clock = clock
        self.space = space
        self.writes = 0
        self._dsn = dsn
        self._free: list[Any] = []
        self._gate = asyncio.Semaphore(connections)
        self._ready = False
        self._preparing = asyncio.Lock()

    async def run(self, sql: str, values: Sequence[Any] = ()) -> tuple[int, list[tuple[Any, ...]]]:
        """Executes one statement ({p} stands for the space); the number of rows touched, and the rows."""
        async with self._connection() as connection:
            cursor = await connection.execute(sql.replace("{p}", self.space), values)
            return cursor.rowcount, await cursor.fetchall() if cursor.description else []

    async def aclose(self) -> None:
        """Closes the connections. Idempotent."""
        free, self._free = self._free, []
        for connection in free:
            await connection.close()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        import psycopg

        async with self._gate:
            connection = self._free.pop() if self._free else None
            if connection is None or connection.closed:
                connection = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True, connect_timeout=5)
            if not self._ready:
                await self._prepare(connection)
            try:
                yield connection
            except BaseException:
                await connection.close()  # in an unknown state
                raise
            self._free.append(connection)

    async def _prepare(self, connection: Any) -> None:
        async with self._preparing:
            if self._ready:
                return
            async with connection.transaction():  # two processes that start together must not both create
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                await connection.execute(_TABLES.replace("{p}", self.space))
            self._ready = True


class PostgresKeyValue:
    """Key-value in a table."""

    def __init__(self, server: Postgres) -> None:
        self._server = server

    async def get(self, key: str) -> bytes | None:
        """The live value."""
        _, found = await self._server.run(
            "SELECT value FROM {p}_kv WHERE key = %s AND (dies IS NULL OR dies > %s)",
            (_key(key), self._server.clock.wall()),
        )
        return bytes(found[0][0]) if found else None

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Puts a value."""
        await self._server.run(
            "INSERT INTO {p}_kv VALUES (%s, %s, %s)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value, dies = excluded.dies",
            (_key(key), value, self._dies(ttl)),
        )
        await self._sweep()

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes, ttl: float | None = None) -> bool:
        """Puts a value if the present one is as expected; one statement, atomic by the row's lock."""
        now = self._server.clock.wall()
        if expected is None:
            count, _ = await self._server.run(
                "INSERT INTO {p}_kv AS t VALUES (%s, %s, %s)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value, dies = excluded.dies"
                " WHERE t.dies IS NOT NULL AND t.dies <= %s",
                (_key(key), value, self._dies(ttl), now),
            )
        else:
            count, _ = await self._server.run(
                "UPDATE {p}_kv SET value = %s, dies = %s WHERE key = %s AND value = %s AND (dies IS NULL OR dies > %s)",
                (value, self._dies(ttl), _key(key), expected, now),
            )
        await self._sweep()
        return count > 0

    async def delete(self, key: str) -> bool:
        """Removes a value."""
        _, found = await self._server.run(
            "DELETE FROM {p}_kv WHERE key = %s RETURNING dies IS NULL OR dies > %s",
            (_key(key), self._server.clock.wall()),
        )
        return bool(found and found[0][0])

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = MAX_SCAN) -> list[tuple[str, bytes]]:
        """Pairs by prefix, sorted."""
        low = _key(prefix)
        sql = "SELECT key, value FROM {p}_kv WHERE key >= %s AND key > %s AND (dies IS NULL OR dies > %s)"
        values: list[Any] = [low, _key(after), self._server.clock.wall()]
        high = after_prefix(low)
        if high is not None:
            sql += " AND key < %s"
            values.append(high)
        _, found = await self._server.run(sql + " ORDER BY key LIMIT %s", [*values, limit])
        return [(bytes(key).decode("utf-8", "surrogatepass"), bytes(value)) for key, value in found]

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._server.aclose()

    def _dies(self, ttl: float | None) -> float | None:
        return None if ttl is None else self._server.clock.wall() + ttl

    async def _sweep(self) -> None:
        self._server.writes += 1
        if self._server.writes % SWEEP == 0:
            await self._server.run("DELETE FROM {p}_kv WHERE dies <= %s", (self._server.clock.wall(),))


class PostgresRows:
    """Rows in a table with a JSONB body."""

    def __init__(self, server: Postgres) -> None:
        self._server = server

    async def put(self, table: str, id: str, body: Mapping[str, Any], *, at: float) -> None:
        """Puts a row."""
        await self._server.run(
            "INSERT INTO {p}_rows VALUES (%s, %s, %s, %s::jsonb)"
            " ON CONFLICT (tab, id) DO UPDATE SET at = excluded.at, body = excluded.body",
            (table, id, at, msgspec.json.encode(dict(body)).decode()),
        )

    async def get(self, table: str, id: str) -> Record | None:
        """A row by id."""
        _, found = await self._server.run("SELECT id, at, body FROM {p}_rows WHERE tab = %s AND id = %s", (table, id))
        return Record(*found[0]) if found else None

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
        tests, values = _tests(table, None, where, since, until)
        order = "at DESC, id DESC" if newest else "at, id"
        sql = f"SELECT id, at, body FROM {{p}}_rows WHERE {tests} ORDER BY {order} LIMIT %s"
        _, found = await self._server.run(sql, [*values, limit])
        return [Record(*values) for values in found]

    async def delete(
        self,
        table: str,
        *,
        id: str | None = None,
        where: Mapping[str, Scalar] | None = None,
        until: float | None = None,
    ) -> int:
        """Removes what matches."""
        tests, values = _tests(table, id, where, None, until)
        return (await self._server.run(f"DELETE FROM {{p}}_rows WHERE {tests}", values))[0]

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._server.aclose()


class PostgresBlobs:
    """Blobs in a table (1 GB each at most, the server's limit)."""

    def __init__(self, server: Postgres) -> None:
        self._server = server

    async def put(self, data: bytes) -> str:
        """Keeps data."""
        name = name_of(data)
        await self._server.run("INSERT INTO {p}_blobs VALUES (%s, %s) ON CONFLICT DO NOTHING", (name, data))
        return name

    async def get(self, name: str) -> bytes | None:
        """The data."""
        _, found = await self._server.run("SELECT data FROM {p}_blobs WHERE name = %s", (name,))
        return bytes(found[0][0]) if found else None

    async def delete(self, name: str) -> bool:
        """Removes a blob."""
        return (await self._server.run("DELETE FROM {p}_blobs WHERE name = %s", (name,)))[0] > 0

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._server.aclose()


def _key(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _tests(
    table: str, id: str | None, where: Mapping[str, Scalar] | None, since: float | None, until: float | None
) -> tuple[str, list[Any]]:
    tests, values = ["tab = %s"], [table]
    found: list[Any] = list(values)
    for test, value in (("id = %s", id), ("at >= %s", since), ("at < %s", until)):
        if value is not None:
            tests.append(test)
            found.append(value)
    for name, wanted in checked(where).items():
        if wanted is None:
            tests.append("coalesce(body -> %s, 'null'::jsonb) = 'null'::jsonb")
            found.append(name)
        else:
            tests.append("body -> %s = %s::jsonb")
            found.extend((name, msgspec.json.encode(wanted).decode()))
    return " AND ".join(tests), found
