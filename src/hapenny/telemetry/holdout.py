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


def _side(rows: Sequence[tuple[Any, ...]]) -> Side:
    table = np.array([[float(value or 0) for value in row[2:]] for row in rows]).reshape(-1, 7)
    requests, baseline, actual, cached, judged, scores, _ = (table[:, column] for column in range(7))
    paid, spread = _ratio(actual, baseline)
    quality, error = _ratio(scores, judged)
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


def _ratio(above: Any, below: Any) -> tuple[float, float]:
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
