"""When a second call may race a slow first one (Dean and Barroso, The Tail at Scale, 2013).

Only before the first token, only after a delay that few calls reach, only with spare quota, and only while what hedges
have cost stays under `cost_share` of what all calls cost.
"""

from __future__ import annotations

import bisect
from collections import deque
from typing import Annotated

import msgspec
from msgspec import Meta

from hapenny.core.stage_spec import INSIDE


class HedgeSpec(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Hedging: a second call when the first is late."""

    quantile: Annotated[
        float,
        Meta(
            description="Of recent times to first token: later than that, times `slack`, a call is late.",
            extra=INSIDE,
        ),
    ] = 0.95
    slack: Annotated[float, Meta(description="Factor on it.", extra=INSIDE)] = 1.25
    cost_share: Annotated[float, Meta(description="What hedges may cost, as a share of what all calls cost.")] = 0.02
    spare: Annotated[float, Meta(description="Share of the quota that must be left.", extra=INSIDE)] = 0.2
    samples: Annotated[int, Meta(description="Calls to have seen before the first hedge.", extra=INSIDE)] = 50
    least_s: Annotated[float, Meta(description="The shortest delay.", extra=INSIDE)] = 0.05

    def __post_init__(self) -> None:
        if not 0.5 <= self.quantile < 1:
            raise ValueError(f"quantile: {self.quantile} would hedge most calls; give 0.5 to below 1")
        if not 0 <= self.cost_share <= 0.5:
            raise ValueError(f"cost_share: {self.cost_share} is not a share of 0 to 0.5")


class Hedger:
    """The delay before a hedge and the purse it is paid from; costs in any one unit."""

    def __init__(self, spec: HedgeSpec, *, window: int = 500) -> None:
        self.spec = spec
        self._window = window
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []
        self._purse = 0.0
        self.hedges = 0

    def observe(self, ttft_s: float) -> None:
        """Learns the time to first token of a first call (or how long a hedged one had waited when it lost)."""
        self._recent.append(ttft_s)
        bisect.insort(self._sorted, ttft_s)
        if len(self._recent) > self._window:
            del self._sorted[bisect.bisect_left(self._sorted, self._recent.popleft())]

    def delay_s(self) -> float | None:
        """Seconds after which a first call counts as slow; None while too little is known."""
        if len(self._sorted) < self.spec.samples:
            return None
        rank = min(len(self._sorted) - 1, int(self.spec.quantile * len(self._sorted)))
        return max(self.spec.least_s, self._sorted[rank] * self.spec.slack)

    def earn(self, cost: float) -> None:
        """A first call of `cost` was made. At most 20 such shares are saved up per unit of cost."""
        self._purse = min(self._purse + self.spec.cost_share * cost, 1000.0 * cost)

    def afford(self, cost: float) -> bool:
        """Pays for a hedge of at most `cost`, if the purse allows it."""
        if cost > self._purse:
            return False
        self._purse -= cost
        self.hedges += 1
        return True

    def refund(self, cost: float) -> None:
        """Returns what a hedge did not cost after all."""
        self._purse += cost
