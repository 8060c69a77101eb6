"""Roll-ups of the ledger: its rows added up by minute, hour and day, so that a page over a million rows is a look-up.

They live in the ledger's own file and are kept by whoever writes it. `mark` is the number of the last row that is in
them; rows beyond it, at most `TAIL` while a gateway writes, are added up by whoever reads (`rolled.Rolled`), so that
figures are whole at any time. Rows are only ever added, hence a row is rolled up once, whatever its time and however
many processes write. All of it is SQLite's own work, beside the interpreter's lock.

Latencies are kept as letters: one letter a request, its code the bin of its time. Letters of several rows are joined by
putting them one behind the other, and counted when percentiles are asked for (`times`). Bins are at most 5 % wide
from 20 ms on; where more than `LETTERS` requests an hour come, every nth is kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import NamedTuple

MINUTE, HOUR, DAY = 60, 3_600, 86_400
TAIL = 2_000
"""Rows that may wait to be rolled up."""
CHUNK = 20_000
"""Rows that are rolled up in one go."""
LETTERS = 50_000
"""Times that are kept an hour, of all requests together."""
FINE_DAYS = 3
"""How long minutes and fine hours are kept; days and plain hours stay as long as the rows."""
PEAKS = 20
"""The slowest and the costliest requests of an hour that are kept."""
FIRST = 48
"""The code of the first bin's letter."""


