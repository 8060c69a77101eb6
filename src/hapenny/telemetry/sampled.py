"""What only single rows tell: overhead by stage, where the time of a request goes, scores of answers. A sample of the
newest rows of a range, so that it costs the same whatever the ledger's size."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from hapenny.telemetry.conditions import condition
from hapenny.telemetry.figures import Scope, Spent
from hapenny.telemetry.schema import columns_of

NEWEST = 4_000
"""Requests of a sample."""
SEARCHED = 40_000
"""Rows that are searched for them, where filters leave out most."""
VERDICTS = 4_000
_Z = 1.959964


class Percentiles(Struct, kw_only=True):
    """Percentiles of seconds, and of how many."""

    count: int
    p50: float
    p90: float
    p95: float
    p99: float
    mean: float


class Spending(Struct, kw_only=True):
    """Where time went in a sample of delivered requests."""

    requests: int
    overhead: Percentiles | None
    """All stages' decisions together: what passing through hapenny costs, upstream apart."""
    stages: dict[str, Percentiles]
    parts: dict[str, Percentiles]
    """`before` (arrival to the call: deciding, retrieval, queue), `first` (upstream's first content), `rest`
    (streaming), `after` (upstream's end to ours); of requests that a model answered."""


class Scores(Struct, kw_only=True):
    """Scores that people and judges gave to answers of a group: mean and 95 % interval."""

    name: str
    count: int
    mean: float
    low: float
    high: float


def spending(connection: sqlite3.Connection, scope: Scope, newest: int = NEWEST) -> Spending:
    """Where the time of the newest requests of a range went."""
    times, values = condition(scope.times)
    filters, more = condition(scope.filters)
    rows = connection.execute(
        "SELECT seq, decide, ttft, e2e FROM (SELECT seq, decide, ttft, e2e, outcome, background, tenant, route,"
        " feature, key_id, cache_hit, model_served FROM requests"
        f" WHERE {times} ORDER BY wall DESC LIMIT {SEARCHED}) WHERE background = '' AND outcome = 'delivered'"
        f" AND {filters} LIMIT {newest}",
        (*values, *more),
    ).fetchall()
    decode = msgspec.json.Decoder(dict[str, float]).decode
    overhead: list[float] = []
    stages: dict[str, list[float]] = {}
    for _, text, _, _ in rows:
        told = decode(text) if text else {}
        overhead.append(sum(told.values()))
        for stage, seconds in told.items():
            stages.setdefault(stage, []).append(seconds)
    parts: dict[str, list[float]] = {"before": [], "first": [], "rest": [], "after": []}
    ended = {seq: (ttft, e2e) for seq, _, ttft, e2e in rows}
    for request, started, began, done in _adopted(connection, list(ended)):
        _, whole = ended[request]
        if began is None or done is None or whole is None:
            continue
        parts["before"].append(max(0.0, started))
        parts["first"].append(max(0.0, began - started))
        parts["rest"].append(max(0.0, done - began))
        parts["after"].append(max(0.0, whole - done))
    return Spending(
        requests=len(rows),
        overhead=percentiles(overhead),
        stages={name: shares for name, each in stages.items() if (shares := percentiles(each)) is not None},
        parts={name: shares for name, each in parts.items() if (shares := percentiles(each)) is not None},
    )


def _adopted(
    connection: sqlite3.Connection, requests: Sequence[int]
) -> list[tuple[int, float, float | None, float | None]]:
    adopted: list[tuple[int, float, float | None, float | None]] = []
    for start in range(0, len(requests), 500):
        some = requests[start : start + 500]
        adopted += connection.execute(
            "SELECT request, started, began, ended FROM calls WHERE adopted AND request IN"
            f" ({', '.join('?' * len(some))})",
            some,
        ).fetchall()
    return adopted


def connecting(connection: sqlite3.Connection, scope: Scope) -> tuple[float, int]:
    """Mean seconds that a call of the newest `NEWEST` requests spent on opening connections; how many opened one."""
    if "opened" not in columns_of(connection, "calls"):
        return 0.0, 0
    where, values = condition(scope)
    rows = connection.execute(
        "SELECT c.opened FROM calls c JOIN (SELECT seq FROM requests"
        f" WHERE {where} ORDER BY wall DESC LIMIT {NEWEST}) r ON c.request = r.seq WHERE c.adopted",
        values,
    ).fetchall()
    spent = [sum(msgspec.json.decode(text)) for (text,) in rows if text]
    return (sum(spent) / len(rows) if rows else 0.0), len(spent)


