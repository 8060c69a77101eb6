"""Anytime-valid confidence sequences: intervals that hold at every look at once.

- proportion: beta-binomial mixture (Ville's inequality on a conjugate mixture; Howard, Ramdas, McAuliffe, Sekhon 2021).
- bounded mean: predictable plug-in empirical Bernstein (Waudby-Smith and Ramdas 2024, theorem 2).
- difference of means: asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024) on the
  Gaussian mixture boundary, tuned to be sharpest at a chosen sample size.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hapenny.evidence.special import Floats, betaln


def proportion(
    events: npt.ArrayLike, trials: npt.ArrayLike, alpha: float = 0.05, prior: tuple[float, float] = (0.5, 0.5)
) -> tuple[Floats, Floats]:
    """Interval for a rate after `trials` with `events`, valid at every look; exact, no asymptotics; elementwise.

    `prior` tilts where the sequence is sharpest and never its validity.
    """
    k, n = np.broadcast_arrays(np.asarray(events, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    f = n - k
    level = betaln(k + prior[0], f + prior[1]) - float(betaln(*prior)) - math.log(1 / alpha)
    centre = np.where(n > 0, k / np.maximum(n, 1), 0.5)

    def outside(p: Floats) -> npt.NDArray[np.bool_]:
        with np.errstate(divide="ignore", invalid="ignore"):
            fit = np.where(k > 0, k * np.log(p), 0.0) + np.where(f > 0, f * np.log1p(-p), 0.0)
        return np.asarray(level - fit >= 0)

    def edge(inner: Floats, outer: Floats) -> Floats:
        # The mixture is convex in p around the estimate: bisect between it and the end of [0, 1].
        for _ in range(60):
            middle = 0.5 * (inner + outer)
            out = outside(middle)
            inner, outer = np.where(out, inner, middle), np.where(out, middle, outer)
        return outer

    zero, one = np.zeros_like(centre), np.ones_like(centre)
    low = np.where(k > 0, edge(centre, zero), 0.0)
    high = np.where(f > 0, edge(centre, one), 1.0)
    return np.asarray(low), np.asarray(high)


def bounded_mean(values: npt.ArrayLike, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Intervals for the mean of observations in [0, 1], one per prefix of the last axis; exact at every look."""
    x = np.asarray(values, dtype=np.float64)
    if x.size and (x.min() < 0 or x.max() > 1):
        raise ValueError("bounded_mean needs observations in [0, 1]")
    n = x.shape[-1]
    t = np.arange(1, n + 1)
    mean = (0.5 + np.cumsum(x, axis=-1)) / (t + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2, axis=-1)) / (t + 1)
    start = np.full((*x.shape[:-1], 1), 0.5)
    before = np.concatenate([start, mean[..., :-1]], axis=-1)
    spread = np.concatenate([start * 0.5, variance[..., :-1]], axis=-1)
    reach = math.log(2 / alpha)
    bet = np.minimum(np.sqrt(2 * reach / (spread * t * np.log1p(t))), 0.5)
    psi = (-np.log1p(-bet) - bet) / 4
    weight = np.cumsum(bet, axis=-1)
    centre = np.cumsum(bet * x, axis=-1) / weight
    half = (reach + np.cumsum(4 * (x - before) ** 2 * psi, axis=-1)) / weight
    low = np.maximum.accumulate(np.clip(centre - half, 0, 1), axis=-1)
    high = np.minimum.accumulate(np.clip(centre + half, 0, 1), axis=-1)
    return low, high


def mixture_threshold(information: npt.ArrayLike, alpha: float = 0.05, tuned: float = 1.0) -> Floats:
    """Smallest |z| that rejects at any look, when `information` is what has been gathered by then.

    `tuned` is the information (in the same unit, say observations per arm) at which the boundary is sharpest.
    """
    ratio = best_mixture(alpha) * np.asarray(information, dtype=np.float64) / tuned
    with np.errstate(divide="ignore"):
        return np.asarray(np.sqrt((ratio + 1) / ratio * (np.log1p(ratio) + 2 * math.log(1 / alpha))))


def best_mixture(alpha: float) -> float:
    """Variance ratio r that minimises (r + 1) / r * (log(r + 1) - 2 log alpha): r = log(r + 1) - 2 log alpha."""
    r = 8.0
    for _ in range(200):
        r = math.log1p(r) - 2 * math.log(alpha)
    return r


def difference(
    mean_a: npt.ArrayLike,
    variance_a: npt.ArrayLike,
    n_a: npt.ArrayLike,
    mean_b: npt.ArrayLike,
    variance_b: npt.ArrayLike,
    n_b: npt.ArrayLike,
    alpha: float = 0.05,
    tuned: float = 1_000.0,
) -> tuple[Floats, Floats]:
    """Interval for mean b - mean a from running means, variances and counts of two arms; asymptotic, all looks.

    `tuned` is the observations per arm at which it is sharpest. Fewer than two observations in an arm give no bound.
    """
    arrays = [np.asarray(v, dtype=np.float64) for v in (mean_a, variance_a, n_a, mean_b, variance_b, n_b)]
    ma, va, na, mb, vb, nb = np.broadcast_arrays(*arrays)
    ok = (na >= 2) & (nb >= 2) & (va + vb > 0)
    sa, sb = np.where(ok, na, 2.0), np.where(ok, nb, 2.0)
    error = np.sqrt(va / sa + vb / sb)
    half = error * mixture_threshold(2 * sa * sb / (sa + sb), alpha, tuned)
    half = np.where(ok, half, np.inf)
    return np.asarray(mb - ma - half), np.asarray(mb - ma + half)
