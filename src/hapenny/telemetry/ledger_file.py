"""The ledger's SQLite file: opened, written in transactions, synced, and made anew where somebody took it away.

Blocking; `Ledger` calls it in a thread, one call at a time but for `sync`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hapenny.core.log import get_logger
from hapenny.stores import private
from hapenny.telemetry import rollups, schema
from hapenny.telemetry.rollup import Folded
from hapenny.telemetry.rows import Entry, Row

T = TypeVar("T")

_log = get_logger("hapenny.ledger")


class LedgerFile:
    """One file with a connection to write and one to read.

    Raises:
        ValueError: it cannot be written, or is no ledger; with the fix.
    """

    remote = False
    """Whether to look something up may take a while."""

    def __init__(self, path: str) -> None:
        self.path = self.spill = path
        self._kept = path != ":memory:"
        self.connection = _open(path)
        self.reader = schema.open_ledger(path, read_only=True) if self._kept else self.connection
        self._place = self._where()
        if self._kept:
            _sync_folder(path)

    def insert(self, batch: Sequence[Row | Entry], extra: Sequence[Entry] = (), *, again: bool = False) -> int:
        """Writes rows and entries as one transaction; how many rows. `again`: they may have been written before, and
        those that were are left out. Raises `sqlite3.Error`."""
        self._look()
        return self._transaction(lambda connection: _insert(connection, batch, list(extra), again))

    def prune(self, before: float) -> int:
        """Deletes request rows older than `before` (epoch seconds), leaving their sums; returns how many."""
        self._look()
        return self._transaction(lambda connection: _prune(connection, before))

    def sync(self) -> None:
        """Makes what was committed outlive a power cut. Raises `OSError`."""
        if not self._kept:
            return
        for name in (self.path + "-wal", self.path):
            with contextlib.suppress(FileNotFoundError):
                file = os.open(name, os.O_RDONLY)
                try:
                    os.fdatasync(file)
                finally:
                    os.close(file)
                return

    def find(self, request_id: str) -> Row | None:
        """The row of a request; the newest where an id came twice."""
        return schema.find_row(self.reader, request_id)

    def verdicts(self, request_id: str) -> dict[str, float]:
        """The newest score each source gave to the answer of a request."""
        return schema.read_verdicts(self.reader, request_id)

    def close(self) -> None:
        """Closes both connections. Idempotent."""
        self.reader.close()
        self.connection.close()

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk has ended the transaction by itself
                connection.execute("ROLLBACK")
            raise
        return result

    def _where(self) -> tuple[int, int] | None:
        try:
            known = os.stat(self.path)
        except OSError:
            return None
        return known.st_dev, known.st_ino

    def _look(self) -> None:
        """Makes a new file where the one that was open has gone: rows written there would be seen by nobody."""
        if not self._kept or self._where() == self._place:
            return
        try:
            connection = _open(self.path)
        except ValueError as error:
            raise sqlite3.OperationalError(str(error)) from None
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()
        self.connection = connection
        self.reader = schema.open_ledger(self.path, read_only=True)  # somebody may be reading the old one: not closed
        self._place = self._where()
        _sync_folder(self.path)
        _log.error("the ledger file was taken away while it was written: a new one is begun", path=self.path)


def _sync_folder(path: str) -> None:
    """Makes a new file's name outlive a power cut, where the file system has that."""
    with contextlib.suppress(OSError):
        folder = os.open(Path(path).parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


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


def _insert(connection: sqlite3.Connection, batch: Sequence[Row | Entry], extra: list[Entry], again: bool) -> int:
    requests: list[tuple[Any, ...]] = []
    savings: list[tuple[Any, ...]] = []
    calls: list[tuple[Any, ...]] = []
    entries = extra
    seq = connection.execute("SELECT coalesce(max(seq), 0) FROM requests").fetchone()[0]
    for item in batch:
        if isinstance(item, Entry):
            entries.append(item)
            continue
        if again and connection.execute("SELECT 1 FROM requests WHERE id = ?", (item.id,)).fetchone() is not None:
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
    _roll_up(connection, seq)
    return len(requests)


def _roll_up(connection: sqlite3.Connection, newest: int) -> None:
    """Keeps the roll-ups near the rows. Rows go before their sums: where these fail, they wait."""
    connection.execute("SAVEPOINT rolled")
    try:
        rollups.keep_up(connection, newest)
    except sqlite3.Error as error:
        connection.execute("ROLLBACK TO rolled")
        _log.error("the ledger's roll-ups wait", error=str(error))
    connection.execute("RELEASE rolled")


def _billed(connection: sqlite3.Connection, entry: Entry) -> bool:
    """Whether an hour of this capacity is in the books already: of another process, or before a restart."""
    if entry.kind != "capacity" or not entry.model:
        return False
    known = connection.execute(
        "SELECT 1 FROM entries WHERE kind = 'capacity' AND model = ? AND wall = ?", (entry.model, entry.wall)
    ).fetchone()
    return known is not None


def _prune(connection: sqlite3.Connection, before: float) -> int:
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
        connection.execute(f"DELETE FROM {table} WHERE request IN (SELECT seq FROM requests WHERE wall < ?)", (before,))
    gone = connection.execute("DELETE FROM requests WHERE wall < ?", (before,)).rowcount
    if gone:
        rollups.drop_before(connection, before)
    if count:
        entries = [schema.entry_values(entry) for entry in folded.entries(wall, "adjustment")]
        schema.insert(connection, "entries", schema.ENTRY, entries)
    return int(gone)
