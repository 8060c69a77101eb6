"""The holdout against the rest, from the ledger: money and quality with intervals over what was drawn.

Sessions are drawn for the holdout (users where no session is named, else questions), so they are the units: each is
its sums, and the interval of a ratio of sums is that of the linearised ratio (Cochran, "Sampling techniques", ch. 6).
Scores are those that people and judges gave to answers, 1 right or as good as the baseline's, 0 worse.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from hapenny.telemetry.figures import Holdout, Side

_Z = NormalDist().inv_cdf(0.975)
_UNIT = "coalesce(session, user, fingerprint, id)"
_SCORES = (
    "(SELECT request, avg(json_extract(detail, '$.score')) AS score FROM entries WHERE kind = 'feedback'"
    " GROUP BY request)"
)


def compared(connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> Holdout | None:
    """Both sides over the rows that `where` (with its `values`) names; None where nothing was held out."""
    rows = connection.execute(
        f"SELECT holdout, {_UNIT}, count(*), sum(baseline), sum(actual), total(cache_hit), count(score), total(score),"
        f" total(score * score) FROM requests LEFT JOIN {_SCORES} AS scored ON scored.request = requests.id"
        f" WHERE {where} AND background = '' AND NOT unpriced GROUP BY 1, 2",
        tuple(values),
    ).fetchall()
    if not any(row[0] for row in rows):
        return None
    (shared,) = connection.execute(
        f"WITH own AS (SELECT {_UNIT} AS unit, fingerprint, min(seq) AS first FROM requests"
        f" WHERE {where} AND background = '' AND fingerprint IS NOT NULL GROUP BY 1, 2)"
        " SELECT count(*) FROM requests JOIN own ON own.first = requests.seq WHERE cache_hit",
        tuple(values),
    ).fetchone()
    return Holdout(
        held_out=_side([row for row in rows if row[0]]), rest=_side([row for row in rows if not row[0]]),
        shared_hits=shared,
    )  # fmt: skip


def against_totals(
    connection: sqlite3.Connection,
    where: str,
    values: Sequence[Any],
    hours: Sequence[tuple[int, int, int, int]],
    scored: tuple[int, float],
) -> Holdout | None:
    """The same without reading every row: the held-out side by its units, the rest from sums by hour, which are its
    units then. For pages over large ledgers.

    Args:
        connection: of the ledger.
        where: which rows are meant, with its `values`.
        values: likewise.
        hours: requests, baseline, actual and cached answers of all rows, an hour each.
        scored: how many answers were scored, and the sum of their scores.
    """
    rows = connection.execute(
        f"SELECT {_UNIT}, count(*), sum(baseline), sum(actual), total(cache_hit), count(score), total(score),"
        f" total(score * score) FROM (SELECT session, user, fingerprint, id, baseline, actual, cache_hit,"
        " (SELECT avg(json_extract(detail, '$.score')) FROM entries WHERE kind = 'feedback'"
        f" AND entries.request = requests.id) AS score FROM requests WHERE holdout AND {where}"
        " AND background = '' AND NOT unpriced) GROUP BY 1",
        tuple(values),
    ).fetchall()
    if not rows or not hours:
        return None
    held = _side([(1, *row) for row in rows])
    requests, baseline, actual, cached = (sum(column) for column in zip(*hours, strict=True))
    paid, spread = ratio(np.array([hour[2] for hour in hours], float), np.array([hour[1] for hour in hours], float))
    judged, total = scored[0] - held.judged, scored[1] - (held.quality or 0.0) * held.judged
    quality = min(1.0, max(0.0, total / judged)) if judged > 0 else None
    error = math.sqrt(quality * (1 - quality) / judged) if quality is not None else 0.0
    rest = Side(
        requests=requests - held.requests, units=len(hours), baseline=baseline - held.baseline,
        actual=actual - held.actual, saved=1 - paid, saved_low=1 - paid - _Z * spread,
        saved_high=1 - paid + _Z * spread, judged=max(0, judged), quality=quality,
        quality_low=None if quality is None else max(0.0, quality - _Z * error),
        quality_high=None if quality is None else min(1.0, quality + _Z * error), cached=cached - held.cached,
    )  # fmt: skip
    return Holdout(held_out=held, rest=rest, shared_hits=0)


def _side(rows: Sequence[tuple[Any, ...]]) -> Side:
    table = np.array([[float(value or 0) for value in row[2:]] for row in rows]).reshape(-1, 7)
    requests, baseline, actual, cached, judged, scores, _ = (table[:, column] for column in range(7))
    paid, spread = ratio(actual, baseline)
    quality, error = ratio(scores, judged)
    known = judged.sum() > 0
    return Side(
        requests=int(requests.sum()),
        units=len(rows),
        baseline=int(baseline.sum()),
        actual=int(actual.sum()),
        saved=1 - paid,
        saved_low=1 - paid - _Z * spread,
        saved_high=1 - paid + _Z * spread,
        judged=int(judged.sum()),
        quality=quality if known else None,
        quality_low=max(0.0, quality - _Z * error) if known else None,
        quality_high=min(1.0, quality + _Z * error) if known else None,
        cached=int(cached.sum()),
    )


def ratio(above: Any, below: Any) -> tuple[float, float]:
    """A ratio of sums over units, and its standard error."""
    whole = float(below.sum())
    if whole <= 0:
        return (1.0, 0.0)
    ratio = float(above.sum()) / whole
    n = len(above)
    if n < 2:
        return ratio, 0.0
    rest = above - ratio * below
    return ratio, math.sqrt(n / (n - 1) * float(rest @ rest)) / whole
