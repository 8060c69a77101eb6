"""A ruling on a tier, and a monthly budget that may lower it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from hapenny.core.money import PICO
from hapenny.routing.balance import Balancer, Offer
from hapenny.routing.certificates import Certificate
from hapenny.routing.names import TIERS


class Ruling(Struct, frozen=True, kw_only=True):
    """A tier, why, and the score it rests on. `certificate` is the promise that covers it, if any."""

    tier: str
    why: str
    score: float
    certificate: Certificate | None = None
    sticky: bool = False


class Rates(Struct, frozen=True):
    """Price of a tier in any one unit per token: input, input read from the provider's cache, output."""

    input: float
    cached: float
    output: float


class Budget:
    """A monthly budget over tiers (`balance.Balancer`): the ruling's tier, or a cheaper one while dollars are dear.

    What the tier that was ruled adds over each cheaper one is taken from the ruling's score: with the score in [0, 1]
    the tier k of n below gives up the score's share k / n of the quality. Rough, but in the right order: hard questions
    give up most, so they keep their tier longest. Never a dearer tier, so every promise stays kept or is not made.

    Args:
        balancer: the budget and its shadow price.
        rates: by tier, in pico-dollars a token.
    """

    def __init__(self, balancer: Balancer, rates: Mapping[str, Rates]) -> None:
        self._balancer, self._rates = balancer, dict(rates)

    def within(self, ruling: Ruling, prompt: int, output: int, wall: float) -> Ruling:
        """The ruling, or one for a cheaper tier, which no certificate covers."""
        self._balancer.renew(wall)
        rank = TIERS.index(ruling.tier)
        offers = []
        for below in range(rank + 1):
            rates = self._rates.get(TIERS[rank - below])
            if rates is not None:
                cost = (prompt * rates.input + output * rates.output) / PICO
                worth = max(0.0, min(1.0, ruling.score)) * below / max(1, rank)
                offers.append(Offer(tier=TIERS[rank - below], quality=1.0 - worth - 1e-6 * below, cost=cost))
        if not offers:
            return ruling
        chosen = self._balancer.choose(offers).tier
        if chosen == ruling.tier:
            return ruling
        return msgspec.structs.replace(ruling, tier=chosen, certificate=None, why=f"budget; {ruling.why}")

    def state(self) -> tuple[float, float, float, float]:
        """Dollars a period, when this one began (epoch seconds), dollars spent in it, and their price."""
        balancer = self._balancer
        return balancer.budget, balancer.started, balancer.spent, balancer.price

    def restore(self, state: tuple[float, float, float, float]) -> None:
        """Goes on with the period of `state`, if the budget is the same."""
        budget, started, spent, price = state
        balancer = self._balancer
        if budget == balancer.budget:
            balancer.started, balancer.spent, balancer.price = started, spent, price

    def book(self, cost: float, wall: float) -> None:
        """Adds what a request really cost, dollars."""
        self._balancer.renew(wall)
        self._balancer.book(cost, wall)
