"""Stores in one SQLite file (WAL): for one host. Work runs off the loop (`Clock.work`), one statement at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from hapenny.core.clock import Clock
from hapenny.stores import private
from hapenny.stores.kv import MAX_SCAN
from hapenny.stores.rows import MAX_FOUND, Record, Scalar, checked

T = TypeVar("T")

TABLES = """
CREATE TABLE IF NOT EXISTS kv (key BLOB PRIMARY KEY, value BLOB NOT NULL, dies REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS kv_dies ON kv (dies) WHERE dies IS NOT NULL;
CREATE TABLE IF NOT EXISTS rows (
  "table" TEXT NOT NULL, id TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL, PRIMARY KEY ("table", id)
);
CREATE INDEX IF NOT EXISTS rows_at ON rows ("table", at, id);
"""
SWEEP = 500
"""After so many writes values whose lifetime is over are deleted."""


class SqliteFile:
    """A file that several stores may share."""

    def __init__(self, path: str, clock: Clock) -> None:
        self.clock = clock
        self.writes = 0
        if path and path != ":memory:":
            private.file(path)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=5.0, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(TABLES)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` off the loop, alone on the connection, as one transaction."""

        def locked() -> T:
            with self._lock:
                connection = self._connection
                connection.execute("BEGIN IMMEDIATE")
                try:
                    result = work(connection)
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
                return result

        return await self.clock.work("sqlite", 1.0, locked)

    async def aclose(self) -> None:
        """Closes the file. Idempotent."""
        with self._lock:
            self._connection.close()


class SqliteKeyValue:
    """Key-value in a SQLite file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def get(self, key: str) -> bytes | None:
        """The live value."""
        now = self._file.clock.wall()
        return await self._file.run(lambda db: _get(db, key, now))

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Puts a value."""
        now = self._file.clock.wall()
        sweep = self._sweep()
        await self._file.run(lambda db: _set(db, key, value, now, ttl, sweep))

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes, ttl: float | None = None) -> bool:
        """Puts a value if the present one is as expected."""
        now = self._file.clock.wall()
        sweep = self._sweep()

        def work(db: sqlite3.Connection) -> bool:
            if _get(db, key, now) != expected:
                return False
            _set(db, key, value, now, ttl, sweep)
            return True

        return await self._file.run(work)

    async def delete(self, key: str) -> bool:
        """Removes a value."""
        now = self._file.clock.wall()

        def work(db: sqlite3.Connection) -> bool:
            known = _get(db, key, now) is not None
            db.execute("DELETE FROM kv WHERE key = ?", (_key(key),))
            return known

        return await self._file.run(work)

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = MAX_SCAN) -> list[tuple[str, bytes]]:
        """Pairs by prefix, sorted."""
        low, now = _key(prefix), self._file.clock.wall()
        high = after_prefix(low)
        sql = "SELECT key, value FROM kv WHERE key >= ? AND key > ? AND (dies IS NULL OR dies > ?)"
        values: list[Any] = [low, _key(after), now]
        if high is not None:
            sql += " AND key < ?"
            values.append(high)
        values.append(limit)
        rows = await self._file.run(lambda db: db.execute(sql + " ORDER BY key LIMIT ?", values).fetchall())
        return [(key.decode("utf-8", "surrogatepass"), value) for key, value in rows]

    async def aclose(self) -> None:
        """Closes the file."""
        await self._file.aclose()

    def _sweep(self) -> bool:
        self._file.writes += 1
        return self._file.writes % SWEEP == 0


class SqliteRows:
    """Rows in a SQLite file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def put(self, table: str, id: str, body: Mapping[str, Any], *, at: float) -> None:
        """Puts a row."""
        values = (table, id, at, msgspec.json.encode(dict(body)).decode())
        await self._file.run(lambda db: db.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", values) and None)

    async def get(self, table: str, id: str) -> Record | None:
        """A row by id."""
        sql = 'SELECT id, at, body FROM rows WHERE "table" = ? AND id = ?'
        row = await self._file.run(lambda db: db.execute(sql, (table, id)).fetchone())
        return None if row is None else _record(row)

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
        sql = f"SELECT id, at, body FROM rows WHERE {tests} ORDER BY {order} LIMIT ?"
        rows = await self._file.run(lambda db: db.execute(sql, [*values, limit]).fetchall())
        return [_record(values) for values in rows]

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
        return await self._file.run(lambda db: db.execute(f"DELETE FROM rows WHERE {tests}", values).rowcount)

    async def aclose(self) -> None:
        """Closes the file."""
        await self._file.aclose()


def after_prefix(prefix: bytes) -> bytes | None:
    """The first key that is behind all keys with `prefix`; None: there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


def _key(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _get(db: sqlite3.Connection, key: str, now: float) -> bytes | None:
    row = db.execute("SELECT value FROM kv WHERE key = ? AND (dies IS NULL OR dies > ?)", (_key(key), now)).fetchone()
    return None if row is None else bytes(row[0])


def _set(db: sqlite3.Connection, key: str, value: bytes, now: float, ttl: float | None, sweep: bool) -> None:
    db.execute("INSERT OR REPLACE INTO kv VALUES (?, ?, ?)", (_key(key), value, None if ttl is None else now + ttl))
    if sweep:
        db.execute("DELETE FROM kv WHERE dies <= ?", (now,))


def _record(values: tuple[Any, ...]) -> Record:
    return Record(values[0], values[1], msgspec.json.decode(values[2]))


def _tests(
    table: str,
    id: str | None,
    where: Mapping[str, Scalar] | None,
    since: float | None,
    until: float | None,
) -> tuple[str, list[Any]]:
    tests, values = ['"table" = ?'], [table]
    arguments: list[Any] = list(values)
    for test, value in (("id = ?", id), ("at >= ?", since), ("at < ?", until)):
        if value is not None:
            tests.append(test)
            arguments.append(value)
    for name, wanted in checked(where).items():
        path = f'$."{name}"'
        kind = f"json_type(body, {_quoted(path)})"
        if wanted is None:
            tests.append(f"coalesce({kind}, 'null') = 'null'")
        elif isinstance(wanted, bool):
            tests.append(f"{kind} = '{'true' if wanted else 'false'}'")
        else:
            names = "('text')" if isinstance(wanted, str) else "('integer', 'real')"
            tests.append(f"{kind} IN {names} AND json_extract(body, {_quoted(path)}) = ?")
            arguments.append(wanted)
    return " AND ".join(tests), arguments


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