class Rolled(NamedTuple):
    """One table: how wide its spans are, by what its rows are told apart, what is added up, whether old rows go."""

    name: str
    span: int
    keys: tuple[str, ...]
    sums: tuple[str, ...]
    letters: tuple[str, ...] = ()
    fine: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns in their order."""
        return ("at", *self.keys, *self.sums, *self.letters)


SUMS = (
    "requests", "failed", "refused", "left_midway", "streamed", "hits", "unpriced", "estimated", "violations",
    "baseline", "saved", "error", "off", "actual", "prompt", "output", "ttft_n", "e2e_n",
)  # fmt: skip
_CUBE = ("tenant", "key_id", "route", "feature", "model", "background")
_SAVED = ("requests", "nano", "own")
_CALLED = ("calls", "failed", "cost", "input", "output", "cache_read", "cache_write", "reasoning", "ttft_n")
_CALLS = ("tenant", "model", "region", "service_tier", "purpose")
_TIMES = ("ttft", "e2e")

MINUTES = Rolled("rolled_minutes", MINUTE, ("tenant", "background"), SUMS, _TIMES, fine=True)
HOURS = Rolled("rolled_hours", HOUR, ("tenant", "background"), SUMS, _TIMES)
CUBE_HOURS = Rolled("rolled_cube_hours", HOUR, _CUBE, SUMS, _TIMES, fine=True)
CUBE_DAYS = Rolled("rolled_cube_days", DAY, _CUBE, SUMS, _TIMES)
DAYS = Rolled("rolled_days", DAY, ("what", "name", "tenant", "background"), SUMS, _TIMES)
"""Each day by one label at a time, which is what most tables show; the cubes are for what is filtered further."""
SAVINGS_HOURS = Rolled("rolled_savings_hours", HOUR, ("tenant", "technique"), _SAVED)
SAVINGS_CUBE_HOURS = Rolled(
    "rolled_savings_cube_hours", HOUR, ("tenant", "route", "feature", "technique"), _SAVED, fine=True
)
SAVINGS_CUBE_DAYS = Rolled("rolled_savings_cube_days", DAY, ("tenant", "route", "feature", "technique"), _SAVED)
CALLS_HOURS = Rolled("rolled_calls_hours", HOUR, _CALLS, _CALLED, ("ttft",), fine=True)
CALLS_DAYS = Rolled("rolled_calls_days", DAY, _CALLS, _CALLED, ("ttft",))
COUNTS_HOURS = Rolled("rolled_counts_hours", HOUR, ("what", "tenant", "route", "name"), ("requests", "nano"), fine=True)
COUNTS_DAYS = Rolled("rolled_counts_days", DAY, ("what", "tenant", "route", "name"), ("requests", "nano"))
"""What has a name and is counted: cache layers, kinds of failure, certificates."""
TABLES = (
    MINUTES, HOURS, CUBE_HOURS, CUBE_DAYS, DAYS, SAVINGS_HOURS, SAVINGS_CUBE_HOURS, SAVINGS_CUBE_DAYS, CALLS_HOURS,
    CALLS_DAYS, COUNTS_HOURS, COUNTS_DAYS,
)  # fmt: skip

MODEL = "CASE WHEN r.cache_hit THEN '(cache)' WHEN r.model_served = '' THEN '(none)' ELSE r.model_served END"
_LABELS = {
    "tenant": "r.tenant", "key_id": "r.key_id", "route": "r.route", "feature": "r.feature", "model": MODEL,
    "background": "r.background",
}  # fmt: skip
_TIMED = "r.background = '' AND r.outcome = 'delivered'"
_ADDED = {
    "requests": "count(*)",
    "failed": "total(r.outcome = 'failed')",
    "refused": "total(r.outcome = 'refused')",
    "left_midway": "total(r.outcome = 'left')",
    "streamed": "total(r.stream)",
    "hits": "total(r.cache_hit)",
    "unpriced": "total(r.unpriced)",
    "estimated": "total(NOT r.reported)",
    "violations": "total(NOT r.unpriced AND r.baseline - r.saved - r.estimate_error != r.actual)",
    "baseline": "coalesce(sum(r.baseline) FILTER (WHERE NOT r.unpriced), 0)",
    "saved": "coalesce(sum(r.saved), 0)",
    "error": "coalesce(sum(r.estimate_error), 0)",
    "off": "coalesce(sum(abs(r.estimate_error)), 0)",
    "actual": "coalesce(sum(r.actual), 0)",
    "prompt": "sum(r.prompt_tokens)",
    "output": "sum(r.output_tokens)",
    "ttft_n": f"count(r.ttft) FILTER (WHERE {_TIMED})",
    "e2e_n": f"count(r.e2e) FILTER (WHERE {_TIMED})",
}


_HELD = (
    "wall", "tenant", "key_id", "route", "feature", "model_served", "cache_hit", "background", "unpriced", "session",
    "user", "fingerprint", "id", "baseline", "actual", "holdout",
)  # fmt: skip
"""What is asked of held-out rows: they are few, and found without going to each."""


def create(connection: sqlite3.Connection, schema: str = "main") -> None:
    """Makes the tables; `schema` is `temp` for what a reader adds up."""
    for table in TABLES:
        columns = [f"{name} TEXT NOT NULL" for name in table.keys]
        columns += [f"{name} INTEGER NOT NULL" for name in table.sums]
        columns += [f"{name} TEXT NOT NULL" for name in table.letters]
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {schema}.{table.name} (at INTEGER NOT NULL, {', '.join(columns)},"
            f" PRIMARY KEY (at, {', '.join(table.keys)})) WITHOUT ROWID"
        )
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {schema}.rolled_peaks (at INTEGER NOT NULL, what TEXT NOT NULL,"
        " value REAL NOT NULL, request INTEGER NOT NULL, PRIMARY KEY (what, at, value DESC, request)) WITHOUT ROWID"
    )


def prepare(connection: sqlite3.Connection) -> None:
    """Gives a ledger its roll-ups, where it has none yet: one of an older version is rolled up as it is written to."""
    if known(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        create(connection)
        for name, place in (
            ("requests_trouble", "requests (wall) WHERE outcome IN ('failed', 'refused', 'left')"),
            ("requests_holdout", f"requests ({', '.join(_HELD)}) WHERE holdout"),
            ("entries_kind", "entries (kind, wall)"),
        ):
            connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {place}")
        connection.execute("CREATE TABLE IF NOT EXISTS rolled_mark (mark INTEGER NOT NULL)")
        connection.execute("INSERT INTO rolled_mark SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM rolled_mark)")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def known(connection: sqlite3.Connection) -> bool:
    """Whether a file has roll-ups; one that an older version wrote has none."""
    return bool(connection.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'rolled_mark'").fetchone())


def mark_of(connection: sqlite3.Connection) -> int:
    """The number of the last row that is rolled up."""
    return int(connection.execute("SELECT mark FROM main.rolled_mark").fetchone()[0])


def keep_up(connection: sqlite3.Connection, newest: int) -> None:
    """Rolls up a chunk where too many rows wait, within the caller's transaction."""
    if newest - mark_of(connection) >= TAIL:
        roll(connection)


def roll(connection: sqlite3.Connection, most: int = CHUNK) -> int:
    """Rolls up the next rows, within the caller's transaction; returns how many may be left."""
    mark = mark_of(connection)
    newest = int(connection.execute("SELECT coalesce(max(seq), 0) FROM requests").fetchone()[0])
    until = min(newest, mark + most)
    if until > mark:
        add(connection, "main", "r.seq > ? AND r.seq <= ?", (mark, until), until - mark)
        _forget(connection, "r.seq > ? AND r.seq <= ?", (mark, until))
        connection.execute("UPDATE rolled_mark SET mark = ?", (until,))
    return newest - until


