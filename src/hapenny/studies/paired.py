"""Quality beside saving: right answers with and without, on the same questions, and whether the difference is proven.

The unit is the distinct question, since the same question asked again is no new evidence: each is its own mean
difference over its messages and runs, weighted by how often it was asked, and the interval is a percentile bootstrap
over questions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from msgspec import Struct

_RESAMPLES = 2_000


class Paired(Struct, frozen=True, kw_only=True):
    """Shares of right answers of two runs over the same messages."""

    ours: float
    baseline: float
    low: float
    """Lower end of the 95 % interval of ours less baseline."""
    high: float
    messages: int
    distinct: int
    """Distinct questions."""

    @property
    def difference(self) -> float:
        """Ours less baseline."""
        return self.ours - self.baseline

    def noninferior(self, margin: float) -> bool:
        """Whether it is shown (one-sided, 2.5 %) that at most `margin` of the answers is lost."""
        return self.low > -margin


def compare(pairs: Iterable[tuple[str, bool, bool]], seed: int = 0) -> Paired:
    """Compares (question, right with ours, right with the baseline).

    Raises:
        ValueError: there is no pair.
    """
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for question, ours, baseline in pairs:
        entry = sums[question]
        entry[0] += 1
        entry[1] += ours
        entry[2] += baseline
    if not sums:
        raise ValueError("there is nothing to compare. Fix: at least one pair")
    table = np.array(list(sums.values()), dtype=float)
    counts, difference = table[:, 0], table[:, 1] - table[:, 2]
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(table), np.full(len(table), 1 / len(table)), size=_RESAMPLES)
    means = (drawn @ difference) / np.maximum(drawn @ counts, 1.0)
    low, high = np.quantile(means, (0.025, 0.975))
    total = counts.sum()
    return Paired(
        ours=float(table[:, 1].sum() / total),
        baseline=float(table[:, 2].sum() / total),
        low=float(low),
        high=float(high),
        messages=int(total),
        distinct=len(table),
    )
