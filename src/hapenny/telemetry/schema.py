"""The ledger's tables, and how rows become tuples for them."""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import Any

import msgspec

from hapenny.core.events import Tokens
from hapenny.telemetry import rollups
from hapenny.telemetry.rows import CallRow, Entry, Row, quality

VERSION = 4

TABLES = """
CREATE TABLE requests (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  wall REAL NOT NULL,
  tenant TEXT NOT NULL,
  key_id TEXT NOT NULL,
  user BLOB,
  session BLOB,
  fingerprint BLOB,
  feature TEXT NOT NULL,
  tags TEXT,
  route TEXT NOT NULL,
  intent TEXT NOT NULL,
  protocol TEXT NOT NULL,
  stream INTEGER NOT NULL,
  background TEXT NOT NULL,
  holdout INTEGER NOT NULL,
  model_asked TEXT NOT NULL,
  model_baseline TEXT NOT NULL,
  model_served TEXT NOT NULL,
  outcome TEXT NOT NULL,
  stopped TEXT,
  failure TEXT,
  cache_layer TEXT,
  cache_hit INTEGER NOT NULL,
  cache_age REAL,
  ttft REAL,
  e2e REAL,
  queued REAL,
  decide TEXT,
  would_save TEXT,
  arms TEXT,
  scores TEXT,
  notes TEXT,
  parts TEXT,
  prompt_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  used TEXT,
  baseline INTEGER,
  saved INTEGER,
  estimate_error INTEGER,
  actual INTEGER,
  unpriced INTEGER NOT NULL,
  reported INTEGER NOT NULL,
  alone TEXT,
  freed TEXT,
  deadline REAL,
  steps TEXT,
  reactions TEXT
);
CREATE INDEX requests_id ON requests (id);
CREATE INDEX requests_wall ON requests (wall);
CREATE TABLE savings (
  request INTEGER NOT NULL,
  technique TEXT NOT NULL,
  nano INTEGER NOT NULL,
  PRIMARY KEY (request, technique)
) WITHOUT ROWID;
CREATE TABLE calls (
  request INTEGER NOT NULL,
  number INTEGER NOT NULL,
  purpose TEXT NOT NULL,
  technique TEXT NOT NULL,
  model TEXT NOT NULL,
  backend TEXT NOT NULL,
  region TEXT NOT NULL,
  service_tier TEXT NOT NULL,
  input INTEGER NOT NULL,
  output INTEGER NOT NULL,
  cache_read INTEGER NOT NULL,
  cache_write INTEGER NOT NULL,
  cache_write_1h INTEGER NOT NULL,
  reasoning INTEGER NOT NULL,
  cost INTEGER,
  outcome TEXT NOT NULL,
  provenance TEXT NOT NULL,
  failure TEXT,
  started REAL NOT NULL,
  began REAL,
  ended REAL,
  adopted INTEGER NOT NULL,
  units TEXT,
  opened TEXT,
  PRIMARY KEY (request, number)
) WITHOUT ROWID;
CREATE TABLE entries (
  seq INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  wall REAL NOT NULL,
  technique TEXT NOT NULL,
  actual INTEGER NOT NULL,
  baseline INTEGER NOT NULL,
  saved INTEGER NOT NULL,
  estimate_error INTEGER NOT NULL,
  request TEXT NOT NULL,
  rows INTEGER NOT NULL,
  model TEXT NOT NULL,
  detail TEXT
);
CREATE INDEX entries_wall ON entries (wall);
"""


def _columns(table: str) -> list[str]:
    body = TABLES.split(f"CREATE TABLE {table} (\n", 1)[1].split("\n)", 1)[0]
    return [line.split()[0] for line in body.splitlines() if not line.lstrip().startswith("PRIMARY")]


REQUEST = _columns("requests")
CALL = _columns("calls")
ENTRY = _columns("entries")[1:]


SAVING = ["request", "technique", "nano"]

_TOGETHER = (256, 64, 16, 4, 1)
"""Rows a statement; 256 requests are a third of the variables SQLite allows."""


@lru_cache(maxsize=256)
def _statement(table: str, columns: tuple[str, ...], rows: int) -> str:
    places = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([places] * rows)}"


