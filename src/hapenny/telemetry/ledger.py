"""The ledger: append-only rows in SQLite (WAL), written in batches off the hot path.

`write` puts a row into a bounded queue; one task hands batches to one thread at a time (`Clock.work`; inline under
the virtual clock). A killed process loses at most the last `flush_s` seconds and never corrupts the file: each batch
is one transaction. When the queue is full because the disk does not keep up, further rows are added up into `overflow`
entries: their money stays in every sum, only their detail is lost, and that is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import OrderedDict
from typing import Any

from msgspec import Struct

from hapenny.core.clock import Clock
from hapenny.core.guard import Guard
from hapenny.core.log import get_logger
from hapenny.stores import private
from hapenny.telemetry import schema
from hapenny.telemetry.rollup import Folded
from hapenny.telemetry.rows import Entry, Row, quality

BATCH = 64
"""Rows a transaction at most: what the writing thread does in one go, requests may have to wait for."""
MAX_BACKOFF = 5.0
_ROWS_OWN_FAULT = (
    OverflowError,
    ValueError,
    TypeError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
)
"""Errors that another try of the same row cannot mend."""
DAY = 86_400.0


class LedgerOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where the books are kept."""

    path: str = ".hapenny/ledger.db"
    """The SQLite file; its folder is made. `:memory:` keeps nothing."""
    flush_s: float = 0.5
    """Seconds after which a row is on disk at the latest, when the disk keeps up."""
    queue: int = 20_000
    """Rows waiting at most."""
    retention_days: float = 400.0
    """Older request rows are deleted; their sums stay, as `adjustment` entries. 0: nothing is deleted."""

    def __post_init__(self) -> None:
        if not 0 < self.flush_s <= 1:
            raise ValueError(f"flush_s: {self.flush_s} would lose more than a second in a crash; give 0 < seconds <= 1")
        if self.queue < 1:
            raise ValueError(f"queue: {self.queue} holds nothing; give at least 1")