def busiest(connection: sqlite3.Connection, scope: Scope) -> float:
    """Calls under way at once at the busiest moment of the newest `NEWEST` requests."""
    where, values = condition(scope)
    rows = connection.execute(
        "SELECT r.wall + c.started, r.wall + c.ended FROM calls c JOIN (SELECT seq, wall FROM requests"
        f" WHERE {where} ORDER BY wall DESC LIMIT {NEWEST}) r ON c.request = r.seq WHERE c.ended IS NOT NULL",
        values,
    ).fetchall()
    moments = sorted([(start, 1) for start, _ in rows] + [(end, -1) for _, end in rows])
    most = now = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return float(most)


def prompt_p95(connection: sqlite3.Connection, scope: Scope) -> int:
    """Tokens of prompts, 95th percentile of the newest `NEWEST` requests; 0 where there are none."""
    where, values = condition(scope)
    rows = connection.execute(
        f"SELECT prompt_tokens FROM requests WHERE {where} AND background = '' ORDER BY wall DESC LIMIT {NEWEST}",
        values,
    ).fetchall()
    return int(np.percentile([value for (value,) in rows], 95)) if rows else 0


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """Percentiles of a list of seconds; None of an empty one."""
    if not values:
        return None
    table = np.asarray(values)
    p50, p90, p95, p99 = (float(each) for each in np.percentile(table, (50, 90, 95, 99)))
    return Percentiles(count=len(values), p50=p50, p90=p90, p95=p95, p99=p99, mean=float(table.mean()))


def scores(connection: sqlite3.Connection, scope: Scope, by: str = "model_served") -> list[Scores]:
    """Scores of answers by `model_served`, `route`, `intent` or `background`, the newest `VERDICTS` of a range."""
    filters, more = condition(scope, "r.")
    rows = connection.execute(
        f"SELECT r.{by}, json_extract(e.detail, '$.score') FROM (SELECT request, detail FROM entries"
        f" WHERE kind = 'feedback' AND wall >= ? AND wall < ? ORDER BY wall DESC LIMIT {VERDICTS}) e"
        f" JOIN requests r ON r.id = e.request WHERE {filters}",
        (scope.since or 0.0, scope.until or 1e12, *more),
    ).fetchall()
    by_name: dict[str, list[float]] = {}
    for name, score in rows:
        if score is not None:
            by_name.setdefault(name or "(none)", []).append(float(score))
    return [scored(name, values) for name, values in sorted(by_name.items(), key=lambda item: -len(item[1]))]


def scored(name: str, values: Sequence[float]) -> Scores:
    """Mean and interval (Wilson's, of a score in [0, 1] taken as a share: never too narrow for scores between)."""
    count, mean = len(values), sum(values) / len(values)
    middle = (mean + _Z * _Z / (2 * count)) / (1 + _Z * _Z / count)
    half = _Z / (1 + _Z * _Z / count) * math.sqrt(mean * (1 - mean) / count + _Z * _Z / (4 * count * count))
    return Scores(name=name, count=count, mean=mean, low=max(0.0, middle - half), high=min(1.0, middle + half))


def evidence(connection: sqlite3.Connection, scope: Scope) -> list[Spent]:
    """Where each technique stands with its loss budget: the newest note of each."""
    rows = connection.execute(
        "SELECT technique, detail, max(seq) FROM (SELECT technique, detail, seq FROM entries WHERE kind = 'evidence'"
        " AND wall < ? ORDER BY wall DESC LIMIT 5000) GROUP BY technique, json_extract(detail, '$.route')",
        (scope.until or 1e12,),
    ).fetchall()
    notes = [msgspec.convert(msgspec.json.decode(detail) | {"technique": name}, Spent) for name, detail, _ in rows]
    return sorted(
        (each for each in notes if scope.route in (None, each.route)), key=lambda each: (each.route, each.technique)
    )


def entries(connection: sqlite3.Connection, kind: str, scope: Scope, most: int = 200) -> list[dict[str, Any]]:
    """The newest entries of a kind in a range (no filter reaches them), as their detail with `wall`, `technique`,
    `model`, `actual`, `saved`."""
    times, values = condition(scope.times)
    rows = connection.execute(
        "SELECT wall, technique, model, actual, saved, detail FROM entries"
        f" WHERE kind = ? AND {times} ORDER BY wall DESC LIMIT {most}",
        (kind, *values),
    ).fetchall()
    names = ("wall", "technique", "model", "actual", "saved")
    return [dict(zip(names, row[:5], strict=True)) | (msgspec.json.decode(row[5]) if row[5] else {}) for row in rows]
