"""Quality beside saving: right answers with and without, on the same questions, and whether the difference is proven.

The unit is the distinct question, since the same question asked again is no new evidence: each is its own mean
difference over its messages and runs, weighted by how often it was asked, and the interval is a percentile bootstrap
over questions. Where few questions differ, or none, resampling cannot show what was not seen: the interval is then at
least as wide as the exact one of a share (Clopper and Pearson; without any difference the rule of three).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from msgspec import Struct

from hapenny.evidence.bounds import clopper_pearson
from hapenny.evidence.special import Floats

_RESAMPLES = 2_000
_FEW = 10
"""Questions that differ in a direction, up to which the exact interval is asked."""


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
    # A question may lose, or gain, at most once for each time it was asked.
    lost, won = _unseen(counts, -difference), _unseen(counts, difference)
    middle = difference.sum() / total
    low, high = min(low, max(-1.0, middle - lost)), max(high, min(1.0, middle + won))
    return Paired(
        ours=float(table[:, 1].sum() / total),
        baseline=float(table[:, 2].sum() / total),
        low=float(low),
        high=float(high),
        messages=int(total),
        distinct=len(table),
    )


def _unseen(counts: Floats, against: Floats) -> float:
    """How much more of the answers may differ in one direction than was seen, by the exact interval of the share of
    questions that do; 0 where many do."""
    seen = int((against > 0).sum())
    if seen > _FEW:
        return 0.0
    _, most = clopper_pearson(seen, len(counts))
    weight = float((counts**2).sum() / counts.sum() ** 2) * len(counts)  # some questions are asked more often
    return float(most - seen / len(counts)) * weight