def insert(connection: sqlite3.Connection, table: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    """Inserts rows, many a statement. Each statement gives up the interpreter's lock and fights for it again, and in a
    busy process that costs ten times what the row does."""
    if not rows:
        return
    # What no row of the batch has needs no value: of a request's columns that is every third.
    there = [
        (name, column)
        for name, column in zip(columns, zip(*rows, strict=True), strict=True)
        if column.count(None) < len(column)
    ]
    names = tuple(name for name, _ in there)
    rows, place = list(zip(*(column for _, column in there), strict=True)), 0
    for size in _TOGETHER:
        while len(rows) - place >= size:
            values = [value for row in rows[place : place + size] for value in row]
            connection.execute(_statement(table, names, size), values)
            place += size


_encode = msgspec.json.Encoder().encode


def _json(value: Any) -> str | None:
    return _encode(value).decode() if value else None


def request_values(seq: int, row: Row) -> tuple[Any, ...]:
    """A row of `requests`, in the order of `REQUEST`."""
    return (
        seq, row.id, row.wall, row.tenant, row.key_id, row.user, row.session, row.fingerprint, row.feature,
        _json(row.tags), row.route, row.intent, row.protocol, row.stream, row.background, row.holdout,
        row.model_asked, row.model_baseline, row.model_served, row.outcome, row.stopped, row.failure,
        row.cache_layer, row.cache_hit, row.cache_age, row.ttft, row.e2e, row.queued,
        _json(row.decide), _json(row.would_save), _json(row.arms), _json(row.scores), _json(row.notes),
        _json(row.parts), sum(row.parts.values()), row.output_tokens, _json(row.tokens), row.baseline, row.saved,
        row.estimate_error, row.actual, row.unpriced, row.reported, _json(row.alone), row.freed or None,
        row.deadline, _json(row.steps), _json(row.reactions),
    )  # fmt: skip


def call_values(seq: int, number: int, call: CallRow) -> tuple[Any, ...]:
    """A row of `calls`, in the order of `CALL`."""
    return (
        seq, number, call.purpose, call.technique, call.model, call.backend, call.region, call.service_tier,
        call.input, call.output, call.cache_read, call.cache_write, call.cache_write_1h, call.reasoning, call.cost,
        call.outcome, call.provenance, call.failure, call.started, call.began, call.ended, call.adopted,
        _json(call.units), _json(call.opened),
    )  # fmt: skip


def entry_values(entry: Entry) -> tuple[Any, ...]:
    """A row of `entries`, in the order of `ENTRY`."""
    return (
        entry.kind, entry.wall, entry.technique, entry.actual, entry.baseline, entry.saved, entry.estimate_error,
        entry.request, entry.rows, entry.model, _json(dict(entry.detail)),
    )  # fmt: skip


def open_ledger(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection to a ledger file; a new one gets its tables.

    Raises:
        ValueError: the file was written by a newer hapenny.
        FileNotFoundError: read_only, and there is none.
    """
    if read_only:
        try:
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0, check_same_thread=False)
        except sqlite3.OperationalError:
            raise FileNotFoundError(path) from None
    else:
        connection = sqlite3.connect(path, timeout=5.0, check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA temp_store=MEMORY")  # where roll-ups are added up
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        connection.close()
        raise ValueError(f"{path}: written by a newer hapenny (schema {version}, this one knows {VERSION})")
    if version == 0 and not read_only:
        _make(connection)
    elif version < VERSION and not read_only:
        _upgrade(connection)
    if not read_only:
        connection.execute("CREATE INDEX IF NOT EXISTS entries_feedback ON entries (request) WHERE kind = 'feedback'")
        rollups.prepare(connection)
    return connection


ADDED_COLUMNS = (
    ("requests", ("alone TEXT", "freed TEXT", "deadline REAL", "steps TEXT", "reactions TEXT")),
    ("calls", ("units TEXT", "opened TEXT")),
)
"""Columns that came after the first version."""


def _make(connection: sqlite3.Connection) -> None:
    """Gives a new file its tables, unless another process has been faster."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in TABLES.split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _upgrade(connection: sqlite3.Connection) -> None:
    """Gives a file of an older version the columns that came since, which its rows leave empty."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for table, columns in ADDED_COLUMNS:
            known = columns_of(connection, table)
            for column in columns:
                if column.split()[0] not in known:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
        connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def columns_of(connection: sqlite3.Connection, table: str) -> set[str]:
    """The columns that a table of this file has: one that is only read may be of an older version."""
    return {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}


def read_verdicts(connection: sqlite3.Connection, request_id: str) -> dict[str, float]:
    """The newest score each source gave to the answer of a request."""
    rows = connection.execute(
        "SELECT detail FROM entries WHERE request = ? AND kind = 'feedback' ORDER BY seq", (request_id,)
    ).fetchall()
    details = [msgspec.json.decode(detail) for (detail,) in rows if detail]
    return {str(each["source"]): float(each["score"]) for each in details}


def find_row(connection: sqlite3.Connection, request_id: str) -> Row | None:
    """The row of a request; the newest where an id came twice."""
    row = connection.execute("SELECT * FROM requests WHERE id = ? ORDER BY seq DESC LIMIT 1", (request_id,)).fetchone()
    return None if row is None else read_row(connection, row)


def read_row(connection: sqlite3.Connection, values: tuple[Any, ...]) -> Row:
    """A row of `SELECT * FROM requests`, with its savings and calls; columns that an older file lacks are empty."""
    named: dict[str, Any] = dict.fromkeys(REQUEST) | dict(zip(REQUEST, values, strict=False))
    seq = named.pop("seq")
    for column in ("prompt_tokens", "saved"):
        del named[column]
    named["freed"] = named["freed"] or ""
    for column in ("tags", "decide", "would_save", "arms", "scores", "parts", "alone", "steps"):
        named[column] = msgspec.json.decode(named[column]) if named[column] else {}
    named["reactions"] = msgspec.json.decode(named["reactions"]) if named["reactions"] else ()
    named["notes"] = msgspec.json.decode(named["notes"]) if named["notes"] else ()
    used = named.pop("used")
    named["tokens"] = msgspec.json.decode(used, type=Tokens) if used else None
    for column in ("stream", "holdout", "cache_hit", "unpriced", "reported"):
        named[column] = bool(named[column])
    verdicts = read_verdicts(connection, named["id"])
    if verdicts:  # people go before judges
        named["scores"]["quality"] = quality(verdicts)
    savings = dict(connection.execute("SELECT technique, nano FROM savings WHERE request = ?", (seq,)).fetchall())
    calls = connection.execute("SELECT * FROM calls WHERE request = ? ORDER BY number", (seq,)).fetchall()
    return Row(**named, savings=savings, calls=tuple(_read_call(call) for call in calls))


def _read_call(values: tuple[Any, ...]) -> CallRow:
    named: dict[str, Any] = dict.fromkeys(CALL) | dict(zip(CALL, values, strict=False))
    del named["request"], named["number"]
    named["adopted"] = bool(named["adopted"])
    units = msgspec.json.decode(named["units"], type=tuple[tuple[str, int], ...]) if named["units"] else ()
    opened = msgspec.json.decode(named["opened"], type=tuple[float, float, float]) if named["opened"] else None
    return CallRow(**(named | {"units": units, "opened": opened}))
