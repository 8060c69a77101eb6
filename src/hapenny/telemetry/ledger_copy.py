"""A copy of books in PostgreSQL as a ledger file of this machine, for report, console and all else that reads one.

It takes in what is new each time it is opened: rows by their number, with some of before once more (a transaction that
began earlier may end later), each once. A day that the database has folded is dropped here, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from hapenny.telemetry import schema
from hapenny.telemetry.ledger_file import LedgerFile
from hapenny.telemetry.ledger_postgres import COUNTER, DAY_S, AsSqlite, connected
from hapenny.telemetry.rows import Entry

AGAIN = 20_000
"""Numbers that are looked at once more."""
PAGE = 2_000
_TABLES = """
CREATE TABLE IF NOT EXISTS copied (what TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (what, number))
  WITHOUT ROWID
"""


def copied(dsn: str, folder: Path | None = None) -> str:
    """The path of the copy, brought up to date.

    Raises:
        FileNotFoundError: the database cannot be read, and there is no copy of it.
        ValueError: its books are of a newer hapenny.
    """
    digest = hashlib.blake2b(dsn.encode(), digest_size=8).hexdigest()
    path = (folder or _folder()) / f"books-{digest}.db"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        source = connected(dsn)
    except ConnectionError:
        if path.exists():
            return str(path)
        raise FileNotFoundError("the ledger's database cannot be read") from None
    with contextlib.closing(source):
        file = LedgerFile(str(path))
        try:
            file.connection.execute(_TABLES)
            _rows(source, file)
            _entries(source, file)
        finally:
            file.close()
    return str(path)


def _folder() -> Path:
    here = Path(".hapenny")
    return here if here.is_dir() else Path(tempfile.gettempdir()) / "hapenny-books"


def _mark(file: LedgerFile, what: str) -> int:
    mark = file.connection.execute("SELECT max(number) FROM copied WHERE what = ?", (what,)).fetchone()[0]
    return max(0, int(mark or 0) - AGAIN)


def _known(file: LedgerFile, what: str, mark: int) -> set[int]:
    rows = file.connection.execute("SELECT number FROM copied WHERE what = ? AND number > ?", (what, mark))
    return {number for (number,) in rows.fetchall()}


def _keep(file: LedgerFile, what: str, numbers: list[int], mark: int) -> None:
    file.connection.execute("BEGIN IMMEDIATE")
    file.connection.executemany("INSERT OR IGNORE INTO copied VALUES (?, ?)", [(what, each) for each in numbers])
    file.connection.execute("DELETE FROM copied WHERE what = ? AND number <= ?", (what, mark))
    file.connection.execute("COMMIT")


def _rows(source: Any, file: LedgerFile) -> None:
    mark = _mark(file, "requests")
    known, at = _known(file, "requests", mark), mark
    while True:
        page = source.execute(
            f"SELECT * FROM requests WHERE (seq & {COUNTER}) > %s ORDER BY (seq & {COUNTER}) LIMIT {PAGE}", (at,)
        ).fetchall()
        if not page:
            return
        at = page[-1][0] & COUNTER
        new = [values for values in page if values[0] & COUNTER not in known]
        file.insert([schema.read_row(AsSqlite(source), values) for values in new])  # type: ignore[arg-type]
        _keep(file, "requests", [values[0] & COUNTER for values in new], mark)


def _entries(source: Any, file: LedgerFile) -> None:
    mark = _mark(file, "entries")
    known, at = _known(file, "entries", mark), mark
    names = ", ".join(f'"{name}"' for name in schema.ENTRY)
    while True:
        page = source.execute(
            f"SELECT seq, {names} FROM entries WHERE seq > %s ORDER BY seq LIMIT {PAGE}", (at,)
        ).fetchall()
        if not page:
            return
        at = page[-1][0]
        new = [values for values in page if values[0] not in known]
        entries = [_entry(values[1:]) for values in new]
        file.insert(entries)
        for entry in entries:
            if entry.kind == "adjustment" and "day" in entry.detail:
                _drop(file.connection, int(entry.detail["day"]))
        _keep(file, "entries", [values[0] for values in new], mark)


def _entry(values: tuple[Any, ...]) -> Entry:
    named = dict(zip(schema.ENTRY, values, strict=True))
    named["detail"] = msgspec.json.decode(named["detail"]) if named["detail"] else {}
    return Entry(**named)


def _drop(connection: sqlite3.Connection, day: int) -> None:
    where = "wall >= ? AND wall < ?"
    span = (day * DAY_S, (day + 1) * DAY_S)
    connection.execute("BEGIN IMMEDIATE")
    for table in ("savings", "calls"):
        connection.execute(f"DELETE FROM {table} WHERE request IN (SELECT seq FROM requests WHERE {where})", span)
    connection.execute(f"DELETE FROM requests WHERE {where}", span)
    connection.execute("COMMIT")
