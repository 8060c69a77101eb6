"""Finds requests of the ledger: by labels, outcome, cost, time, id; newest first, a page at a time.

A search reads at most `SEARCHED` rows of the range and says where it stopped, so that a filter which nearly nothing
passes does not read a million rows at once.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from msgspec import Struct

from hapenny.telemetry.conditions import condition
from hapenny.telemetry.figures import Scope

SEARCHED = 60_000
PAGE = 50
_COLUMNS = (
    "seq", "id", "wall", "tenant", "key_id", "route", "feature", "intent", "model_asked", "model_served", "outcome",
    "failure", "background", "holdout", "stream", "cache_layer", "cache_hit", "ttft", "e2e", "prompt_tokens",
    "output_tokens", "baseline", "saved", "actual", "unpriced",
)  # fmt: skip
_TROUBLE = ("failed", "refused", "left")


class Line(Struct, kw_only=True):
    """A request in a list. Money in nano-dollars, times in seconds."""

    seq: int
    id: str
    wall: float
    tenant: str
    key_id: str
    route: str
    feature: str
    intent: str
    model_asked: str
    model_served: str
    outcome: str
    failure: str | None
    background: str
    holdout: int
    stream: int
    cache_layer: str | None
    cache_hit: int
    ttft: float | None
    e2e: float | None
    prompt_tokens: int
    output_tokens: int
    baseline: int | None
    saved: int | None
    actual: int | None
    unpriced: int


class Wanted(Struct, kw_only=True, frozen=True):
    """What is looked for beside the range."""

    id: str = ""
    """An id, or how it begins."""
    outcome: str = ""
    cache: str = ""
    """`hit`, `miss` or a layer."""
    slower: float | None = None
    """Seconds of the whole answer."""
    dearer: int | None = None
    """Nano-dollars paid."""
    background: bool = False
    """Work of our own as well."""


class Results(Struct, kw_only=True):
    """A page of requests; `searched_to`: where the search goes on (epoch seconds), None at the end of the range."""

    lines: list[Line]
    searched_to: float | None


def search(connection: sqlite3.Connection, scope: Scope, wanted: Wanted, page: int = PAGE) -> Results:
    """The newest requests of a range that are wanted."""
    if wanted.id:
        filters, values = condition(Scope(tenant=scope.tenant))
        rows = connection.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM requests WHERE id >= ? AND id < ? AND {filters}"
            " ORDER BY seq DESC LIMIT ?",
            (wanted.id, wanted.id + "\U0010ffff", *values, page),
        ).fetchall()
        return Results(lines=_lines(rows), searched_to=None)
    times, values = condition(scope.times)
    if wanted.outcome in _TROUBLE:
        times += " AND outcome IN ('failed', 'refused', 'left')"  # word for word the condition of its index
    filters, more = condition(scope.filters)
    clauses, extra = _clauses(wanted)
    rows = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM (SELECT {', '.join(_COLUMNS)} FROM requests WHERE {times}"
        f" ORDER BY wall DESC LIMIT {SEARCHED}) WHERE {' AND '.join([filters, *clauses])} LIMIT {page + 1}",
        (*values, *more, *extra),
    ).fetchall()
    if len(rows) > page:
        return Results(lines=_lines(rows[:page]), searched_to=rows[page - 1][2])
    (last, count) = connection.execute(
        "SELECT min(wall), count(*) FROM (SELECT wall FROM requests"
        f" WHERE {times} ORDER BY wall DESC LIMIT {SEARCHED})",
        values,
    ).fetchone()
    return Results(lines=_lines(rows), searched_to=last if count >= SEARCHED else None)


def by_number(
    connection: sqlite3.Connection, numbers: list[int], scope: Scope, wanted: Wanted | None = None
) -> list[Line]:
    """Requests by their row's number, in the given order; those that the filters, or what is wanted, leave out are
    missing."""
    if not numbers:
        return []
    filters, values = condition(scope)
    if wanted is not None:
        clauses, extra = _clauses(wanted)
        filters, values = " AND ".join([filters, *clauses]), [*values, *extra]
    rows = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM requests WHERE seq IN ({', '.join('?' * len(numbers))}) AND {filters}",
        (*numbers, *values),
    ).fetchall()
    place = {number: index for index, number in enumerate(numbers)}
    return sorted(_lines(rows), key=lambda line: place[line.seq])


def _clauses(wanted: Wanted) -> tuple[list[str], list[Any]]:
    clauses: list[str] = [] if wanted.background else ["background = ''"]
    values: list[Any] = []
    if wanted.outcome:
        clauses.append("outcome = ?")
        values.append(wanted.outcome)
    if wanted.cache in ("hit", "miss"):
        clauses.append("cache_hit" if wanted.cache == "hit" else "NOT cache_hit")
    elif wanted.cache:
        clauses.append("cache_hit AND cache_layer = ?")
        values.append(wanted.cache)
    if wanted.slower is not None:
        clauses.append("e2e >= ?")
        values.append(wanted.slower)
    if wanted.dearer is not None:
        clauses.append("actual >= ?")
        values.append(wanted.dearer)
    return clauses, values


def _lines(rows: list[tuple[Any, ...]]) -> list[Line]:
    return [Line(**dict(zip(_COLUMNS, row, strict=True))) for row in rows]
