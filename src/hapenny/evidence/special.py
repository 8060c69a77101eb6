"""Special functions on numpy arrays: log-gamma, incomplete beta and gamma, normal and Student distributions.

Only what the tests and bounds of this room need, so that scipy stays a test oracle and never a run-time dependency.
Sources: Stirling's series; Lentz's continued fractions as in Press et al., Numerical Recipes (3rd ed.), ch. 6;
normal quantile by Wichura's AS 241 (`statistics.NormalDist`).
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from statistics import NormalDist

Floats = npt.NDArray[np.float64]
_TINY = 1e-300
_ERFC = np.frompyfunc(math.erfc, 1, 1)
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)


def gammaln(x: npt.ArrayLike) -> Floats:
    """Natural log of gamma for x > 0, elementwise; about 1e-14 relative."""
    value = np.asarray(x, dtype=np.float64)
    shift = np.zeros_like(value)
    big = value.copy()
    # Stirling's series needs a large argument: lift small ones by the recurrence.
    for _ in range(9):
        low = big < 9
        if not low.any():
            break
        shift = np.where(low, shift + np.log(np.where(low, big, 1.0)), shift)
        big = np.where(low, big + 1, big)
    series = np.zeros_like(big)
    inverse, square = 1 / big, 1 / (big * big)
    for coefficient in _STIRLING:
        series = series + coefficient * inverse
        inverse = inverse * square
    return np.asarray((big - 0.5) * np.log(big) - big + 0.5 * math.log(2 * math.pi) + series - shift)


def betaln(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Natural log of the beta function."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return gammaln(a) + gammaln(b) - gammaln(a + b)


def _beta_fraction(a: Floats, b: Floats, x: Floats) -> Floats:
    c = np.ones_like(x)
    d = 1 - (a + b) * x / (a + 1)
    d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
    h = d.copy()
    for m in range(1, 20_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        delta = np.ones_like(x)
        for term in (even, odd):
            d = 1 + term * d
            d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
            c = 1 + term / c
            c = np.where(np.abs(c) < _TINY, _TINY, c)
            delta = d * c
            h = h * delta
        if np.all(np.abs(delta - 1) < 3e-16):
            break
    return h


def betainc(a: npt.ArrayLike, b: npt.ArrayLike, x: npt.ArrayLike) -> Floats:
    """Regularised incomplete beta I_x(a, b) for a, b > 0 and 0 <= x <= 1, elementwise."""
    a, b, x = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (a, b, x)))
    inside = (x > 0) & (x < 1)
    at = np.where(inside, x, 0.5)
    front = np.exp(a * np.log(at) + b * np.log1p(-at) - betaln(a, b))
    swap = at > (a + 1) / (a + b + 2)
    left, right, point = np.where(swap, b, a), np.where(swap, a, b), np.where(swap, 1 - at, at)
    value = front * _beta_fraction(left, right, point) / left
    value = np.where(swap, 1 - value, value)
    return np.asarray(np.where(x <= 0, 0.0, np.where(x >= 1, 1.0, np.clip(value, 0.0, 1.0))))


def betaincinv(a: npt.ArrayLike, b: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    """The x with I_x(a, b) = p: Newton steps kept inside a shrinking bracket; about 1e-13 absolute."""
    a, b, p = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (a, b, p)))
    low, high = np.zeros_like(p), np.ones_like(p)
    x = np.clip(a / (a + b), 1e-12, 1 - 1e-12)
    log_beta = betaln(a, b)
    for _ in range(200):
        gap = betainc(a, b, x) - p
        low, high = np.where(gap <= 0, x, low), np.where(gap >= 0, x, high)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            density = np.exp((a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - log_beta)
            step = x - gap / density
        ok = np.isfinite(step) & (step > low) & (step < high)
        new = np.where(ok, step, 0.5 * (low + high))
        moved = np.abs(new - x)
        x = new
        if np.all((moved <= 1e-15 * np.maximum(x, 1e-3)) | (high - low < 1e-15)):
            break
    return np.asarray(np.where(p <= 0, 0.0, np.where(p >= 1, 1.0, x)))


def gammaincc(a: float, x: npt.ArrayLike) -> Floats:
    """Regularised upper incomplete gamma Q(a, x) for one a > 0 and x >= 0, elementwise."""
    value = np.atleast_1d(np.asarray(x, dtype=np.float64))
    out = np.ones_like(value)
    log_gamma = math.lgamma(a)
    series = (value > 0) & (value < a + 1)
    if series.any():
        at = value[series]
        term = np.full_like(at, 1 / a)
        total, n = term.copy(), a
        for _ in range(10_000):
            n += 1
            term = term * at / n
            total += term
            if np.all(term < total * 1e-17):
                break
        out[series] = 1 - total * np.exp(-at + a * np.log(at) - log_gamma)
    tail = value >= a + 1
    if tail.any():
        at = value[tail]
        b = at + 1 - a
        c = np.full_like(at, 1 / _TINY)
        d = 1 / b
        h = d.copy()
        for i in range(1, 10_000):
            an = -i * (i - a)
            b = b + 2
            d = an * d + b
            d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
            c = b + an / c
            c = np.where(np.abs(c) < _TINY, _TINY, c)
            h = h * d * c
            if np.all(np.abs(d * c - 1) < 3e-16):
                break
        out[tail] = np.exp(-at + a * np.log(at) - log_gamma) * h
    return np.clip(out, 0.0, 1.0).reshape(np.shape(x))


def normal_cdf(x: npt.ArrayLike) -> Floats:
    """Standard normal distribution function, elementwise, accurate in the lower tail."""
    return np.asarray(0.5 * np.asarray(_ERFC(-np.asarray(x, dtype=np.float64) / math.sqrt(2)), dtype=np.float64))


def normal_ppf(p: float) -> float:
    """Standard normal quantile for 0 < p < 1."""
    return _normal().inv_cdf(p)


def chi2_sf(x: npt.ArrayLike, df: int) -> Floats:
    """P(chi-squared with `df` degrees of freedom > x)."""
    return gammaincc(df / 2, np.asarray(x, dtype=np.float64) / 2)


def student_sf(t: npt.ArrayLike, df: npt.ArrayLike) -> Floats:
    """P(Student's t with `df` degrees of freedom > t)."""
    t, df = np.asarray(t, dtype=np.float64), np.asarray(df, dtype=np.float64)
    half = 0.5 * betainc(df / 2, 0.5, df / (df + t * t))
    return np.asarray(np.where(t >= 0, half, 1 - half))


def student_ppf(p: float, df: float) -> float:
    """Student quantile for 0 < p < 1."""
    if p == 0.5:
        return 0.0
    tail = 2 * min(p, 1 - p)
    x = float(betaincinv(df / 2, 0.5, tail))
    t = math.sqrt(df * (1 - x) / x)
    return t if p > 0.5 else -t


@functools.cache
def _normal() -> NormalDist:
    from statistics import NormalDist  # loaded where a quantile is asked for

    return NormalDist()