def add(connection: sqlite3.Connection, schema: str, where: str, values: tuple[float, ...], rows: int) -> None:
    """Adds the request rows `r` that `where` names, about `rows` of them, to the tables of `schema`.

    Rows are read once for each kind of figure and added up by the finest spans and labels there are; the tables are
    filled from those few sums, whose own sums they are.
    """
    for table in _FINEST:
        columns = ", ".join(f"{name} NOT NULL" for name in table.columns)
        connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table.name} ({columns})")
    step = _step(connection, where, values, rows)
    for table, select in _selects(where, step):
        connection.execute(f"INSERT INTO temp.{table.name} {select} {_grouped(table)}", values)
    for table in (MINUTES, HOURS, CUBE_HOURS, CUBE_DAYS):
        _upsert(connection, schema, table, _REQUESTS)
    for what in ("tenant", "key_id", "feature", "model", "route"):
        labels = {"what": f"'{what}'", "name": "''" if what == "tenant" else what}
        _upsert(connection, schema, DAYS, _REQUESTS, labels)
    for table in (SAVINGS_HOURS, SAVINGS_CUBE_HOURS, SAVINGS_CUBE_DAYS):
        _upsert(connection, schema, table, _SAVINGS)
    for table in (CALLS_HOURS, CALLS_DAYS):
        _upsert(connection, schema, table, _CALLS_MADE)
    for table in (COUNTS_HOURS, COUNTS_DAYS):
        _upsert(connection, schema, table, _NAMED)
    for table in _FINEST:
        connection.execute(f"DELETE FROM temp.{table.name}")
    hour = f"CAST(r.wall / {HOUR} AS INTEGER) * {HOUR}"
    for what, value in (("slow", "r.e2e"), ("costly", "r.actual")):
        connection.execute(
            f"INSERT OR REPLACE INTO {schema}.rolled_peaks SELECT {hour}, '{what}', {value}, r.seq"
            f" FROM main.requests r WHERE {where} AND r.background = '' AND {value} > 0"
            f" ORDER BY {value} DESC LIMIT {PEAKS}",
            values,
        )


_REQUESTS = Rolled("rolling_requests", MINUTE, _CUBE, SUMS, _TIMES)
_SAVINGS = Rolled("rolling_savings", HOUR, ("tenant", "route", "feature", "technique"), _SAVED)
_CALLS_MADE = Rolled("rolling_calls", HOUR, _CALLS, _CALLED, ("ttft",))
_NAMED = Rolled("rolling_counts", HOUR, ("what", "tenant", "route", "name"), ("requests", "nano"))
_FINEST = (_REQUESTS, _SAVINGS, _CALLS_MADE, _NAMED)
"""What rows are added up to first: by the finest spans and labels of all tables of a kind."""


def _selects(where: str, step: int) -> Iterator[tuple[Rolled, str]]:
    """How the rows that `where` names are added up to the finest figures: table, and the query without its groups."""
    minute, hour = (f"CAST(r.wall / {span} AS INTEGER) * {span}" for span in (MINUTE, HOUR))
    columns = [minute, *(_LABELS[key] for key in _REQUESTS.keys), *(_ADDED[name] for name in SUMS)]
    columns += [letters(f"r.{name}", f"{_TIMED} AND r.seq % {step} = 0") for name in _TIMES]
    yield _REQUESTS, f"SELECT {', '.join(columns)} FROM main.requests r WHERE {where}"
    labels = f"{hour}, r.tenant, r.route, r.feature, s.technique"
    saved = (
        f"SELECT {labels}, count(*), sum(s.nano), 0 FROM main.requests r"
        f" JOIN main.savings s ON s.request = r.seq WHERE {where} AND NOT r.unpriced"
    )
    yield _SAVINGS, saved
    own = (
        f"SELECT {labels}, 0, 0, sum(s.cost) FROM main.requests r JOIN main.calls s ON s.request = r.seq"
        f" WHERE {where} AND NOT r.unpriced AND NOT s.adopted AND s.cost > 0"
    )
    yield _SAVINGS, own
    began = letters("(c.began - c.started)", f"c.outcome != 'failed' AND r.seq % {step} = 0")
    made = (
        f"SELECT {hour}, r.tenant, c.model, c.region, c.service_tier, c.purpose, count(*),"
        " total(c.outcome = 'failed'), coalesce(sum(c.cost), 0), sum(c.input), sum(c.output), sum(c.cache_read),"
        " sum(c.cache_write + c.cache_write_1h), sum(c.reasoning),"
        f" count(c.began) FILTER (WHERE c.outcome != 'failed'), {began}"
        f" FROM main.requests r JOIN main.calls c ON c.request = r.seq WHERE {where}"
    )
    yield _CALLS_MADE, made
    for what, name, nano, source in (
        (
            "layer", "r.cache_layer || CASE WHEN r.cache_hit THEN '/hit' ELSE '/miss' END",
            "coalesce(sum(r.saved), 0)", f"FROM main.requests r WHERE {where} AND r.cache_layer IS NOT NULL",
        ),
        ("failure", "r.failure", "0", f"FROM main.requests r WHERE {where} AND r.failure IS NOT NULL"),
        (
            "certificate", "r.intent || '/' || substr(j.value, 13)", "0",
            f"FROM main.requests r, json_each(r.notes) j WHERE {where} AND r.notes LIKE '%certificate=%'"
            " AND j.value LIKE 'certificate=%'",
        ),
    ):  # fmt: skip
        yield _NAMED, f"SELECT {hour}, '{what}', r.tenant, r.route, {name}, count(*), {nano} {source}"


