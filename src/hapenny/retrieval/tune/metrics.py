"""Quality of ranked lists against judgements: nDCG, recall, MRR, the share unjudged, and intervals.

Linear gain: grade over the collection's highest grade. Unjudged documents gain nothing; `judged_ndcg` leaves them
out of the list instead, which is the other bound (Sakai, "Alternatives to Bpref", SIGIR 2007).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

Judgements = Mapping[str, float]


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Means over queries; shares are fractions of 1."""

    ndcg10: float
    recall20: float
    mrr10: float
    judged_ndcg10: float
    unjudged: float
    queries: int

    def plain(self) -> dict[str, float]:
        """As JSON, rounded."""
        return {key: round(value, 4) for key, value in msgspec.to_builtins(self).items()}


def ndcg(ranked: Sequence[str], gains: Judgements, k: int = 10) -> float:
    """Normalised discounted cumulative gain of the first `k`, log2 discount. 0 when nothing can be gained."""
    best = dcg(sorted(gains.values(), reverse=True)[:k])
    return dcg([gains.get(each, 0.0) for each in ranked[:k]]) / best if best > 0 else 0.0


def dcg(gains: Sequence[float]) -> float:
    """Discounted cumulative gain of gains in rank order."""
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))


def per_query(ranked: Sequence[str], gains: Judgements) -> tuple[float, float, float, float, float]:
    """(ndcg10, recall20, mrr10, judged_ndcg10, unjudged share of the first 10); gains are 0 to 1, 1 is relevant.

    Recall and MRR are NaN for a query without any relevant document.
    """
    relevant = {each for each, gain in gains.items() if gain >= 1.0}
    recall = len(relevant.intersection(ranked[:20])) / len(relevant) if relevant else math.nan
    first = next((rank for rank, each in enumerate(ranked[:10]) if each in relevant), None)
    mrr = (1.0 / (first + 1) if first is not None else 0.0) if relevant else math.nan
    judged = [each for each in ranked if each in gains]
    top = ranked[:10]
    unjudged = sum(each not in gains for each in top) / len(top) if top else 0.0
    return ndcg(ranked, gains), recall, mrr, ndcg(judged, gains), unjudged


def quality(runs: Sequence[Sequence[str]], gains: Sequence[Judgements]) -> Quality:
    """Means over queries that have something to gain."""
    rows = [per_query(run, gain) for run, gain in zip(runs, gains, strict=True) if any(v > 0 for v in gain.values())]
    if not rows:
        return Quality(ndcg10=0.0, recall20=0.0, mrr10=0.0, judged_ndcg10=0.0, unjudged=0.0, queries=0)
    table = np.array(rows)
    means = np.array([_mean(table[:, column]) for column in range(table.shape[1])])
    return Quality(
        ndcg10=float(means[0]),
        recall20=float(means[1]),
        mrr10=float(means[2]),
        judged_ndcg10=float(means[3]),
        unjudged=float(means[4]),
        queries=len(rows),
    )


def interval(values: Sequence[float], rounds: int = 2000, level: float = 0.95, seed: int = 7) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean (Efron and Tibshirani 1993). Works on paired differences too."""
    data = np.asarray(values, np.float64)
    if not len(data):
        return 0.0, 0.0
    picks = np.random.default_rng(seed).integers(0, len(data), (rounds, len(data)))
    means = data[picks].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def scaled(judgements: Mapping[str, float], highest: float) -> dict[str, float]:
    """Grades as gains: grade over the collection's highest grade."""
    return {each: float(grade) / highest for each, grade in judgements.items()} if highest > 0 else {}


def _mean(column: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    known = column[~np.isnan(column)]
    return float(known.mean()) if len(known) else 0.0
