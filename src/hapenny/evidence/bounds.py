"""Exact binomial bounds and tails at a fixed sample size.

Clopper and Pearson (1934) intervals; Wilson (1927) for display only, because it is not guaranteed.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from hapenny.evidence.special import Floats, betainc, betaincinv, normal_ppf


def clopper_pearson(events: npt.ArrayLike, trials: npt.ArrayLike, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Two-sided exact interval of level 1 - alpha for a proportion; elementwise; no trials give (0, 1)."""
    return lower_bound(events, trials, alpha / 2), upper_bound(events, trials, alpha / 2)


def upper_bound(events: npt.ArrayLike, trials: npt.ArrayLike, delta: float = 0.05) -> Floats:
    """One-sided exact upper bound: the true rate exceeds it with probability at most delta."""
    k, n = _counts(events, trials)
    whole = k >= n
    return np.asarray(np.where(whole, 1.0, betaincinv(k + 1, np.where(whole, 1.0, n - k), 1 - delta)))


def lower_bound(events: npt.ArrayLike, trials: npt.ArrayLike, delta: float = 0.05) -> Floats:
    """One-sided exact lower bound: the true rate is under it with probability at most delta."""
    k, n = _counts(events, trials)
    none = k <= 0
    return np.asarray(np.where(none, 0.0, betaincinv(np.where(none, 1.0, k), n - k + 1, delta)))


def binomial_cdf(k: npt.ArrayLike, n: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    """P(Binomial(n, p) <= k), elementwise: the p-value of "the rate is at least p" after k events."""
    k, n, p = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (k, n, p)))
    inner = (k >= 0) & (k < n)
    value = betainc(np.where(inner, n - k, 1.0), np.where(inner, k + 1, 1.0), 1 - p)
    return np.asarray(np.where(k < 0, 0.0, np.where(k >= n, 1.0, value)))


@functools.lru_cache(maxsize=4_096)
def critical_count(n: int, rate: float, delta: float) -> int:
    """The largest k with P(Binomial(n, rate) <= k) <= delta, or -1: at most k events reject "rate at least `rate`"."""
    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        if float(binomial_cdf(middle, n, rate)) <= delta:
            low = middle
        else:
            high = middle
    return low


def smallest_sample(rate: float, delta: float) -> int:
    """The fewest trials that can prove, with no event at all, that a rate is under `rate` at confidence 1 - delta."""
    if not 0 < rate < 1:
        raise ValueError(f"rate must be between 0 and 1, not {rate}")
    return math.ceil(math.log(delta) / math.log1p(-rate))


def wilson(events: npt.ArrayLike, trials: npt.ArrayLike, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Wilson score interval: close to nominal on average, so for charts, never for promises."""
    k, n = _counts(events, trials)
    z = normal_ppf(1 - alpha / 2)
    safe = np.maximum(n, 1)
    p = k / safe
    centre = (p + z * z / (2 * safe)) / (1 + z * z / safe)
    half = z / (1 + z * z / safe) * np.sqrt(p * (1 - p) / safe + z * z / (4 * safe * safe))
    return np.where(n > 0, centre - half, 0.0), np.where(n > 0, centre + half, 1.0)


def _counts(events: npt.ArrayLike, trials: npt.ArrayLike) -> tuple[Floats, Floats]:
    k, n = np.broadcast_arrays(np.asarray(events, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    if np.any(k < 0) or np.any(k > n):
        raise ValueError("events must lie between 0 and trials")
    return k, n