class Ledger:
    """Takes rows, writes them, finds them.

    Args:
        options: where and how.
        clock: the deployment's clock.
    """

    def __init__(self, options: LedgerOptions, clock: Clock) -> None:
        self.path = path = options.path
        self._clock = clock
        self._flush_s = options.flush_s
        self._queue = options.queue
        self._retention = options.retention_days
        self._connection = _open(path)
        self._reader = self._connection if path == ":memory:" else schema.open_ledger(path, read_only=True)
        self._pending: OrderedDict[int, Row | Entry] = OrderedDict()
        self._ids: dict[str, Row] = {}
        self._next = 0
        self._folded = Folded()
        self._wake: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._log = get_logger("hapenny.ledger")
        self._pruned = clock.wall()
        self.taken = 0
        self.written = 0
        self.overflowed = 0
        """Rows that were folded into overflow entries."""
        self.failed_writes = 0
        self.refused = 0
        """Rows that SQLite cannot hold, whatever is tried: left out, so that the others are written."""
        self.guard = Guard("ledger writer", clock)
        self._apart = 0
        """Rows still to be written one by one, to find the one that cannot be."""

    # -- taking --------------------------------------------------------------------------------------------------

    def write(self, row: Row) -> None:
        """Takes a row. Never blocks, never raises."""
        self.taken += 1
        if len(self._pending) >= self._queue:
            self.overflowed += 1
            self._folded.add(row)
            if self.overflowed == 1 or self.overflowed % 1_000 == 0:
                self._log.warning("ledger queue full: rows are folded", folded=self.overflowed)
        else:
            self._pending[self._next] = row
            self._next += 1
            self._ids[row.id] = row
        self._signal()

    def book(self, entry: Entry) -> None:
        """Takes a capacity or adjustment entry. Never blocks, never raises."""
        if len(self._pending) >= 2 * self._queue:
            self.overflowed += 1
            self._folded.add_entry(entry)
            return
        self._pending[self._next] = entry
        self._next += 1
        self._signal()

    @property
    def waiting(self) -> int:
        """Rows not yet written."""
        return len(self._pending)

    async def get(self, request_id: str) -> Row | None:
        """The row of a request, written or not; the newest where an id came twice."""
        row = self._ids.get(request_id) or schema.find_row(self._reader, request_id)
        if row is None:
            return None
        waiting = {
            str(item.detail["source"]): float(item.detail["score"])
            for item in self._pending.values()
            if isinstance(item, Entry) and item.kind == "feedback" and item.request == request_id
        }
        if waiting:
            row.scores["quality"] = quality(schema.read_verdicts(self._reader, request_id) | waiting)
        return row

    # -- writing -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts the writing task on the running loop."""
        if self._task is None:
            self._wake = asyncio.Event()
            if self._pending or self._folded.rows:
                self._wake.set()
            self._task = asyncio.get_running_loop().create_task(self.guard.keep(self._run))

    async def aclose(self) -> None:
        """Writes what waits and closes the file. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self.flush()
        self._reader.close()
        self._connection.close()

    async def flush(self) -> None:
        """Writes all that waits. A failed write is logged and counted; its rows stay in the queue."""
        await self._flush(None)

    async def _flush(self, before: int | None) -> None:
        """Writes what waits, of rows those that were taken before number `before`: others may keep coming."""
        async with self._writing:
            while self._folded.rows or (self._pending and (before is None or next(iter(self._pending)) < before)):
                if not await self._write():
                    return

    def _signal(self) -> None:
        if self._wake is not None and not self._wake.is_set():
            self._wake.set()

    async def _run(self) -> None:
        assert self._wake is not None
        pause = self._flush_s
        while True:
            await self._wake.wait()
            await self._clock.sleep(pause)
            self._wake.clear()
            failed, began = self.failed_writes, self._clock.now()
            await self._flush(self._next)
            if self.failed_writes > failed:
                pause = min(MAX_BACKOFF, max(pause, self._flush_s) * 2)
                self._wake.set()
            else:
                await self._retain()
                # What came meanwhile has waited since; under steady traffic there is one batch each `flush_s`.
                waited = self._clock.now() - began if self._wake.is_set() else 0.0
                pause = max(0.0, self._flush_s - waited)

    async def _write(self) -> bool:
        folded, self._folded = self._folded, Folded()
        batch: list[tuple[int, Row | Entry]] = []
        for item in self._pending.items():
            batch.append(item)
            if len(batch) >= (1 if self._apart else BATCH):
                break
        self._apart = max(0, self._apart - 1)
        extra = folded.entries(self._clock.wall()) if folded.rows else []
        work = asyncio.ensure_future(
            self._clock.work("ledger", float(len(batch)), lambda: _insert_batch(self._connection, batch, extra))
        )
        try:
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:  # the thread cannot be stopped: learn how it ended, then leave
                await work
                self._done(batch)
                raise
        except _ROWS_OWN_FAULT as error:
            self.failed_writes += 1
            self._folded.merge(folded)
            if len(batch) > 1:
                self._apart = len(batch)
            else:
                self._refuse(batch, error)
            return True
        except sqlite3.Error as error:
            self.failed_writes += 1
            self._folded.merge(folded)
            self._log.error("ledger write failed", error=str(error), waiting=len(self._pending))
            return False
        self._done(batch)
        return True

    def _refuse(self, batch: list[tuple[int, Row | Entry]], error: Exception) -> None:
        """Lets go of a row that cannot be written; where there is none, the sums of folded rows were at fault."""
        if not batch:
            self._folded = Folded()
        for seq, item in batch:
            self._pending.pop(seq, None)
            if isinstance(item, Row) and self._ids.get(item.id) is item:
                del self._ids[item.id]
        self.refused += 1
        name = batch[0][1].id if batch and isinstance(batch[0][1], Row) else ""
        self._log.error("a row cannot be written and is left out", request=name, error=type(error).__name__)

    def _done(self, batch: list[tuple[int, Row | Entry]]) -> None:
        pending, ids = self._pending, self._ids
        for seq, item in batch:
            if pending.pop(seq, None) is not None and isinstance(item, Row):
                self.written += 1
                if ids.get(item.id) is item:
                    del ids[item.id]

    # -- retention -----------------------------------------------------------------------------------------------

    async def _retain(self) -> None:
        now = self._clock.wall()
        if not self._retention or now - self._pruned < DAY / 24:
            return
        self._pruned = now
        await self.prune(now - self._retention * DAY)

    async def prune(self, before: float) -> int:
        """Deletes request rows older than `before` (epoch seconds), leaving their sums; returns how many."""
        async with self._writing:
            return await self._clock.work("ledger", 1.0, lambda: _prune(self._connection, before))


def _open(path: str) -> sqlite3.Connection:
    """The ledger file, made where there is none. Raises `ValueError` with the fix where it cannot be written."""
    fix = "Fix: restore it from a copy or move it away, and a new one is begun"
    try:
        if path != ":memory:":
            private.file(path)
        connection = schema.open_ledger(path)
        try:
            connection.execute("BEGIN IMMEDIATE")  # a file that can only be read is noticed now, not at the first row
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                connection.close()
                raise
        return connection
    except OSError as error:
        problem = f"$.ledger.path: {path!r}: {error.strerror}. Fix: let this user write there, or name another place"
        raise ValueError(problem) from None
    except sqlite3.OperationalError as error:
        problem = f"$.ledger.path: {path!r}: {error}. Fix: let this user write there, or name another place"
        raise ValueError(problem) from None
    except sqlite3.Error as error:
        raise ValueError(f"$.ledger.path: {path!r} is damaged ({error}). {fix}") from None


def _insert_batch(connection: sqlite3.Connection, batch: list[tuple[int, Row | Entry]], extra: list[Entry]) -> None:
    requests: list[tuple[Any, ...]] = []
    savings: list[tuple[Any, ...]] = []
    calls: list[tuple[Any, ...]] = []
    entries = list(extra)
    connection.execute("BEGIN IMMEDIATE")
    try:
        seq = connection.execute("SELECT coalesce(max(seq), 0) FROM requests").fetchone()[0]
        for _, item in batch:
            if isinstance(item, Entry):
                entries.append(item)
                continue
            seq += 1
            requests.append(schema.request_values(seq, item))
            savings.extend((seq, technique, nano) for technique, nano in item.savings.items() if nano)
            calls.extend(schema.call_values(seq, number, call) for number, call in enumerate(item.calls))
        schema.insert(connection, "requests", schema.REQUEST, requests)
        schema.insert(connection, "savings", schema.SAVING, savings)
        schema.insert(connection, "calls", schema.CALL, calls)
        entries = [entry for entry in entries if not _billed(connection, entry)]
        schema.insert(connection, "entries", schema.ENTRY, [schema.entry_values(entry) for entry in entries])
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _billed(connection: sqlite3.Connection, entry: Entry) -> bool:
    """Whether an hour of this capacity is in the books already: of another process, or before a restart."""
    if entry.kind != "capacity" or not entry.model:
        return False
    known = connection.execute(
        "SELECT 1 FROM entries WHERE kind = 'capacity' AND model = ? AND wall = ?", (entry.model, entry.wall)
    ).fetchone()
    return known is not None


def _prune(connection: sqlite3.Connection, before: float) -> int:
    connection.execute("BEGIN IMMEDIATE")
    try:
        count, baseline, actual, error, wall = connection.execute(
            "SELECT count(*), sum(baseline), sum(actual), sum(estimate_error), max(wall) FROM requests"
            " WHERE wall < ? AND NOT unpriced",
            (before,),
        ).fetchone()
        folded = Folded()
        folded.rows, folded.baseline, folded.actual = count, baseline or 0, actual or 0
        folded.estimate_error = error or 0
        folded.savings = dict(
            connection.execute(
                "SELECT technique, sum(nano) FROM savings JOIN requests ON seq = request"
                " WHERE wall < ? AND NOT unpriced GROUP BY technique",
                (before,),
            ).fetchall()
        )
        for table in ("savings", "calls"):
            connection.execute(
                f"DELETE FROM {table} WHERE request IN (SELECT seq FROM requests WHERE wall < ?)", (before,)
            )
        gone = connection.execute("DELETE FROM requests WHERE wall < ?", (before,)).rowcount
        if count:
            entries = [schema.entry_values(entry) for entry in folded.entries(wall, "adjustment")]
            schema.insert(connection, "entries", schema.ENTRY, entries)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return int(gone)
