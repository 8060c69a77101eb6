"""Whether worse answers have become more frequent than a promise allows: a suspicion first, then a proof.

The promise "net loss at most the limit" means that worse answers are at most as frequent as better ones plus the limit.
Page's cumulative sums (1954) of the log likelihood ratio against rates 2.5 and 6 times as high raise a suspicion: the
lower one sees a small change, the higher one sees a large one sooner. Then Wald's sequential test of the same rates, on
probes made for it alone, settles the matter. A change that lies between what is promised and the lower rate would be
suspected and cleared again and again; so a third sum, against a rate 1.8 times as high, is kept over suspicions and is
a proof by itself once it is as large as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_TIMES = (2.5, 6.0)
"""How much more frequent worse answers are, against which they are watched."""
_RAISED = 2.7
_PROVEN = 4.6
"""Odds of 100 to 1 for it."""
_CLEARED = -3.0
"""Odds of 20 to 1 against the smaller of the changes."""
_MOST = 0.9
_LASTING, _LASTED = 1.8, 4.6
"""The rate of the sum that outlives suspicions, as above, and the odds (100 to 1) at which it is a proof."""


class Suspicion:
    """Sums of log likelihood ratios; `sums`: as they were left."""

    def __init__(self, sums: Sequence[float] = ()) -> None:
        whole = len(sums) == len(_TIMES) + 1
        self.sums = list(sums) if whole else [0.0] * (len(_TIMES) + 1)

    def take(self, worse: bool, usual: float, *, settling: bool) -> None:
        """One more answer beside everything-off's. `usual`: share of worse ones that the promise allows; `settling`: a
        suspicion is being settled, so that the sums may fall below 0."""
        for place, times in enumerate((*_TIMES, _LASTING)):
            bad = min(_MOST, times * usual)
            step = math.log(bad / usual) if worse else math.log((1 - bad) / (1 - usual))
            self.sums[place] += step
            if not settling or times == _LASTING:
                self.sums[place] = max(0.0, self.sums[place])

    @property
    def raised(self) -> bool:
        """Whether there is a suspicion."""
        return max(self.sums[:-1]) >= _RAISED

    @property
    def proven(self) -> bool:
        """Whether the promise is refuted."""
        return max(self.sums[:-1]) >= _PROVEN

    @property
    def lasting(self) -> bool:
        """Whether worse answers were too frequent for long, whatever single suspicions came to."""
        return self.sums[-1] >= _LASTED

    @property
    def cleared(self) -> bool:
        """Whether the promise holds after all."""
        return self.sums[0] <= _CLEARED

    def reset(self) -> None:
        """Starts anew; what outlives suspicions stays."""
        self.sums[:-1] = [0.0] * len(_TIMES)
