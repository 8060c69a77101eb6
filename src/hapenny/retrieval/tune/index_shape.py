"""Chooses an index shape for a collection: exact ground truth on real queries, a grid, and a promise with a margin.

A setting qualifies when the lower 95 % bound of its mean recall reaches the target; among those the one with the
least median latency wins. The exact scan is in the grid, so there is always an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from hapenny.core.clock import Clock
from hapenny.retrieval.documents import Matrix
from hapenny.vectors.compact import Shape
from hapenny.vectors.shaped import ShapedIndex, make_index

EFFORTS = (16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256)
SHARES = (0.02, 0.05, 0.1, 0.25)
_ROUNDS = 3
_MANY_DIMENSIONS = 128


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as measured. `memory` in bytes, `build` in seconds, latencies in milliseconds."""

    shape: Shape
    recall: float
    lower: float
    p50_ms: float
    p99_ms: float
    memory: int
    build: float


class Tuned(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen setting and everything that was tried."""

    target: float
    chosen: Trial
    trials: list[Trial]
    queries: int


def shapes(count: int, dim: int = 0) -> list[Shape]:
    """What is worth building at a size; efforts are varied without building again.

    Fewer dimensions are tried for vectors of 128 numbers up: a third and two thirds of them, searched in 8 bits, with
    full vectors for the last word.
    """
    overlaps = [Shape(kind="exact"), Shape(kind="half"), Shape(kind="sq8")]
    if count >= 2000:
        overlaps += [
            Shape(kind="hnsw", m=16),
            Shape(kind="hnsw_sq8", m=16),
            Shape(kind="hnsw_half", m=32),
            Shape(kind="ivf"),
            Shape(kind="ivf_sq8"),
        ]
        if dim >= _MANY_DIMENSIONS:
            overlaps += [Shape(kind="sq8", dims=dim // 3), Shape(kind="sq8", dims=2 * dim // 3)]
            overlaps.append(Shape(kind="hnsw_sq8", m=16, dims=dim // 3))
    return overlaps


def tune(
    vectors: Matrix,
    queries: Matrix,
    target: float,
    clock: Clock,
    *,
    k: int = 10,
    grid: Sequence[Shape] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Tuned:
    """Measures the grid on `queries` (real ones; at least 30 for a useful bound) and chooses.

    Latencies are taken in rounds over all settings, so that a busy moment of the machine hits all alike.
    """
    if not 0.0 < target <= 1.0:
        raise ValueError(f"target: {target}; use a recall above 0, up to 1")
    if not len(queries) or not len(vectors):
        raise ValueError("tuning needs vectors and queries")
    return choose(target, measure(vectors, queries, clock, k=k, grid=grid, progress=progress), len(queries))


def choose(target: float, trials: list[Trial], queries: int) -> Tuned:
    """The least latency among the settings whose bound reaches the target."""
    good = [trial for trial in trials if trial.lower >= target] or [max(trials, key=lambda trial: trial.lower)]
    return Tuned(target=target, chosen=min(good, key=lambda trial: trial.p50_ms), trials=trials, queries=queries)


Built: TypeAlias = "tuple[ShapedIndex, Shape, float]"
"""An index, the setting it is searched with, and the seconds its build took."""


def build(
    vectors: Matrix,
    clock: Clock,
    grid: Sequence[Shape] | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Built]:
    """Every setting of the grid; those that differ only in effort share an index."""
    built: list[Built] = []
    for shape in grid if grid is not None else shapes(*vectors.shape):
        started = clock.now()
        index = make_index(vectors.shape[1], shape)
        index.add(np.arange(len(vectors)), vectors)
        seconds = clock.now() - started
        built += [(index, variant, seconds) for variant in _efforts(shape, len(vectors))]
        if progress is not None:
            progress(f"{shape.kind} m={shape.m}: built in {seconds:.1f} s")
    return built


def measure(
    vectors: Matrix,
    queries: Matrix,
    clock: Clock,
    *,
    k: int = 10,
    grid: Sequence[Shape] | None = None,
    progress: Callable[[str], None] | None = None,
    built: Sequence[Built] | None = None,
) -> list[Trial]:
    """Every setting of the grid as measured; on indexes that `build` made, if given."""
    truth = exact(vectors, queries, k)
    built = built if built is not None else build(vectors, clock, grid, progress)
    overlaps: list[list[int]] = [[] for _ in built]
    spent = np.empty((len(built), _ROUNDS, len(queries)))
    for turn in range(_ROUNDS):
        for at, (index, variant, _) in enumerate(built):
            effort = variant.probes if variant.kind.startswith("ivf") else variant.effort
            for n, query in enumerate(queries):
                started = clock.now()
                hits = index.search(query, k, effort=effort)
                spent[at, turn, n] = clock.now() - started
                if turn == 0:
                    overlaps[at].append(len(np.intersect1d(hits.keys, truth[n], assume_unique=True)))
    memory = {id(index): index.memory() for index, _, _ in built}
    return [
        Trial(
            shape=variant,
            recall=float(np.mean(counts)) / truth.shape[1],
            lower=lower(np.array(counts) / truth.shape[1]),
            # The best of the rounds is the search itself; the rest is what else the machine did.
            p50_ms=float(np.median(times.min(axis=0))) * 1e3,
            p99_ms=float(np.percentile(times, 99)) * 1e3,
            memory=memory[id(index)],
            build=seconds,
        )
        for (index, variant, seconds), counts, times in zip(built, overlaps, spent, strict=True)
    ]


def exact(vectors: Matrix, queries: Matrix, k: int) -> NDArray[np.int64]:
    """Positions of the true nearest `k` of each query, shape (len(queries), min(k, len(vectors)))."""
    k = min(k, len(vectors))
    rows = []
    for start in range(0, len(queries), 64):
        scores = queries[start : start + 64] @ vectors.T
        rows.append(np.argpartition(-scores, k - 1, axis=1)[:, :k])
    return np.concatenate(rows)


def lower(recalls: NDArray[np.float64], level: float = 0.95, rounds: int = 1000, seed: int = 5) -> float:
    """One-sided bootstrap bound of the mean."""
    picks = np.random.default_rng(seed).integers(0, len(recalls), (rounds, len(recalls)))
    return float(np.quantile(recalls[picks].mean(axis=1), 1.0 - level))


def recalls(index: ShapedIndex, keys: NDArray[np.int64], queries: Matrix, k: int = 10) -> NDArray[np.float64]:
    """Recall at `k` of an index as it stands, a value a query; `keys` are its live keys in the order of their rows."""
    truth = keys[exact(index.vectors(keys), queries, k)]
    overlaps = [index.search(query, k).keys for query in queries]
    return np.array([len(np.intersect1d(a, b)) / len(b) for a, b in zip(overlaps, truth, strict=True)])


def drifted(target: float, recalls: NDArray[np.float64]) -> bool:
    """Whether recalls of fresh queries fall under the promise: their upper bound misses the target."""
    return -lower(-recalls) < target


def _efforts(shape: Shape, count: int) -> Iterator[Shape]:
    if shape.kind.startswith("hnsw"):
        for effort in EFFORTS:
            yield msgspec.structs.replace(shape, effort=effort)
    elif shape.kind.startswith("ivf"):
        lists = shape.lists or max(1, int(count**0.5))
        for probes in sorted({max(1, int(share * lists)) for share in SHARES}):
            yield msgspec.structs.replace(shape, probes=probes)
    else:
        yield shape
