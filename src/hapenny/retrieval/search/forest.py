"""LambdaMART on oblivious trees, trained and run in numpy.

Gradients: Burges, "From RankNet to LambdaRank to LambdaMART: An Overview" (MSR-TR-2010-82), weighted by the change in
nDCG. Trees: oblivious (one split a level), as in Prokhorenkova et al., "CatBoost" (NeurIPS 2018): a forest is then
three arrays, and scoring a list is one comparison, one dot product and one gather.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float32]


class Forest(msgspec.Struct, frozen=True):
    """Trees as arrays: `features`, `cuts` of shape (trees, depth), `leaves` of shape (trees, 2**depth)."""

    names: tuple[str, ...]
    features: NDArray[np.int64]
    cuts: Table
    leaves: Table

    def score(self, table: Table) -> NDArray[np.float64]:
        """A score for each row of a feature table of shape (n, len(names))."""
        if not len(self.leaves):
            return np.zeros(len(table))
        trees, depth = self.features.shape
        above = table[:, self.features.reshape(-1)] > self.cuts.reshape(-1)
        bits = above.reshape(len(table), trees, depth) @ (1 << np.arange(depth))
        return np.asarray(self.leaves[np.arange(trees), bits].sum(axis=1), np.float64)

    def dump(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(
            {
                "names": self.names,
                "features": self.features.tolist(),
                "cuts": np.round(self.cuts, 5).tolist(),
                "leaves": np.round(self.leaves, 5).tolist(),
            }
        )

    @classmethod
    def read(cls, blob: bytes) -> Forest:
        """From `dump`."""
        data: dict[str, Any] = msgspec.json.decode(blob)
        return cls(
            tuple(data["names"]),
            np.array(data["features"], np.int64),
            np.array(data["cuts"], np.float32),
            np.array(data["leaves"], np.float32),
        )


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a forest grows."""

    trees: int = 150
    depth: int = 5
    rate: float = 0.1
    bins: int = 48
    ridge: float = 5.0
    sample: float = 0.7
    cutoff: int = 10
    seed: int = 11


def train(
    table: Table,
    gains: NDArray[np.float64],
    lists: NDArray[np.int64],
    names: tuple[str, ...],
    how: Training | None = None,
) -> Forest:
    """Fits a forest. Rows of one list (query) share a number in `lists`; `gains` are 0 to 1.

    Lists without two different gains teach nothing and are skipped.
    """
    how = how or Training()
    order = np.argsort(lists, kind="stable")
    table, gains, lists = table[order], gains[order], lists[order]
    pairs = _Pairs(gains, lists, how.cutoff)
    cuts = _cuts(table, how.bins)
    binned = np.stack([np.searchsorted(edge, column, "left") for edge, column in zip(cuts, table.T, strict=True)])
    chance = np.random.default_rng(how.seed)
    scores = np.zeros(len(table))
    chosen: list[tuple[list[int], list[float], NDArray[np.float64]]] = []
    for _ in range(how.trees):
        gradient, curvature = pairs.gradients(scores)
        kept = chance.random(len(table)) < how.sample
        splits, leaf = _grow(binned, cuts, gradient, curvature, kept, how)
        if not splits:
            break
        top = np.bincount(leaf[kept], gradient[kept], 1 << len(splits))
        bottom = np.bincount(leaf[kept], curvature[kept], 1 << len(splits))
        values = how.rate * top / (bottom + how.ridge)
        scores += values[leaf]
        pad = how.depth - len(splits)
        features = [feature for feature, _ in splits] + [0] * pad
        edges = [float(cuts[feature][at]) for feature, at in splits] + [float("inf")] * pad
        chosen.append((features, edges, np.concatenate([values, np.zeros((1 << how.depth) - len(values))])))
    return Forest(
        names,
        np.array([each[0] for each in chosen], np.int64).reshape(-1, how.depth),
        np.array([each[1] for each in chosen], np.float32).reshape(-1, how.depth),
        np.array([each[2] for each in chosen], np.float32).reshape(-1, 1 << how.depth),
    )


