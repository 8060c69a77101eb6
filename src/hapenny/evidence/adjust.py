"""Less noise and honest families: CUPED and Holm.

CUPED: Deng, Xu, Kohavi, Walker (2013). Holm (1979) step-down.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hapenny.evidence.special import Floats


def cuped(metric: npt.ArrayLike, before: npt.ArrayLike) -> Floats:
    """The metric with what a pre-experiment covariate explains taken out; same mean, smaller variance.

    Give all arms at once: the slope must be common to them. A constant covariate changes nothing.
    """
    y, x = np.asarray(metric, dtype=np.float64), np.asarray(before, dtype=np.float64)
    if y.shape != x.shape:
        raise ValueError(f"metric and covariate must have one shape, not {y.shape} and {x.shape}")
    centred = x - x.mean()
    spread = float(centred @ centred)
    if spread == 0:
        return y.copy()
    return np.asarray(y - float(centred @ (y - y.mean())) / spread * centred)


def holm(p_values: npt.ArrayLike) -> Floats:
    """Adjusted p-values that control the family-wise error at any level, in the given order."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted
