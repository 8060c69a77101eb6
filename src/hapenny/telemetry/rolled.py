"""What roll-ups say: totals, the course over time, groups, techniques and calls of any range, in some tens of ms.

A `Rolled` is one connection that only reads. Each look takes one snapshot: what the writer has rolled up, and the rows
beyond it, which are added up here, in memory. A range is widened to whole spans: minutes, hours or days (UTC), the
finest that are kept of it and tell the rows apart by what is asked; `Span` says which. What was read is kept as long as
no row came since; of ranges beyond two days as long as at most a thousandth of the ledger's rows did.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from hapenny.telemetry import rollups, times
from hapenny.telemetry.figures import Scope
from hapenny.telemetry.opened import open_ledger
from hapenny.telemetry.rolled_figures import Called, Counted, Grouped, Saving, Spot, Totals
from hapenny.telemetry.rollups import (
    CALLS_DAYS,
    CALLS_HOURS,
    COUNTS_DAYS,
    COUNTS_HOURS,
    CUBE_DAYS,
    CUBE_HOURS,
    DAY,
    DAYS,
    FINE_DAYS,
    HOUR,
    HOURS,
    MINUTES,
    SAVINGS_CUBE_DAYS,
    SAVINGS_CUBE_HOURS,
    SAVINGS_HOURS,
    SUMS,
)
from hapenny.telemetry.rollups import Rolled as Table

_COLUMN = {"tenant": "tenant", "route": "route", "feature": "feature", "model": "model", "key": "key_id"}
_SUMMED = ", ".join(f"sum({name})" for name in SUMS)
_JOINED = "group_concat(ttft, ''), group_concat(e2e, '')"
KEPT = 48
"""Results that are kept."""
_FINE_S = 6 * HOUR
"""Ranges up to here are drawn by the minute."""


class Span(NamedTuple):
    """The table that answers, and the range in its whole spans (epoch seconds)."""

    table: Table
    since: int
    until: int


class Rolled:
    """The roll-ups of a ledger file, for one reader.

    Args:
        path: the ledger.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it was written by a newer hapenny.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.connection = open_ledger(path, read_only=True)
        self.connection.isolation_level = None
        for pragma in ("temp_store=MEMORY", "cache_size=-65536", "mmap_size=1073741824"):
            self.connection.execute(f"PRAGMA {pragma}")
        rollups.create(self.connection, "temp")
        self._lock = threading.RLock()
        self._depth = 0
        self._kept = False
        self._from = self._to = -1
        self._read: OrderedDict[Any, tuple[tuple[int, int], Any]] = OrderedDict()
        self.first: float | None = None
        self.last: float | None = None
        """Arrival of the oldest and of the newest request; None where there is none."""

    def close(self) -> None:
        """Lets go of the file."""
        with self._lock:
            self.connection.close()

    @contextlib.contextmanager
    def look(self) -> Iterator[Rolled]:
        """One snapshot for all questions within; other threads wait."""
        with self._lock:
            if self._depth:
                yield self
                return
            self._depth = 1
            self.connection.execute("BEGIN")
            try:
                self._refresh()
                yield self
            finally:
                self._depth = 0
                self.connection.execute("COMMIT")

    def _refresh(self) -> None:
        """Adds up the rows that the writer has not rolled up yet."""
        connection = self.connection
        self._kept = rollups.known(connection)
        mark = rollups.mark_of(connection) if self._kept else 0
        newest = int(connection.execute("SELECT coalesce(max(seq), 0) FROM requests").fetchone()[0])
        if mark != self._from or newest < self._to:
            for name in (*(table.name for table in rollups.TABLES), "rolled_peaks"):
                connection.execute(f"DELETE FROM temp.{name}")
            self._from = self._to = mark
        while self._to < newest:
            until = min(newest, self._to + rollups.CHUNK)
            values = (self._to, until)
            rollups.add(connection, "temp", "r.seq > ? AND r.seq <= ?", values, until - self._to)
            self._to = until
        self.first, self.last = connection.execute(
            "SELECT (SELECT min(wall) FROM requests), (SELECT max(wall) FROM requests)"
        ).fetchone()

    def select(
        self, table: Table | str, columns: str, where: str, values: Sequence[Any], tail: str = ""
    ) -> list[tuple[Any, ...]]:
        """Rows of a roll-up, of the writer's and of what was added up here. `tail`: over both (GROUP BY, ORDER BY)."""
        name = table if isinstance(table, str) else table.name
        inner = "*" if isinstance(table, str) else ", ".join(table.columns)
        parts = [f"SELECT {inner} FROM {schema}.{name} WHERE {where}" for schema in self._schemas]
        sql = f"SELECT {columns} FROM ({' UNION ALL '.join(parts)}) {tail}"
        bounds = [value for value in values[:2] if isinstance(value, int)]
        wide = len(bounds) == 2 and bounds[1] - bounds[0] > 2 * DAY
        selected: list[tuple[Any, ...]] = self.kept(
            (sql, *values), wide, lambda: self.connection.execute(sql, tuple(values) * len(parts)).fetchall()
        )
        return selected

    def kept(self, key: Any, wide: bool, make: Callable[[], Any]) -> Any:
        """What `make` gives, or gave before where nothing (or of a `wide` range: next to nothing) has changed since."""
        known = self._read.get(key)
        if known is not None:
            (mark, newest), value = known
            few = wide and 0 <= self._to - newest <= self._to // 1_000
            if few or (mark, newest) == (self._from, self._to):
                self._read.move_to_end(key)
                return value
        value = make()
        self._read[key] = ((self._from, self._to), value)
        while len(self._read) > KEPT:
            self._read.popitem(last=False)
        return value

    def forget(self) -> None:
        """Reads everything anew."""
        self._read.clear()

    @property
    def _schemas(self) -> tuple[str, ...]:
        return ("main", "temp") if self._kept else ("temp",)

    # -- ranges ----------------------------------------------------------------------------------------------------

    def span(self, scope: Scope, fine: Table, coarse: Table) -> Span:
        """The finer table where all of the range is kept in it, else the coarser, with the range in whole spans."""
        first, last = self.first or 0.0, self.last or 0.0
        since = max(first, scope.since) if scope.since is not None else first
        until = min(last + 1, scope.until) if scope.until is not None else last + 1
        kept = since >= last - (FINE_DAYS * DAY - HOUR) or not fine.fine
        table = fine if kept and (fine is not MINUTES or until - since <= _FINE_S) else coarse
        return Span(table, int(since // table.span * table.span), int(-(-until // table.span) * table.span))

    def cube(self, scope: Scope) -> Span:
        """The table that tells rows apart by everything."""
        return self.span(scope, CUBE_HOURS, CUBE_DAYS)

    def plain(self, scope: Scope) -> Span:
        """The table for totals: hours where nothing but a tenant is asked for."""
        if _narrow(scope, "route", "feature", "model", "key"):
            return self.cube(scope)
        return self.span(scope, MINUTES, HOURS)

    @staticmethod
    def where(scope: Scope, span: Span, *names: str) -> tuple[str, list[Any]]:
        """The condition of a range, and of those filters of `scope` that the table knows (or those named)."""
        clauses, values = ["at >= ?", "at < ?"], [span.since, span.until]
        for name in names or tuple(_COLUMN):
            value, column = getattr(scope, name), _COLUMN[name]
            if value is not None and column in span.table.keys:
                clauses.append(f"{column} = ?")
                values.append(value)
        return " AND ".join(clauses), values

    # -- figures ---------------------------------------------------------------------------------------------------

    def totals(self, scope: Scope) -> Totals:
        """Everything of a range in sum."""
        spots = self._spots(scope, self.plain(scope))
        return _total([row for rows in spots.values() for row in rows])

    def course(self, scope: Scope, most: int = 120) -> list[Spot]:
        """The range in at most `most` equal parts, those without requests too. A last part that has only begun is left
        out where there are others: it would look like a fall."""
        span = self.plain(scope)
        width = span.table.span
        count = max(1, (span.until - span.since) // width)
        step = -(-count // most) * width
        spots = self._spots(scope, span)
        found: dict[int, list[_Row]] = {}
        for at, rows in spots.items():
            found.setdefault(span.since + (at - span.since) // step * step, []).extend(rows)
        starts = list(range(span.since, span.until, step))
        if len(starts) > 3 and (self.last or 0.0) < starts[-1] + 0.9 * step:
            del starts[-1]
        return [Spot(at=at, span=step, totals=_total(found.get(at, []), brief=True)) for at in starts]

    def _spots(self, scope: Scope, span: Span) -> dict[int, list[_Row]]:
        where, values = self.where(scope, span)
        spots: dict[int, list[_Row]] = {}
        for row in self.select(
            span.table, f"at, background != '', {_SUMMED}, {_JOINED}", where, values, "GROUP BY 1, 2"
        ):
            spots.setdefault(row[0], []).append(_Row(bool(row[1]), row[2:-2], row[-2], row[-1]))
        return spots

    def groups(self, scope: Scope, by: str, most: int = 50) -> list[Grouped]:
        """Rows by `tenant`, `route`, `feature`, `model` or `key`, the dearest first; what is beyond `most` together."""
        span, column = self.cube(scope), _COLUMN[by]
        if span.table is CUBE_DAYS and not _narrow(scope, "route", "feature", "model", "key"):
            span = span._replace(table=DAYS)
            where, values = self.where(scope, span)
            where, values = f"{where} AND what = ?", [*values, column]
            column = "tenant" if by == "tenant" else "name"
        else:
            where, values = self.where(scope, span)
        found: dict[str, dict[int, list[_Row]]] = {}
        for row in self.select(
            span.table, f"{column}, at, background != '', {_SUMMED}, {_JOINED}", where, values, "GROUP BY 1, 2, 3"
        ):
            made = _Row(bool(row[2]), row[3:-2], row[-2], row[-1])
            found.setdefault(row[0], {}).setdefault(row[1], []).append(made)
        whole = [(name, sum(row.sums[_ACTUAL] for rows in spots.values() for row in rows), spots)
                 for name, spots in found.items()]  # fmt: skip
        whole.sort(key=lambda each: -each[1])
        groups = [_grouped(name, spots, span, self.last or 0.0) for name, _, spots in whole[:most]]
        if len(whole) > most:
            rest: dict[int, list[_Row]] = {}
            for _, _, spots in whole[most:]:
                for at, rows in spots.items():
                    rest.setdefault(at, []).extend(rows)
            groups.append(_grouped(f"{len(whole) - most:,} others", rest, span, self.last or 0.0, others=True))
        return groups

    def savings(self, scope: Scope) -> list[Saving]:
        """What each technique saved less its own cost, by span; filters by model and key are not known here."""
        if _narrow(scope, "route", "feature"):
            span = self.span(scope, SAVINGS_CUBE_HOURS, SAVINGS_CUBE_DAYS)
        else:
            span = self.span(scope, SAVINGS_HOURS, SAVINGS_HOURS)
        where, values = self.where(scope, span)
        savings: dict[str, Saving] = {}
        for name, at, requests, nano, own in self.select(
            span.table, "technique, at, sum(requests), sum(nano), sum(own)", where, values, "GROUP BY 1, 2"
        ):
            saving = savings.setdefault(name, Saving(name=name))
            saving.requests += requests
            saving.saved += nano
            saving.own += own
            saving.course[at] = saving.course.get(at, 0) + nano
        savings = {name: saving for name, saving in savings.items() if saving.saved or saving.requests}
        return sorted(savings.values(), key=lambda saving: -saving.saved)

    def baselines(self, scope: Scope) -> dict[int, Totals]:
        """Sums by the spans that `savings` uses, for shares with intervals."""
        narrow = _narrow(scope, "route", "feature")
        span = self.span(scope, CUBE_HOURS, CUBE_DAYS) if narrow else self.span(scope, HOURS, HOURS)
        where, values = self.where(scope, span, "tenant", "route", "feature")
        return {
            row[0]: _sums(row[1:])
            for row in self.select(span.table, f"at, {_SUMMED}", f"{where} AND background = ''", values, "GROUP BY 1")
        }

    def calls(self, scope: Scope) -> list[Called]:
        """Calls to models, by model, region, service tier and purpose."""
        span = self.span(scope, CALLS_HOURS, CALLS_DAYS)
        where, values = self.where(scope, span, "tenant")
        found: dict[tuple[str, str, str, str], Called] = {}
        letters: dict[tuple[str, str, str, str], list[tuple[str, int]]] = {}
        for row in self.select(
            span.table,
            "model, region, service_tier, purpose, at, sum(calls), sum(failed), sum(cost), sum(input), sum(output),"
            " sum(cache_read), sum(cache_write), sum(reasoning), sum(ttft_n), group_concat(ttft, '')",
            where, values, "GROUP BY 1, 2, 3, 4, 5",
        ):  # fmt: skip
            name = row[:4]
            called = found.setdefault(name, Called(model=row[0], region=row[1], tier=row[2], purpose=row[3]))
            called.add(row[5:13])
            letters.setdefault(name, []).append((row[14], row[13]))
        for name, called in found.items():
            counts = times.counted(letters[name])
            called.ttft_p50, called.ttft_p95 = times.quantile(counts, 0.5), times.quantile(counts, 0.95)
        return sorted(found.values(), key=lambda called: -called.cost)

    def counts(self, scope: Scope, what: str) -> list[Counted]:
        """Cache layers (`layer`), kinds of failure (`failure`) or certificates (`certificate`), by route and span."""
        span = self.span(scope, COUNTS_HOURS, COUNTS_DAYS)
        where, values = self.where(scope, span, "tenant", "route")
        return [
            Counted(*row)
            for row in self.select(
                span.table, "route, name, at, sum(requests), sum(nano)", f"{where} AND what = ?", [*values, what],
                "GROUP BY 1, 2, 3 ORDER BY 3",
            )
        ]  # fmt: skip

    def failures(self, scope: Scope) -> list[tuple[str, int]]:
        """Kinds of failure with how many requests had each, the most frequent first."""
        failures: dict[str, int] = {}
        for each in self.counts(scope, "failure"):
            failures[each.name] = failures.get(each.name, 0) + each.requests
        return sorted(failures.items(), key=lambda item: -item[1])

    def peaks(self, scope: Scope, what: str, most: int = 20) -> list[int]:
        """Numbers of the slowest (`slow`, whole answer) or dearest (`costly`) requests of all tenants in a range."""
        span = self.span(scope, HOURS, HOURS)
        rows = self.select(
            "rolled_peaks", "request", "what = ? AND at >= ? AND at < ?", (what, span.since, span.until),
            f"ORDER BY value DESC LIMIT {most}",
        )  # fmt: skip
        return [request for (request,) in rows]


class _Row(NamedTuple):
    background: bool
    sums: tuple[int, ...]
    ttft: str | None
    e2e: str | None


def _narrow(scope: Scope, *names: str) -> bool:
    return any(getattr(scope, name) is not None for name in names)


_ACTUAL = SUMS.index("actual")
_REQUESTS = SUMS.index("requests")
_TTFT_N, _E2E_N = SUMS.index("ttft_n"), SUMS.index("e2e_n")


def _sums(values: Sequence[int]) -> Totals:
    totals = Totals()
    for name, value in zip(SUMS, values, strict=True):
        setattr(totals, name, value)
    return totals


def _total(rows: Sequence[_Row], brief: bool = False) -> Totals:
    sums = [int(sum(column)) for column in zip(*(row.sums for row in rows), strict=True)] or [0] * len(SUMS)
    totals = _sums(sums)
    totals.background_requests = sum(int(row.sums[_REQUESTS]) for row in rows if row.background)
    totals.background_actual = sum(int(row.sums[_ACTUAL]) for row in rows if row.background)
    totals.requests -= totals.background_requests
    ttft = times.counted((row.ttft or "", int(row.sums[_TTFT_N])) for row in rows)
    e2e = times.counted((row.e2e or "", int(row.sums[_E2E_N])) for row in rows)
    if brief:
        totals.ttft.count, totals.e2e.count = round(ttft.sum()), round(e2e.sum())
        totals.ttft.p50, totals.ttft.p95 = times.quantile(ttft, 0.5), times.quantile(ttft, 0.95)
        totals.e2e.p50, totals.e2e.p95 = times.quantile(e2e, 0.5), times.quantile(e2e, 0.95)
    else:
        totals.ttft, totals.e2e = times.latency(ttft), times.latency(e2e)
        totals.ttft_under_3 = times.under(ttft, 3.0)
        totals.e2e_under_1_5, totals.e2e_under_3 = times.under(e2e, 1.5), times.under(e2e, 3.0)
    return totals


def _grouped(name: str, spots: dict[int, list[_Row]], span: Span, last: float, others: bool = False) -> Grouped:
    totals = _total([row for rows in spots.values() for row in rows], brief=True)
    width = span.table.span
    steps = max(1, (span.until - span.since) // width)
    bucket = -(-steps // 30) * width
    course = [0] * -(-(span.until - span.since) // bucket)
    for at, rows in spots.items():
        course[(at - span.since) // bucket] += sum(int(row.sums[_ACTUAL]) for row in rows)
    begun = len(course) > 3 and last < span.since + (len(course) - 0.1) * bucket
    return Grouped(name=name, totals=totals, course=course, others=others, begun=begun)