class _Pairs:
    """All pairs of one list with different gains, and the nDCG-weighted pull between them."""

    def __init__(self, gains: NDArray[np.float64], lists: NDArray[np.int64], cutoff: int) -> None:
        starts = np.flatnonzero(np.r_[True, lists[1:] != lists[:-1]])
        ends = np.r_[starts[1:], len(lists)]
        better, worse, ideal = [], [], np.ones(len(gains))
        discount = 1.0 / np.log2(np.arange(2, 2 + max(int((ends - starts).max(initial=1)), cutoff)))
        for start, end in zip(starts, ends, strict=True):
            local = gains[start:end]
            best = float((np.sort(local)[::-1][:cutoff] * discount[:cutoff][: end - start]).sum())
            ideal[start:end] = best or 1.0
            for level in np.unique(local)[1:]:
                high, low = np.flatnonzero(local == level), np.flatnonzero(local < level)
                better.append(np.repeat(high, len(low)) + start)
                worse.append(np.tile(low, len(high)) + start)
        self._better = np.concatenate(better) if better else np.empty(0, np.int64)
        self._worse = np.concatenate(worse) if worse else np.empty(0, np.int64)
        self._weight = (gains[self._better] - gains[self._worse]) / ideal[self._better]
        self._lists, self._starts, self._cutoff = lists, starts, cutoff
        self._first = np.repeat(starts, ends - starts)

    def gradients(self, scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """First and second derivatives at `scores`, by row."""
        order = np.lexsort((-scores, self._lists))
        rank = np.empty(len(scores), np.int64)
        rank[order] = np.arange(len(scores)) - self._first
        discount = np.where(rank < self._cutoff, 1.0 / np.log2(rank + 2.0), 0.0)
        change = self._weight * np.abs(discount[self._better] - discount[self._worse])
        wrong = 1.0 / (1.0 + np.exp(np.clip(scores[self._better] - scores[self._worse], -50, 50)))
        pull, bend = wrong * change, wrong * (1 - wrong) * change
        count = len(scores)
        first = np.bincount(self._better, pull, count) - np.bincount(self._worse, pull, count)
        second = np.bincount(self._better, bend, count) + np.bincount(self._worse, bend, count)
        return np.asarray(first, np.float64), np.asarray(second, np.float64)


def _cuts(table: Table, bins: int) -> list[Table]:
    """Candidate thresholds of each feature: distinct quantiles below its maximum."""
    edges = []
    for column in table.T:
        found = np.unique(np.quantile(column, np.linspace(0, 1, bins + 1)[1:-1]).astype(np.float32))
        edges.append(found[found < column.max()] if len(column) else found)
    return edges


def _grow(
    binned: NDArray[np.int64],
    cuts: list[Table],
    gradient: NDArray[np.float64],
    curvature: NDArray[np.float64],
    kept: NDArray[np.bool_],
    how: Training,
) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
    """Greedily picks one split a level for all leaves. Returns the splits and the leaf of each row."""
    # Rows without pull carry no information for the histograms.
    used = np.flatnonzero(kept & (curvature > 1e-12))
    leaf = np.zeros(binned.shape[1], np.int64)
    splits: list[tuple[int, int]] = []
    if not len(used):
        return splits, leaf
    pull, bend = gradient[used], curvature[used]
    columns = binned[:, used]
    width = max((len(edge) for edge in cuts), default=0) + 1
    for level in range(how.depth):
        leaves = 1 << level
        inside = leaf[used] * width
        best, choice = 1e-9, None
        for feature, edge in enumerate(cuts):
            if not len(edge):
                continue
            at = inside + columns[feature]
            top = np.bincount(at, pull, leaves * width).reshape(leaves, width).cumsum(axis=1)
            bottom = np.bincount(at, bend, leaves * width).reshape(leaves, width).cumsum(axis=1)
            left = (top**2 / (bottom + how.ridge))[:, : len(edge)]
            right = ((top[:, -1:] - top) ** 2 / (bottom[:, -1:] - bottom + how.ridge))[:, : len(edge)]
            whole = top[:, -1] ** 2 / (bottom[:, -1] + how.ridge)
            gain = (left + right).sum(axis=0) - whole.sum()
            place = int(gain.argmax())
            if gain[place] > best and (feature, place) not in splits:
                best, choice = float(gain[place]), (feature, place)
        if choice is None:
            break
        feature, place = choice
        # Bit `level` is set right of the cut, as Forest.score reads it.
        leaf += (binned[feature] > place).astype(np.int64) << level
        splits.append(choice)
    return splits, leaf
