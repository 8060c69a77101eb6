"""Percentiles of latencies that roll-ups keep as letters (`rollups`): bins, their edges, and counts by bin."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from hapenny.telemetry.figures import Latency
from hapenny.telemetry.rollups import FIRST

EDGES: npt.NDArray[np.float64] = np.concatenate(
    [
        np.arange(100) * 1e-3,
        0.1 + np.arange(180) * 5e-3,
        1 + np.arange(180) * 0.05,
        10 + np.arange(180) * 0.5,
        [100, 1000],
    ]
)
"""Bounds of the bins in seconds, one more than there are bins."""
BINS = len(EDGES) - 1
Counts = npt.NDArray[np.float64]


def counted(parts: Iterable[tuple[str, int]]) -> Counts:
    """How many requests fall into each bin.

    Args:
        parts: letters of a row of a roll-up, and of how many requests they are.
    """
    texts, weights, lengths = [], [], []
    for letters, requests in parts:
        if letters:
            texts.append(letters)
            lengths.append(len(letters))
            weights.append(requests / len(letters))
    if not texts:
        return np.zeros(BINS)
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype="<u4").astype(np.int64) - FIRST
    counts = np.bincount(np.clip(codes, 0, BINS - 1), np.repeat(weights, lengths), minlength=BINS)
    return counts.astype(np.float64)


def quantile(counts: Counts, q: float) -> float | None:
    """Seconds below which a share `q` lies, within its bin by proportion; None where nothing was measured."""
    whole = float(counts.sum())
    if whole <= 0:
        return None
    upto = np.cumsum(counts)
    place = int(np.searchsorted(upto, q * whole, side="left"))
    place = min(place, BINS - 1)
    before = float(upto[place - 1]) if place else 0.0
    inside = (q * whole - before) / float(counts[place]) if counts[place] else 0.0
    return float(EDGES[place] + (EDGES[place + 1] - EDGES[place]) * min(1.0, max(0.0, inside)))


def under(counts: Counts, seconds: float) -> float | None:
    """The share of requests that took at most so long."""
    whole = float(counts.sum())
    if whole <= 0:
        return None
    place = int(np.searchsorted(EDGES, seconds, side="right")) - 1
    if place >= BINS:
        return 1.0
    inside = (seconds - EDGES[place]) / (EDGES[place + 1] - EDGES[place])
    return float(counts[:place].sum() + counts[place] * inside) / whole


def latency(counts: Counts, bins: int = 36) -> Latency:
    """Percentiles and a histogram over logarithmic bins."""
    whole = float(counts.sum())
    if whole <= 0:
        return Latency(count=0)
    seen = np.flatnonzero(counts)
    low, high = max(1e-3, float(EDGES[seen[0]])), max(2e-3, float(EDGES[min(seen[-1] + 1, BINS)]))
    edges = np.geomspace(low, high, bins + 1)
    middles = np.clip((EDGES[:-1] + EDGES[1:]) / 2, edges[0], edges[-1])
    shown, _ = np.histogram(middles, edges, weights=counts)
    p50, p90, p95, p99 = (quantile(counts, q) for q in (0.5, 0.9, 0.95, 0.99))
    return Latency(
        count=round(whole), p50=p50, p90=p90, p95=p95, p99=p99, edges=edges.tolist(),
        counts=[round(each) for each in shown],
    )  # fmt: skip