def _grouped(table: Rolled) -> str:
    return f"GROUP BY {', '.join(str(number + 1) for number in range(1 + len(table.keys)))}"


def _upsert(
    connection: sqlite3.Connection, schema: str, table: Rolled, finest: Rolled, labels: Mapping[str, str] | None = None
) -> None:
    """Adds what stands in `finest` to a table; `labels`: SQL of those keys that are no columns there."""
    columns = [f"at / {table.span} * {table.span}"]
    columns += [(labels or {}).get(key, key) for key in table.keys]
    columns += [f"sum({name})" for name in table.sums]
    columns += [f"group_concat({name}, '')" for name in table.letters]
    added = [f"{name} = {name} + excluded.{name}" for name in table.sums]
    added += [f"{name} = {name} || excluded.{name}" for name in table.letters]
    connection.execute(
        f"INSERT INTO {schema}.{table.name} ({', '.join(table.columns)}) SELECT {', '.join(columns)}"
        f" FROM temp.{finest.name} WHERE true {_grouped(table)} ON CONFLICT DO UPDATE SET {', '.join(added)}"
    )


def _step(connection: sqlite3.Connection, where: str, values: tuple[float, ...], rows: int) -> int:
    """Every how many-th request leaves its times."""
    first: float | None
    last: float
    first, last = connection.execute(
        f"SELECT min(r.wall), max(r.wall) FROM main.requests r WHERE {where}", values
    ).fetchone()
    if first is None or rows <= LETTERS // 100:
        return 1
    hours = max((last - first) / HOUR, 1e-9)
    return max(1, min(round(rows / hours / LETTERS), rows // (LETTERS // 100)))


def letters(seconds: str, when: str) -> str:
    """SQL that puts the letters of times one behind the other."""
    ms = f"CAST({seconds} * 1000 AS INTEGER)"
    code = (
        f"CASE WHEN {seconds} < 0.1 THEN {ms} WHEN {seconds} < 1 THEN 100 + ({ms} - 100) / 5"
        f" WHEN {seconds} < 10 THEN 280 + ({ms} - 1000) / 50 WHEN {seconds} < 100 THEN 460 + ({ms} - 10000) / 500"
        " ELSE 640 END"
    )
    kept = f"FILTER (WHERE {seconds} IS NOT NULL AND {when})"
    return f"coalesce(group_concat(char({FIRST} + max(0, {code})), '') {kept}, '')"


def _forget(connection: sqlite3.Connection, where: str, values: tuple[float, ...]) -> None:
    """Lets go of fine spans that are old, and of peaks beyond the highest of their hour."""
    newest, oldest = connection.execute(
        f"SELECT max(r.wall), min(r.wall) FROM main.requests r WHERE {where}", values
    ).fetchone()
    for table in TABLES:
        if table.fine:
            connection.execute(f"DELETE FROM {table.name} WHERE at < ?", (newest - FINE_DAYS * DAY,))
    connection.execute(
        "DELETE FROM rolled_peaks WHERE at >= ?1 AND (what, at, request) IN (SELECT what, at, request FROM ("
        " SELECT what, at, request, row_number() OVER (PARTITION BY what, at ORDER BY value DESC) AS place"
        f" FROM rolled_peaks WHERE at >= ?1) WHERE place > {PEAKS})",
        (oldest // HOUR * HOUR,),
    )


def drop_before(connection: sqlite3.Connection, before: float) -> None:
    """After request rows older than `before` were deleted: takes them out of the roll-ups, within the caller's
    transaction. The day of `before` is added up again from what it has left."""
    day = int(before // DAY) * DAY
    until = day + (DAY if before > day else 0)
    for table in TABLES:
        connection.execute(f"DELETE FROM {table.name} WHERE at < ?", (until,))
    connection.execute("DELETE FROM rolled_peaks WHERE at < ?", (until,))
    connection.execute("UPDATE rolled_mark SET mark = min(mark, (SELECT coalesce(max(seq), 0) FROM requests))")
    if until > before:
        where, values = "r.wall >= ? AND r.wall < ? AND r.seq <= ?", (before, until, mark_of(connection))
        rows = connection.execute(f"SELECT count(*) FROM requests r WHERE {where}", values).fetchone()[0]
        if rows:
            add(connection, "main", where, values, rows)
