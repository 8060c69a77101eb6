"""Joins the lexical and the vector leg into one list with comparable scores.

`comparable` (the measured default) divides BM25 by the best of the query and adds the raw cosine, because a cosine
means the same in every query and a BM25 score does not. Two guards: the divisor never falls under a share of the
query's ideal score (a lone weak match would count as perfect otherwise), and both scores are filled in for a row that
only one leg brought (a missing score is unknown, not zero). `minmax`, `zscore` and `rrf` (Cormack, Clarke and
Buettcher, SIGIR 2009) are there for comparison and for legs with odd scales.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from hapenny.retrieval.documents import Leg, Rows, Scores

Method = Literal["comparable", "minmax", "zscore", "rrf", "lexical", "vector"]


class Fusion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many of each leg, and how their scores are joined. `alpha` is the weight of the vector leg."""

    method: Method = "comparable"
    alpha: float = 0.65
    lexical: int = 100
    vector: int = 100
    rrf: int = 60
    weak: float = 0.4
    """Least divisor of the lexical score, as a share of the query's ideal score."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.alpha <= 1.0:
            raise ValueError(f"alpha: {self.alpha}; use 0 to 1")
        if min(self.lexical, self.vector) < 0 or self.rrf <= 0:
            raise ValueError("lexical, vector: at least 0; rrf: at least 1")


SEED = Fusion(method="minmax", alpha=0.7, lexical=20, vector=20)
"""The preset of the guides: 20 + 20 by min-max with alpha .7."""


class Candidates(msgspec.Struct, frozen=True):
    """Rows of either leg with everything known about them; arrays are aligned, -1 is "not in that leg"."""

    rows: Rows
    lexical: Scores
    cosine: Scores
    lexical_rank: NDArray[np.int64]
    vector_rank: NDArray[np.int64]


def gather(lexical: Leg, vector: Leg) -> Candidates:
    """The union of both legs, lexical rows first. Scores of the other leg are NaN where unknown."""
    first, second = len(lexical), len(vector)
    places = np.arange(first, first + second)
    fresh = np.ones(second, np.bool_)
    if first and second:
        by = np.argsort(lexical.rows)
        near = by[np.minimum(np.searchsorted(lexical.rows, vector.rows, sorter=by), first - 1)]
        fresh = lexical.rows[near] != vector.rows
        places = np.where(fresh, first - 1 + np.cumsum(fresh), near)
    rows = np.concatenate([lexical.rows, vector.rows[fresh]])
    known = [np.full(len(rows), np.nan, np.float32), np.full(len(rows), np.nan, np.float32)]
    ranks = [np.full(len(rows), -1, np.int64), np.full(len(rows), -1, np.int64)]
    known[0][:first], ranks[0][:first] = lexical.scores, np.arange(first)
    known[1][places], ranks[1][places] = vector.scores, np.arange(second)
    return Candidates(rows, known[0], known[1], ranks[0], ranks[1])


def fuse(candidates: Candidates, how: Fusion, ideal: float = 0.0) -> NDArray[np.float64]:
    """A score for each candidate row, higher is better. `ideal`: the lexical score of a perfect match, if known."""
    if not len(candidates.rows):
        return np.empty(0)
    if how.method == "rrf":
        return _reciprocal(candidates.lexical_rank, how.rrf) * (1 - how.alpha) + how.alpha * _reciprocal(
            candidates.vector_rank, how.rrf
        )
    lexical = np.where(np.isnan(candidates.lexical), 0.0, candidates.lexical.astype(np.float64))
    cosine = candidates.cosine.astype(np.float64)
    if how.method == "lexical":
        return lexical
    if how.method == "vector":
        return np.where(np.isnan(cosine), -1.0, cosine)
    if how.method == "comparable":
        unknown = np.isnan(cosine)
        filled = np.where(unknown, np.nanmin(cosine, initial=0.0), cosine) if unknown.any() else cosine
        return how.alpha * filled + (1 - how.alpha) * matched(candidates, how, ideal)
    scale = _minmax if how.method == "minmax" else _zscore
    return how.alpha * scale(cosine, candidates.vector_rank) + (1 - how.alpha) * scale(
        candidates.lexical.astype(np.float64), candidates.lexical_rank
    )


def matched(candidates: Candidates, how: Fusion, ideal: float = 0.0) -> NDArray[np.float64]:
    """How well each candidate's words match, 0 to 1: BM25 over the best, or a share of the ideal if that is more."""
    lexical = np.where(np.isnan(candidates.lexical), 0.0, candidates.lexical.astype(np.float64))
    return lexical / max(float(lexical.max(initial=0.0)), how.weak * ideal, 1e-9)


def order(rows: Rows, scores: NDArray[Any]) -> NDArray[np.int64]:
    """Positions best first; ties go to the lower row, so that every store gives the same list."""
    return np.asarray(np.lexsort((rows, -scores)), np.int64)


def _reciprocal(ranks: NDArray[np.int64], constant: int) -> NDArray[np.float64]:
    return np.where(ranks >= 0, 1.0 / (constant + 1 + ranks), 0.0)


def _minmax(scores: NDArray[np.float64], ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """To 0..1 over the rows of the leg; rows outside get 0, and so does all of a leg without spread but its rows 1."""
    inside = ranks >= 0
    if not inside.any():
        return np.zeros(len(scores))
    low, high = scores[inside].min(), scores[inside].max()
    scaled = (scores - low) / (high - low) if high > low else np.ones(len(scores))
    return np.where(inside, scaled, 0.0)


def _zscore(scores: NDArray[np.float64], ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Standard scores over the rows of the leg; rows outside get its lowest."""
    inside = ranks >= 0
    if not inside.any():
        return np.zeros(len(scores))
    spread = scores[inside].std()
    scaled = (scores - scores[inside].mean()) / spread if spread > 0 else np.zeros(len(scores))
    return np.where(inside, scaled, scaled[inside].min())
