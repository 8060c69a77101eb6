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
    means = table.mean(axis=0)
    binary = bool(np.isin(table, (0.0, 1.0)).all())
    if binary:
        passed = table.sum(axis=0) <= critical_count(n, epsilon, delta)
    else:
        passed = np.array([hoeffding_bentkus(float(mean), n, epsilon) <= delta for mean in means])
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
