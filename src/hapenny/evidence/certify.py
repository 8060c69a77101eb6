"""Learn-then-Test along a fixed sequence: choose a threshold with a finite-sample promise on the loss it causes.

Angelopoulos, Bates, Candes, Jordan, Lei (2021/2025), "Learn then Test", with fixed-sequence testing: candidates are
tried in an order fixed before the data, from the safest on; the walk stops at the first that is not proven, so no
correction for many tests is needed. For 0/1 losses the p-value is the exact binomial tail (Clopper-Pearson); for
losses in [0, 1] the Hoeffding-Bentkus bound.
"""

from __future__ import annotations

import functools
import math

import msgspec
import numpy as np
import numpy.typing as npt

from hapenny.evidence.bounds import binomial_cdf, critical_count, upper_bound
from hapenny.evidence.special import Floats


class Choice(msgspec.Struct, kw_only=True, frozen=True):
    """What the walk found: `index` of the boldest proven candidate (-1: none), its mean loss and upper bound."""

    index: int
    loss: float
    bound: float
    tested: int


def fixed_sequence(losses: npt.ArrayLike, epsilon: float, delta: float = 0.05) -> Choice:
    """Walks candidates (columns, safest first) over rows of losses in [0, 1]; proves mean loss <= epsilon each step.

    `losses` has shape (n, candidates). With probability at least 1 - delta the chosen candidate's true mean loss is at
    most epsilon.
    """
    table = np.asarray(losses, dtype=np.float64)
    n = table.shape[0]
    if n == 0 or table.shape[1] == 0:
        return Choice(index=-1, loss=0.0, bound=1.0, tested=0)
    return _walk(table.sum(axis=0), n, bool(np.isin(table, (0.0, 1.0)).all()), epsilon, delta)


def nested_sequence(
    scores: npt.ArrayLike, losses: npt.ArrayLike, thresholds: npt.ArrayLike, epsilon: float, delta: float = 0.05
) -> Choice:
    """The same for rising thresholds, each of which takes on the losses of the rows scored up to it: what a threshold
    has lost stays lost with the next, so a grid may be as fine as one likes and costs nothing.

    `scores` and `losses` have shape (n,).
    """
    score, loss = np.asarray(scores, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    steps = np.asarray(thresholds, dtype=np.float64)
    n = len(score)
    if n == 0 or len(steps) == 0:
        return Choice(index=-1, loss=0.0, bound=1.0, tested=0)
    first = np.searchsorted(steps, score)
    sums: Floats = np.cumsum(np.bincount(first, loss, minlength=len(steps) + 1))[: len(steps)].astype(np.float64)
    return _walk(sums, n, bool(np.isin(loss, (0.0, 1.0)).all()), epsilon, delta)


def _walk(sums: Floats, n: int, binary: bool, epsilon: float, delta: float) -> Choice:
    means = sums / n
    if binary:
        passed = sums <= critical_count(n, epsilon, delta)
    else:
        distinct, where = np.unique(means, return_inverse=True)
        passed = np.array([hoeffding_bentkus(float(mean), n, epsilon) <= delta for mean in distinct])[where]
    tested = len(passed) if passed.all() else int(np.argmin(passed)) + 1
    index = tested - 1 if passed[tested - 1] else tested - 2
    if index < 0:
        return Choice(index=-1, loss=0.0, bound=1.0, tested=tested)
    mean = float(means[index])
    bound = _exact(round(mean * n), n, delta) if binary else _invert(mean, n, delta)
    return Choice(index=index, loss=mean, bound=bound, tested=tested)


def hoeffding_bentkus(mean: float, n: int, limit: float) -> float:
    """P-value of "true mean >= limit" for losses in [0, 1] with sample `mean` (Bates et al. 2021)."""
    if mean >= limit:
        return 1.0
    a = max(mean, 1e-15)
    divergence = a * math.log(a / limit) + (1 - a) * math.log((1 - a) / (1 - limit))
    bentkus = math.e * float(binomial_cdf(math.ceil(n * mean), n, limit))
    return min(1.0, math.exp(-n * divergence), bentkus)


@functools.lru_cache(maxsize=4_096)
def _exact(events: int, n: int, delta: float) -> float:
    return float(upper_bound(events, n, delta))


def _invert(mean: float, n: int, delta: float) -> float:
    low, high = mean, 1.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        if middle < 1 and hoeffding_bentkus(mean, n, middle) > delta:
            low = middle
        else:
            high = middle
    return high
