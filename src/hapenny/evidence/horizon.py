"""Fixed-horizon tests, power and sample size: right only when looked at once, at the planned size.

Two-proportion z test (pooled), Welch's t test, the paired t test, and the normal-approximation power of the first.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from hapenny.evidence.special import normal_cdf, normal_ppf, student_ppf, student_sf


class Comparison(msgspec.Struct, kw_only=True, frozen=True):
    """Arm b against arm a: `difference` = b - a, its interval, the statistic and the two-sided p-value."""

    difference: float
    low: float
    high: float
    statistic: float
    p_value: float
    n_a: int
    n_b: int


def two_proportions(events_a: int, n_a: int, events_b: int, n_b: int, alpha: float = 0.05) -> Comparison:
    """Pooled two-sided z test of equal rates, with the unpooled (Wald) interval of the difference."""
    p_a, p_b = events_a / n_a, events_b / n_b
    pooled = (events_a + events_b) / (n_a + n_b)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    z = (p_b - p_a) / error if error else 0.0
    half = normal_ppf(1 - alpha / 2) * math.sqrt(p_a * (1 - p_a) / n_a + p_b * (1 - p_b) / n_b)
    gap = p_b - p_a
    p_value = 2 * float(normal_cdf(-abs(z)))
    return Comparison(difference=gap, low=gap - half, high=gap + half, statistic=z, p_value=p_value, n_a=n_a, n_b=n_b)


def welch(a: npt.ArrayLike, b: npt.ArrayLike, alpha: float = 0.05) -> Comparison:
    """Welch's two-sided t test for unequal variances, with its interval."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    va, vb = float(x.var(ddof=1)) / len(x), float(y.var(ddof=1)) / len(y)
    df = (va + vb) ** 2 / (va**2 / (len(x) - 1) + vb**2 / (len(y) - 1)) if va + vb else len(x) + len(y) - 2
    return _student(float(y.mean() - x.mean()), math.sqrt(va + vb), df, alpha, len(x), len(y))


def paired(a: npt.ArrayLike, b: npt.ArrayLike, alpha: float = 0.05) -> Comparison:
    """Paired two-sided t test: replay mode, where both arms answered the same prompts."""
    gap = np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    n = len(gap)
    return _student(float(gap.mean()), float(gap.std(ddof=1)) / math.sqrt(n), n - 1, alpha, n, n)


def _student(gap: float, error: float, df: float, alpha: float, n_a: int, n_b: int) -> Comparison:
    t = gap / error if error else 0.0 if gap == 0 else math.copysign(math.inf, gap)
    p_value = 2 * float(student_sf(abs(t), df)) if math.isfinite(t) else 0.0
    half = student_ppf(1 - alpha / 2, df) * error
    return Comparison(difference=gap, low=gap - half, high=gap + half, statistic=t, p_value=p_value, n_a=n_a, n_b=n_b)


def power(effect: float, deviation: float, n_a: float, n_b: float, alpha: float = 0.05) -> float:
    """Chance that a two-sided z test of size alpha finds a difference of `effect` between means of that deviation."""
    shift = effect / (deviation * math.sqrt(1 / n_a + 1 / n_b))
    z = normal_ppf(1 - alpha / 2)
    return float(normal_cdf(shift - z) + normal_cdf(-shift - z))


def power_of_proportions(base: float, other: float, n: float, alpha: float = 0.05) -> float:
    """Chance that the pooled two-proportion test with n an arm tells `other` from `base` (unpooled variance)."""
    deviation = math.sqrt((base * (1 - base) + other * (1 - other)) / 2)
    return power(other - base, deviation, n, n, alpha)
