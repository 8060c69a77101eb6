"""Tests for data that people look at: at any time, or at looks planned in advance.

- `threshold_any_time`: valid at every look, before and after the planned horizon. A share of alpha is spent on the
  straight boundary |S| >= c * sqrt(N) (the continuous O'Brien-Fleming boundary: reflection principle), which is sharp
  near the horizon N, the rest on the Gaussian mixture boundary, which never ends. Union bound.
- `planned_boundaries`: Lan and DeMets (1983) alpha spending, O'Brien-Fleming or Pocock type, by recursive numerical
  integration (Armitage, McPherson, Rowe 1969).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hapenny.evidence.sequences import mixture_threshold
from hapenny.evidence.special import Floats, normal_cdf, normal_ppf

_FOR_EVER = 0.1


@functools.lru_cache(maxsize=1_024)
def straight_constant(alpha: float) -> float:
    """c with P(max over [0, 1] of |Brownian motion| >= c) = alpha."""
    low, high = 0.1, 10.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        if _maximum_sf(middle) > alpha:
            low = middle
        else:
            high = middle
    return high


def _maximum_sf(c: float) -> float:
    # The series of the reflection principle; its terms vanish like a Gaussian.
    total, k = 0.0, 0
    while True:
        term = math.exp(-(((2 * k + 1) * math.pi) ** 2) / (8 * c * c)) / (2 * k + 1)
        total += -term if k % 2 else term
        if term < 1e-17:
            return 1 - 4 / math.pi * total
        k += 1


def threshold_any_time(information: npt.ArrayLike, horizon: float | None, alpha: float = 0.05) -> Floats:
    """Smallest |z| that rejects at a look with that much information (observations per arm, or pairs).

    Without a horizon the mixture boundary alone, tuned to 1,000 observations.
    """
    at = np.asarray(information, dtype=np.float64)
    if horizon is None:
        return mixture_threshold(at, alpha, 1_000.0)
    constant = straight_constant(alpha * (1 - _FOR_EVER))
    with np.errstate(divide="ignore"):
        straight = np.where(at <= horizon, constant * np.sqrt(horizon / np.maximum(at, 1e-12)), np.inf)
    return np.asarray(np.minimum(straight, mixture_threshold(at, alpha * _FOR_EVER, horizon)))


def any_time(
    difference: float, error: float, information: float, horizon: float | None, alpha: float = 0.05
) -> tuple[float, float]:
    """Interval of the anytime-valid confidence sequence around `difference` with that standard error."""
    half = float(threshold_any_time(information, horizon, alpha)) * error
    return difference - half, difference + half


def any_time_p(z: float, information: float, horizon: float | None) -> float:
    """The smallest alpha at which the anytime test rejects at this look (take the running minimum over looks)."""
    low, high = 1e-12, 1.0
    if abs(z) < float(threshold_any_time(information, horizon, 0.999_999)):
        return 1.0
    for _ in range(40):
        middle = math.sqrt(low * high)
        if abs(z) >= float(threshold_any_time(information, horizon, min(middle, 0.999_999))):
            high = middle
        else:
            low = middle
    return high


def spent(fraction: float, alpha: float, kind: str) -> float:
    """Two-sided alpha spent when `fraction` of the information is in."""
    if fraction <= 0:
        return 0.0
    if kind == "obrien-fleming":
        # Each side spends half of alpha by the one-sided function.
        return min(alpha, 4 * float(normal_cdf(normal_ppf(alpha / 4) / math.sqrt(min(fraction, 1.0)))))
    if kind == "pocock":
        return min(alpha, alpha * math.log(1 + (math.e - 1) * min(fraction, 1.0)))
    raise ValueError(f"unknown spending function {kind!r}; use 'obrien-fleming' or 'pocock'")


def planned_boundaries(
    fractions: Sequence[float], alpha: float = 0.05, kind: str = "obrien-fleming", grid: int = 1_001
) -> list[float]:
    """Two-sided |z| thresholds for looks at rising information fractions, the last usually 1."""
    if not fractions or any(b <= a for a, b in zip((0.0, *fractions), fractions, strict=False)) or fractions[-1] > 1:
        raise ValueError(f"looks must rise within (0, 1], not {list(fractions)}")
    thresholds: list[float] = []
    # The sub-density of paths that have not crossed, as quadrature mass on points; at first all mass at zero.
    mass, support = np.ones(1), np.zeros(1)
    before = 0.0
    for fraction in fractions:
        wanted = spent(fraction, alpha, kind) - spent(before, alpha, kind)
        step = math.sqrt(fraction - before)
        low, high = 0.0, 40.0
        for _ in range(60):
            middle = 0.5 * (low + high)
            if _crossing(middle * math.sqrt(fraction), step, mass, support) > wanted:
                low = middle
            else:
                high = middle
        thresholds.append(high)
        edge = min(high, 9.0) * math.sqrt(fraction)
        points = np.linspace(-edge, edge, grid)
        simpson = np.ones(grid)
        simpson[1:-1:2], simpson[2:-1:2] = 4.0, 2.0
        simpson *= (points[1] - points[0]) / 3
        gaps = (points[:, None] - support[None, :]) / step
        density = (np.exp(-0.5 * gaps * gaps) @ mass) / (step * math.sqrt(2 * math.pi))
        mass, support, before = density * simpson, points, fraction
    return thresholds


def _crossing(edge: float, step: float, mass: Floats, support: Floats) -> float:
    out = normal_cdf((support - edge) / step) + normal_cdf((-edge - support) / step)
    return float(np.sum(mass * out))
