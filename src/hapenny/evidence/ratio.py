"""Sample-ratio mismatch: did the arms get the traffic they were promised?

Chi-squared test at a fixed look (p < .001 blocks a verdict) and the multinomial-Dirichlet e-process for continuous
watching (Lindon and Malek 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hapenny.evidence.special import Floats, chi2_sf

BLOCKING = 0.001


def srm_p_value(counts: npt.ArrayLike, shares: Sequence[float]) -> Floats:
    """P-value of "arms were filled in these shares"; counts of shape (..., arms)."""
    observed = np.asarray(counts, dtype=np.float64)
    wanted = np.asarray(shares, dtype=np.float64)
    expected = observed.sum(axis=-1, keepdims=True) * (wanted / wanted.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(expected > 0, (observed - expected) ** 2 / expected, 0.0).sum(axis=-1)
    return chi2_sf(statistic, len(wanted) - 1)
