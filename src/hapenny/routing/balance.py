"""Cost balancing: the best use of a monthly budget over tiers.

Maximise expected quality subject to expected cost: the Lagrangian takes for each request the tier with the largest
`quality - price * cost`. One number, the shadow price of a dollar, settles everything; it rises while spending runs
ahead of the budget and falls while it lags (multiplicative dual ascent; Balseiro, Lu, Mirrokni 2020).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

MONTH_S = 30 * 86_400.0


class Offer(Struct, frozen=True):
    """A tier for one request: expected quality in [0, 1] and expected dollars."""

    tier: str
    quality: float
    cost: float


class Balancer:
    """Chooses tiers so that a budget lasts its period.

    Args:
        budget: dollars for the period.
        started: wall seconds at which the period began.
        period: its length in seconds.
        price: the first shadow price, quality per dollar (from `shadow_price` on logged traffic; 0 spends freely).
        step: how strongly the price reacts.
    """

    def __init__(
        self, budget: float, *, started: float, period: float = MONTH_S, price: float = 0.0, step: float = 0.02
    ) -> None:
        if budget <= 0 or period <= 0:
            raise ValueError(f"budget and period must be above 0, not {budget} and {period}")
        self.budget, self.started, self.period = budget, started, period
        self.price, self.spent, self._step = price, 0.0, step

    def choose(self, offers: Sequence[Offer]) -> Offer:
        """The offer worth most at the present price of a dollar; the cheapest once the budget is gone."""
        if self.spent >= self.budget:
            return min(offers, key=lambda offer: (offer.cost, -offer.quality))
        return max(offers, key=lambda offer: (offer.quality - self.price * offer.cost, -offer.cost))

    def book(self, cost: float, wall: float) -> None:
        """Adds what a request really cost and moves the price by how spending compares with the time gone."""
        self.spent += cost
        gone = min(1.0, max(1e-6, (wall - self.started) / self.period))
        ahead = self.spent / self.budget / gone - 1
        floor = 1e-3 / max(cost, 1e-9)
        self.price = max(self.price, floor if ahead > 0 else 0.0) * math.exp(self._step * max(-1.0, min(1.0, ahead)))

    def renew(self, wall: float) -> bool:
        """Begins the next period when this one is over; the price is kept."""
        if wall < self.started + self.period:
            return False
        self.started += self.period * math.floor((wall - self.started) / self.period)
        self.spent = 0.0
        return True


def shadow_price(quality: npt.ArrayLike, cost: npt.ArrayLike, budget: float) -> float:
    """The price at which logged requests, each with tiers as columns, cost the budget together; 0 if all is affordable.

    Raises:
        ValueError: when even the cheapest tier for everything costs more than the budget.
    """
    q, c = np.asarray(quality, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    if float(c.min(axis=1).sum()) > budget:
        raise ValueError(f"the cheapest tier alone costs {c.min(axis=1).sum():.2f}, more than the budget {budget:.2f}")

    def spend(price: float) -> float:
        chosen = np.argmax(q - price * c, axis=1)
        return float(np.take_along_axis(c, chosen[:, None], axis=1).sum())

    if spend(0.0) <= budget:
        return 0.0
    low, high = 0.0, 1.0
    while spend(high) > budget and high < 1e15:
        high *= 4
    for _ in range(80):
        middle = 0.5 * (low + high)
        if spend(middle) > budget:
            low = middle
        else:
            high = middle
    return high


def shares(quality: Mapping[str, npt.ArrayLike], cost: Mapping[str, npt.ArrayLike], budget: float) -> dict[str, float]:
    """Share of requests each tier should get under the budget."""
    tiers = list(quality)
    q = np.column_stack([np.asarray(quality[tier], dtype=np.float64) for tier in tiers])
    c = np.column_stack([np.asarray(cost[tier], dtype=np.float64) for tier in tiers])
    chosen = np.argmax(q - shadow_price(q, c, budget) * c, axis=1)
    return {tier: float((chosen == i).mean()) for i, tier in enumerate(tiers)}
