"""The ledger in PostgreSQL: one set of books for all gateways, partitioned by day, written by COPY.

The tables and columns are those of the SQLite file. A request's number (`seq`) holds its day above a counter, so that
`requests`, `savings` and `calls` fall into the same day's partitions, and a day that outlived the retention is dropped
as a whole; its sums stay as `adjustment` entries. A batch has a token that is written with it: where the connection
broke before the answer came, the next batch learns whether it is there, so that no row is lost and none is twice.

Blocking, as `LedgerFile` is; `Ledger` calls it in a thread. What a database that is away raises is a `sqlite3` error of
the same meaning: the rows stay in the queue, and the connection is made anew at the next try.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from hapenny.core.clock import Clock
from hapenny.stores.postgres_link import VERSIONS, Step, plan
from hapenny.telemetry import schema
from hapenny.telemetry.rollup import Folded
from hapenny.telemetry.rows import Entry, Row

T = TypeVar("T")

DAY_S = 86_400
COUNTER_BITS = 36
COUNTER = (1 << COUNTER_BITS) - 1
"""What of a `seq` is the counter; the rest is the day since 1970."""
STATEMENT_MS = 5_000
CONNECT_S = 3
TOKENS_KEPT_S = DAY_S
PARTED = ("requests", "savings", "calls")
_KINDS = {"INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION", "TEXT": "TEXT", "BLOB": "BYTEA"}


def _columns(table: str) -> str:
    """The columns of a table of `schema.TABLES` in PostgreSQL's words."""
    body = schema.TABLES.split(f"CREATE TABLE {table} (\n", 1)[1].split("\n)", 1)[0]
    lines = [
        line.strip().rstrip(",").removesuffix(" PRIMARY KEY").split()
        for line in body.splitlines()
        if not line.lstrip().startswith("PRIMARY")
    ]
    return ", ".join(f'"{name}" {_KINDS[kind]} {" ".join(rest)}'.strip() for name, kind, *rest in lines)


def _tables() -> str:
    return f"""
CREATE SEQUENCE IF NOT EXISTS ledger_number;
CREATE TABLE IF NOT EXISTS requests ({_columns("requests")}, PRIMARY KEY (seq)) PARTITION BY RANGE (seq);
CREATE INDEX IF NOT EXISTS requests_id ON requests (id);
CREATE INDEX IF NOT EXISTS requests_wall ON requests (wall);
CREATE INDEX IF NOT EXISTS requests_number ON requests ((seq & {COUNTER}));
CREATE TABLE IF NOT EXISTS savings ({_columns("savings")}, PRIMARY KEY (request, technique))
  PARTITION BY RANGE (request);
CREATE TABLE IF NOT EXISTS calls ({_columns("calls")}, PRIMARY KEY (request, number)) PARTITION BY RANGE (request);
CREATE TABLE IF NOT EXISTS entries (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {_columns("entries").partition(", ")[2]}
);
CREATE INDEX IF NOT EXISTS entries_wall ON entries (wall);
CREATE INDEX IF NOT EXISTS entries_feedback ON entries (request) WHERE kind = 'feedback';
CREATE TABLE IF NOT EXISTS ledger_batches (token TEXT PRIMARY KEY, wall DOUBLE PRECISION NOT NULL);
"""


STEPS = [Step(_tables())]


