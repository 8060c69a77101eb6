"""What the ledger says in sum: the savings waterfall, latency, money by feature, model and technique, over time."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec
import numpy as np

from hapenny.telemetry.advice import Acted, Advised, Watched, advise
from hapenny.telemetry.capacity import HOUR
from hapenny.telemetry.conditions import condition
from hapenny.telemetry.figures import (
    Audits,
    Group,
    Judging,
    Latency,
    Promise,
    Scope,
    Slice,
    Spent,
    Summary,
    Technique,
)
from hapenny.telemetry.holdout import compared
from hapenny.telemetry.leave_one_out import replayed
from hapenny.telemetry.opened import open_ledger

__all__ = ["Group", "Latency", "Scope", "Slice", "Summary", "Technique", "summarise"]

PERCENTILES = (50, 90, 95, 99)
SLICES = 48
"""Points of the course over time."""
BINS = 36
"""Bins of a latency distribution."""


def summarise(path: str, scope: Scope | None = None) -> Summary:
    """Reads a ledger file (also while it is being written).

    Raises:
        FileNotFoundError: there is none.
        ValueError: it was written by a newer hapenny.
    """
    connection = open_ledger(path, read_only=True)
    try:
        connection.execute("BEGIN")  # one snapshot for all queries
        return _Reader(connection, scope or Scope()).summary()
    finally:
        connection.close()


class _Reader:
    def __init__(self, connection: sqlite3.Connection, scope: Scope) -> None:
        self._connection = connection
        self._where, values = condition(scope)
        self._values: tuple[Any, ...] = tuple(values)
        self._entry_where, values = condition(scope.times)
        self._entry_values = tuple(values)
        self._whole = scope.whole

    def _rows(self, select: str, tail: str = "", table: str = "requests", also: str = "") -> list[tuple[Any, ...]]:
        sql = f"SELECT {select} FROM {table} WHERE {self._where}{also} {tail}"
        return self._connection.execute(sql, self._values).fetchall()

    def summary(self) -> Summary:
        (
            first, last, rows, background, errors, left, refused, streamed, unpriced, estimated, baseline, saved,
            error, actual, absolute,
        ) = self._rows(
            "min(wall), max(wall), count(*), total(background != ''), total(outcome = 'failed'),"
            " total(outcome = 'left'), total(outcome = 'refused'), total(stream), total(unpriced),"
            " total(NOT reported), coalesce(sum(baseline) FILTER (WHERE NOT unpriced), 0),"
            " coalesce(sum(saved), 0), coalesce(sum(estimate_error), 0), coalesce(sum(actual), 0),"
            " coalesce(sum(abs(estimate_error)), 0)"
        )[0]  # fmt: skip
        techniques = self._techniques()
        self._alone(techniques)
        entries = self._entries(techniques)
        baseline += entries["baseline"]
        saved += entries["saved"]
        error += entries["error"]
        actual += entries["actual"]
        absolute += abs(entries["error"])
        budgets = self._budgets()
        clients = rows - int(background)
        advised = self._advice(actual, budgets, clients, (last or 0.0) - (first or 0.0))
        return Summary(
            first=first,
            last=last,
            exchange_rows=rows - int(background),
            background_rows=int(background),
            background_cost=self._rows("coalesce(sum(actual), 0)", also=" AND background != ''")[0][0],
            errors=int(errors),
            left=int(left),
            refused=int(refused),
            streamed=int(streamed),
            baseline=baseline,
            saved=saved,
            estimate_error=error,
            actual=actual,
            saved_share=saved / baseline if baseline else 0.0,
            estimate_error_share=absolute / actual if actual else 0.0,
            unpriced_rows=int(unpriced),
            estimated_rows=int(estimated),
            identity_violations=self._violations(),
            overflowed_rows=entries["rows"],
            capacity=entries["capacity"],
            adjustments=entries["adjustments"],
            techniques=sorted(techniques.values(), key=lambda technique: -technique.saved),
            would_save=self._would_save(),
            advice=advised.steps,
            advised=advised.total,
            underway=advised.underway,
            features=self._groups("CASE feature WHEN '' THEN '(none)' ELSE feature END"),
            models=self._groups(
                "CASE WHEN cache_hit THEN '(cache)' WHEN model_served = '' THEN '(none)' ELSE model_served END"
            ),
            routes=self._groups("route"),
            tenants=self._groups("tenant"),
            cache=dict(self._rows("cache_layer, count(*)", "GROUP BY 1 ORDER BY 2 DESC", also=" AND cache_hit")),
            tokens=self._tokens(),
            parts=self._parts(),
            prompts={
                "tenant": self._prompts("tenant"),
                "feature": self._prompts("CASE feature WHEN '' THEN '(none)' ELSE feature END"),
                "model": self._prompts("CASE model_served WHEN '' THEN '(none)' ELSE model_served END"),
            },
            quota_freed=int(
                self._rows("coalesce(sum(json_extract(scores, '$.answer_freed')), 0)", also=" AND scores IS NOT NULL")[
                    0
                ][0]
            ),
            ttft=self._latency("ttft"),
            e2e=self._latency("e2e"),
            decide_p95=self._decide(),
            course=self._course(first, last),
            certificates=self._certificates(),
            audits=self._audits(),
            judging=self._judging(),
            budgets=budgets,
            holdout=compared(self._connection, self._where, self._values),
        )

    def _violations(self) -> int:
        """Recomputed from the parts, not believed: sums of savings and of calls against each row."""
        sql = (
            "SELECT count(*) FROM requests r WHERE NOT unpriced AND " + self._where + " AND ("
            "  baseline - saved - estimate_error != actual"
            "  OR saved != (SELECT coalesce(sum(nano), 0) FROM savings WHERE request = r.seq)"
            "  OR actual != (SELECT coalesce(sum(cost), 0) FROM calls WHERE request = r.seq))"
        )
        return int(self._connection.execute(sql, self._values).fetchone()[0])

    def _techniques(self) -> dict[str, Technique]:
        techniques = {
            name: Technique(name=name, requests=count, saved=nano, cost=0)
            for name, count, nano in self._rows(
                "technique, count(*), sum(nano)",
                "GROUP BY technique",
                "requests JOIN savings ON savings.request = seq",
                " AND NOT unpriced",
            )
        }
        for name, cost in self._rows(
            "technique, sum(cost)", "GROUP BY technique", "requests JOIN calls ON calls.request = seq",
            " AND NOT unpriced AND NOT adopted",
        ):  # fmt: skip
            if cost and name in techniques:
                techniques[name].cost = cost
        return techniques

    def _alone(self, techniques: dict[str, Technique]) -> None:
        """Leave-one-out beside the waterfall."""
        saved = replayed(self._connection, self._where, self._values)
        for name, technique in techniques.items():
            technique.alone = None if saved is None else saved.get(name, 0)

    def _entries(self, techniques: dict[str, Technique]) -> dict[str, int]:
        sums = dict.fromkeys(("baseline", "saved", "error", "actual", "rows", "capacity", "adjustments"), 0)
        if not self._whole:
            return sums  # entries belong to no tenant, route or feature
        for kind, technique, actual, baseline, saved, error, rows in self._connection.execute(
            "SELECT kind, technique, sum(actual), sum(baseline), sum(saved), sum(estimate_error), sum(rows)"
            f" FROM entries WHERE {self._entry_where} GROUP BY kind, technique",
            self._entry_values,
        ):
            sums["baseline"] += baseline
            sums["saved"] += saved
            sums["error"] += error
            sums["actual"] += actual
            if kind == "overflow":
                sums["rows"] += rows
            elif kind == "capacity":
                sums["capacity"] += actual
            else:
                sums["adjustments"] += actual
            if technique and saved:
                known = techniques.setdefault(technique, Technique(name=technique, requests=0, saved=0, cost=0))
                known.saved += saved
                if known.alone is not None or not known.requests:
                    known.alone = (known.alone or 0) + saved
                known.cost += actual if kind == "capacity" else 0
        return sums

    def _certificates(self) -> list[Promise]:
        return [
            Promise(route=route, intent=intent, certificate=said.removeprefix("certificate="), requests=count, last=at)
            for route, intent, said, count, at in self._rows(
                "route, intent, value, count(*), max(wall)", "GROUP BY 1, 2, 3 ORDER BY 5 DESC",
                "requests, json_each(requests.notes)", " AND notes IS NOT NULL AND value LIKE 'certificate=%'",
            )
        ]  # fmt: skip

    def _audits(self) -> list[Audits]:
        return [
            Audits(route=route, audits=count, loss=round(1.0 - quality, 6), cost=cost)
            for route, count, quality, cost in self._rows(
                "route, count(*), avg(json_extract(scores, '$.audit')), coalesce(sum(actual), 0)",
                "GROUP BY 1 ORDER BY 1",
                also=" AND background = 'audit' AND json_extract(scores, '$.audit') IS NOT NULL",
            )
        ]

    def _judging(self) -> list[Judging]:
        """What was spent on evidence, by the technique it is about; of several, each bears its part."""
        spent: dict[str, tuple[int, int]] = {}
        for about, count, cost in self._rows(
            "coalesce(json_extract(requests.tags, '$.evidence'), technique), count(*), coalesce(sum(cost), 0)",
            "GROUP BY 1", "requests JOIN calls ON calls.request = seq", " AND purpose IN ('audit', 'judge')",
        ):  # fmt: skip
            names = about.split("+")
            for place, name in enumerate(names):
                part = cost // len(names) + (place < cost % len(names))
                calls, nano = spent.get(name, (0, 0))
                spent[name] = (calls + count, nano + part)
        return [
            Judging(technique=name, calls=calls, cost=cost)
            for name, (calls, cost) in sorted(spent.items(), key=lambda item: -item[1][1])
        ]

    def _budgets(self) -> list[Spent]:
        """Where each technique stands with its loss budget: the newest note of each."""
        newest: dict[tuple[str, str], Spent] = {}
        for technique, detail in self._connection.execute(
            f"SELECT technique, detail FROM entries WHERE {self._entry_where} AND kind = 'evidence' ORDER BY seq",
            self._entry_values,
        ):
            told = msgspec.convert(msgspec.json.decode(detail) | {"technique": technique}, Spent)
            newest[told.route, technique] = told
        return [newest[key] for key in sorted(newest)]

    def _would_save(self) -> dict[str, int]:
        return dict(
            self._rows(
                "key, sum(value)", "GROUP BY key ORDER BY 2 DESC", "requests, json_each(requests.would_save)",
                " AND would_save IS NOT NULL",
            )
        )  # fmt: skip

    def _advice(self, paid: int, budgets: list[Spent], requests: int, seconds: float) -> Advised:
        rows = self._connection.execute(
            "SELECT actual, would_save, route FROM requests WHERE "
            f"{self._where} AND would_save IS NOT NULL AND NOT unpriced AND background = ''",
            self._values,
        )
        decode = msgspec.json.Decoder(dict[str, int]).decode
        watched = (Watched(actual or 0, decode(told), route) for actual, told, route in rows)
        waiting = [each for each in budgets if each.ahead]
        acted = {(each.route, each.technique): self._acted(each.route, each.technique) for each in waiting}
        return advise(watched, paid, requests=requests, seconds=seconds, budgets=budgets, acted=acted)

    def _acted(self, route: str, technique: str) -> Acted:
        """On how many of a route's requests that called a model a technique acted."""
        did = "EXISTS (SELECT 1 FROM savings WHERE request = seq AND technique = ?)"
        count, acted, baseline, baseline_left, actual_left = self._connection.execute(
            f"SELECT count(*), coalesce(sum(did), 0), coalesce(sum(baseline), 0), coalesce(sum(baseline * NOT did), 0),"
            f" coalesce(sum(actual * NOT did), 0) FROM (SELECT baseline, actual, {did} AS did FROM requests"
            f" WHERE {self._where} AND route = ? AND NOT unpriced AND background = '' AND actual > 0)",
            (technique, *self._values, route),
        ).fetchone()
        return Acted(count, acted, baseline, baseline_left, actual_left)

    def _groups(self, label: str) -> list[Group]:
        groups = [
            Group(name=name, requests=count, baseline=baseline, saved=saved, actual=actual)
            for name, count, baseline, saved, actual in self._rows(
                f"{label}, count(*), coalesce(sum(baseline), 0), coalesce(sum(saved), 0), coalesce(sum(actual), 0)",
                "GROUP BY 1 ORDER BY 3 DESC, 2 DESC",
                also=" AND NOT unpriced AND background = ''",
            )
        ]
        known = {group.name: group for group in groups}
        for name, cost in self._rows(
            f"{label}, coalesce(sum(actual), 0)", "GROUP BY 1", also=" AND NOT unpriced AND background != ''"
        ):
            if name not in known and cost:
                known[name] = Group(name=name, requests=0, baseline=0, saved=0, actual=0)
                groups.append(known[name])
            if name in known:
                known[name].background = cost
        times: dict[str, tuple[list[float], list[float]]] = {}
        for name, ttft, e2e in self._rows(f"{label}, ttft, e2e", also=" AND NOT unpriced AND background = ''"):
            first, whole = times.setdefault(name, ([], []))
            if ttft is not None:
                first.append(ttft)
            if e2e is not None:
                whole.append(e2e)
        for group in groups:
            first, whole = times.get(group.name, ([], []))
            group.ttft_p95, group.e2e_p95 = _percentile(first, 95), _percentile(whole, 95)
        return groups

    def _tokens(self) -> dict[str, int]:
        names = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning")
        sums = self._rows(
            ", ".join(f"coalesce(sum({name}), 0)" for name in names), "", "requests JOIN calls ON calls.request = seq"
        )[0]
        return {name: count for name, count in zip(names, sums, strict=True) if count}

    def _parts(self) -> dict[str, int]:
        return dict(
            self._rows(
                "key, sum(value)", "GROUP BY key ORDER BY 2 DESC", "requests, json_each(requests.parts)",
                " AND parts IS NOT NULL",
            )
        )  # fmt: skip

    def _prompts(self, label: str) -> dict[str, dict[str, int]]:
        by_model: dict[str, dict[str, int]] = {}
        rows = self._rows(
            f"{label}, key, sum(value)", "GROUP BY 1, 2 ORDER BY 3 DESC", "requests, json_each(requests.parts)",
            " AND parts IS NOT NULL",
        )  # fmt: skip
        for name, part, tokens in rows:
            by_model.setdefault(name, {})[part] = tokens
        return by_model

    def _latency(self, column: str) -> Latency:
        also = f" AND {column} IS NOT NULL AND background = '' AND outcome = 'delivered'"
        values = np.array([value for (value,) in self._rows(column, also=also)])
        if not len(values):
            return Latency(count=0)
        low, high = max(1e-4, float(values.min())), max(2e-4, float(values.max()))
        edges = np.geomspace(low, max(high, low * 1.01), BINS + 1)
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        percentiles = [float(value) for value in np.percentile(values, PERCENTILES)]
        return Latency(
            count=len(values), p50=percentiles[0], p90=percentiles[1], p95=percentiles[2], p99=percentiles[3],
            edges=edges.tolist(), counts=counts.tolist(),
        )  # fmt: skip

    def _decide(self) -> dict[str, float]:
        times: dict[str, list[float]] = {}
        for (text,) in self._rows("decide", "ORDER BY seq DESC LIMIT 20000", also=" AND decide IS NOT NULL"):
            for stage, seconds in msgspec.json.decode(text).items():
                times.setdefault(stage, []).append(seconds)
        return {stage: _percentile(values, 95) or 0.0 for stage, values in times.items()}

    def _course(self, first: float | None, last: float | None) -> list[Slice]:
        if first is None or last is None:
            return []
        width = max((last - first) / SLICES, 1e-3)
        slices = [Slice(at=first + width * n, requests=0, baseline=0, actual=0) for n in range(SLICES)]
        times: list[list[float]] = [[] for _ in slices]
        for wall, baseline, actual, ttft in self._rows("wall, baseline, actual, ttft", also=" AND NOT unpriced"):
            index = min(SLICES - 1, int((wall - first) / width))
            piece = slices[index]
            piece.requests += 1
            piece.baseline += baseline
            piece.actual += actual
            if ttft is not None:
                times[index].append(ttft)
        if self._whole:
            self._spread_capacity(slices, width)
        for piece, values in zip(slices, times, strict=True):
            piece.ttft_p95 = _percentile(values, 95)
        return slices

    def _spread_capacity(self, slices: list[Slice], width: float) -> None:
        """Adds what capacity costs by the hour to the slices that the hour covers."""
        for wall, actual in self._connection.execute(
            f"SELECT wall, actual FROM entries WHERE {self._entry_where} AND kind = 'capacity'", self._entry_values
        ):
            for each in slices:
                overlap = min(wall + HOUR, each.at + width) - max(wall, each.at)
                if overlap > 0:
                    each.actual += round(actual * overlap / HOUR)


def _percentile(values: list[float], percent: float) -> float | None:
    return float(np.percentile(values, percent)) if values else None