class PostgresLedger:
    """See the module.

    Args:
        dsn: of the database.
        clock: the deployment's clock.

    Raises:
        ValueError: the database cannot be used, with the fix.
    """

    remote = True
    """Whether to look something up may take a while."""

    def __init__(self, dsn: str, clock: Clock) -> None:
        self.path = dsn
        self.spill = ".hapenny/ledger-postgres"
        """Beside which rows are put aside that the database does not take."""
        self._clock = clock
        self._doubt: tuple[str, set[int]] | None = None
        """Token and items of a batch of which nobody knows whether it is there."""
        self._days: set[int] = set()
        self._swept = 0.0
        self._connection: Any = None
        self._reader: Any = None
        try:
            self._connection = self._connected()
        except ConnectionError as error:
            raise ValueError(
                f"$.ledger.path: the database cannot be used ({error}). Fix: correct it, or start the database"
            ) from None

    def insert(self, batch: Sequence[Row | Entry], extra: Sequence[Entry] = (), *, again: bool = False) -> int:
        """Writes rows and entries as one transaction; how many rows. `again`: they may have been written before, and
        those that were are left out. Raises `sqlite3.Error`."""
        token = self._clock.new_id()
        everything: list[Row | Entry] = [*batch, *extra]

        def work(connection: Any) -> int:
            written = self._settled(connection)
            fresh = [item for item in batch if id(item) not in written]
            self._part(connection, fresh)
            count = _insert(connection, fresh, [each for each in extra if id(each) not in written], again)
            connection.execute("INSERT INTO ledger_batches VALUES (%s, %s)", (token, self._clock.wall()))
            return count

        try:
            count = self._transaction(work)
        except sqlite3.OperationalError:
            if self._doubt is None:
                self._doubt = (token, {id(item) for item in everything})
            raise
        self._doubt = None
        return count

    def prune(self, before: float) -> int:
        """Drops whole days of request rows older than `before` (epoch seconds), leaving their sums; how many rows."""

        def work(connection: Any) -> int:
            locked = connection.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('hapenny prune', 0))")
            if not locked.fetchone()[0]:
                return 0  # another gateway does it
            today = int(before // DAY_S)
            gone = 0
            for day in sorted(_days(connection)):
                if day < today:
                    gone += _fold(connection, day)
                    self._days.discard(day)
            return gone

        return self._transaction(work)

    def sync(self) -> None:
        """The database has it on its disk when it says so."""

    def find(self, request_id: str) -> Row | None:
        """The row of a request; the newest where an id came twice."""
        return self._read(lambda books: schema.find_row(books, request_id))

    def verdicts(self, request_id: str) -> dict[str, float]:
        """The newest score each source gave to the answer of a request."""
        return self._read(lambda books: schema.read_verdicts(books, request_id))

    def close(self) -> None:
        """Closes the connections. Idempotent."""
        for connection in (self._connection, self._reader):
            if connection is not None:
                with contextlib.suppress(Exception):
                    connection.close()
        self._connection = self._reader = None

    # ----------------------------------------------------------------------------------------------------------------

    def _transaction(self, work: Callable[[Any], T]) -> T:
        import psycopg

        try:
            if self._connection is None or self._connection.closed:
                self._connection = self._connected()
            with self._connection.transaction():
                return work(self._connection)
        except psycopg.DataError as error:  # of one row: another try does not mend it
            self._days.clear()  # what was made for the batch went with it
            raise ValueError(f"the database refuses a row: {type(error).__name__}") from error
        except (psycopg.Error, ConnectionError) as error:
            self._days.clear()
            broken, self._connection = self._connection, None
            with contextlib.suppress(Exception):
                broken.close()
            raise sqlite3.OperationalError(f"the database cannot be used: {type(error).__name__}") from error

    def _read(self, work: Callable[[Any], T]) -> T:
        import psycopg

        for last in (False, True):
            try:
                if self._reader is None or self._reader.closed:
                    self._reader = self._connected()
                return work(AsSqlite(self._reader))
            except (psycopg.Error, ConnectionError) as error:
                broken, self._reader = self._reader, None
                with contextlib.suppress(Exception):
                    broken.close()
                if last:
                    raise sqlite3.OperationalError(f"the database cannot be read: {type(error).__name__}") from error
        raise AssertionError

    def _connected(self) -> Any:
        return connected(self.path)

    def _settled(self, connection: Any) -> set[int]:
        """The items of the batch in doubt, where it is there."""
        if self._doubt is None:
            return set()
        token, items = self._doubt
        there = connection.execute("SELECT 1 FROM ledger_batches WHERE token = %s", (token,)).fetchone()
        return items if there is not None else set()

    def _part(self, connection: Any, batch: Iterable[Row | Entry]) -> None:
        """Makes the partitions that the rows, and those of tomorrow, need."""
        now = self._clock.wall()
        wanted = {int(item.wall // DAY_S) for item in batch if isinstance(item, Row)}
        wanted |= {int(now // DAY_S), int(now // DAY_S) + 1}
        new = wanted - self._days
        if new:
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('hapenny partitions', 0))")
            for day in sorted(new):
                for table in PARTED:
                    connection.execute(
                        f"CREATE TABLE IF NOT EXISTS {table}_{day} PARTITION OF {table}"
                        f" FOR VALUES FROM ({day << COUNTER_BITS}) TO ({(day + 1) << COUNTER_BITS})"
                    )
            self._days |= new
        if now - self._swept > 3_600:
            self._swept = now
            connection.execute("DELETE FROM ledger_batches WHERE wall < %s", (now - TOKENS_KEPT_S,))


class AsSqlite:
    """A connection that takes the few plain statements of `schema` that only read."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Runs a statement with `?` for its values."""
        return self._connection.execute(sql.replace("?", "%s"), values)


def connected(dsn: str) -> Any:
    """A connection to books in PostgreSQL, of the version that this hapenny knows. Raises `ConnectionError`, or
    `ValueError` for books of a newer one."""
    import psycopg

    try:
        connection = psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_S)
        connection.execute(f"SET statement_timeout = {STATEMENT_MS}")
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('hapenny schema', 0))")
            connection.execute(VERSIONS)
            row = connection.execute("SELECT version, least FROM hapenny_schema WHERE name = 'ledger'").fetchone()
            version, least = row or (0, 0)
            for number, step in plan("ledger", version, least, STEPS):
                connection.execute(step.sql)
                version, least = number, number if step.breaks else max(least, 1)
            connection.execute(
                "INSERT INTO hapenny_schema VALUES ('ledger', %s, %s)"
                " ON CONFLICT (name) DO UPDATE SET version = excluded.version, least = excluded.least",
                (version, least),
            )
        return connection
    except psycopg.Error as error:
        raise ConnectionError(type(error).__name__) from error


def _insert(connection: Any, batch: Sequence[Row | Entry], extra: list[Entry], again: bool) -> int:
    rows = [item for item in batch if isinstance(item, Row)]
    entries = [*extra, *(item for item in batch if isinstance(item, Entry))]
    if again and rows:
        known = connection.execute("SELECT id FROM requests WHERE id = ANY(%s)", ([row.id for row in rows],))
        there = {id for (id,) in known.fetchall()}
        rows = [row for row in rows if row.id not in there]
    numbers = _numbers(connection, len(rows))
    requests, savings, calls = [], [], []
    for number, row in zip(numbers, rows, strict=True):
        seq = int(row.wall // DAY_S) << COUNTER_BITS | number & COUNTER
        requests.append(schema.request_values(seq, row))
        savings += [(seq, technique, nano) for technique, nano in row.savings.items() if nano]
        calls += [schema.call_values(seq, place, call) for place, call in enumerate(row.calls)]
    _copy(connection, "requests", schema.REQUEST, requests)
    _copy(connection, "savings", schema.SAVING, savings)
    _copy(connection, "calls", schema.CALL, calls)
    entries = [entry for entry in entries if not _billed(connection, entry)]
    _copy(connection, "entries", schema.ENTRY, [schema.entry_values(entry) for entry in entries])
    return len(rows)


def _numbers(connection: Any, count: int) -> Iterator[int]:
    if not count:
        return iter(())
    rows = connection.execute("SELECT nextval('ledger_number') FROM generate_series(1, %s)", (count,)).fetchall()
    return iter(sorted(number for (number,) in rows))


def _copy(connection: Any, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    if not rows:
        return
    names = ", ".join(f'"{name}"' for name in columns)
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([_plain(value) for value in row])


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and "\0" in value:  # which PostgreSQL has no place for
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return value


def _billed(connection: Any, entry: Entry) -> bool:
    """Whether an hour of this capacity is in the books already: of another gateway, or before a restart."""
    if entry.kind != "capacity" or not entry.model:
        return False
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('hapenny capacity', 0))")
    sql = "SELECT 1 FROM entries WHERE kind = 'capacity' AND model = %s AND wall = %s"
    return connection.execute(sql, (entry.model, entry.wall)).fetchone() is not None


def _days(connection: Any) -> set[int]:
    """The days of which there are partitions."""
    rows = connection.execute(
        "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
        " WHERE inhparent = 'requests'::regclass"
    ).fetchall()
    return {int(name.rpartition("_")[2]) for (name,) in rows}


def _fold(connection: Any, day: int) -> int:
    """Drops a day, leaving its sums; how many rows."""
    gone, count, baseline, actual, error, wall = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE unpriced = 0), coalesce(sum(baseline) FILTER (WHERE unpriced = 0), 0),"
        " coalesce(sum(actual) FILTER (WHERE unpriced = 0), 0),"
        f" coalesce(sum(estimate_error) FILTER (WHERE unpriced = 0), 0), max(wall) FROM requests_{day}"
    ).fetchone()
    folded = Folded()
    folded.rows, folded.baseline, folded.actual, folded.estimate_error = count, int(baseline), int(actual), int(error)
    folded.savings = {
        technique: int(nano)
        for technique, nano in connection.execute(
            f"SELECT technique, sum(nano) FROM savings_{day} JOIN requests_{day} ON seq = request"
            " WHERE unpriced = 0 GROUP BY technique"
        ).fetchall()
    }
    for table in PARTED:
        connection.execute(f"DROP TABLE {table}_{day}")
    if count:
        entries = folded.entries(wall, "adjustment")
        # Copies of the books learn from it what left.
        first = Entry(**{f: getattr(entries[0], f) for f in entries[0].__struct_fields__} | {
            "detail": {**entries[0].detail, "day": day}
        })  # fmt: skip
        _copy(connection, "entries", schema.ENTRY, [schema.entry_values(each) for each in (first, *entries[1:])])
    return int(gone)
