"""Units of capacity that are paid by the hour, in front of a price by the token: how many pay.

Theory of operation. A unit carries so many weighted tokens a second (an answer's token weighs `burndown` prompt tokens,
what is read from the prompt cache weighs nothing). The provider admits a request while the bucket of `window_s` seconds
of the bought rate is not empty; what it does not admit spills over to the price by the token. So the cost of `n` units
is their price plus that of the spill, and the spill is found by replaying the trace: a formula for a queue of one
second, as planners use, is wrong by up to three times where the provider counts by the minute, since a minute's bucket
carries bursts that a second's cannot.

The days to come are not those of the trace: rates drift. The replay is repeated for rates around the expected growth,
weighted by how far the trace's own parts lie from its trend, and the number that is cheapest in the mean is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hapenny.simulation.workload.trace import Arrival

PARTS = 8
"""Equal stretches of a trace by which its drift is told."""
SCENARIOS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4, 1.6, 1.8)
"""Rates to come, against the trace's."""
_LEAST_SPREAD = 0.15
"""Standard deviation of the logarithm of the rate to come that is assumed at least."""
_NEVER_MORE = 512
_DAY_S = 86_400.0
_CYCLE_H = 2.0
"""Hours from which on a day's cycle moves a trace."""


class Tariff(Struct, frozen=True, kw_only=True):
    """What capacity costs. Dollars and tokens."""

    input_usd: float
    """A million prompt tokens by the token."""
    output_usd: float
    """A million answer tokens by the token."""
    cached_usd: float = 0.0
    """A million tokens that are read from the prompt cache."""
    unit_tokens_per_s: float
    """Weighted tokens that a unit carries a second."""
    unit_usd_per_h: float
    burndown: float = 5.0
    """What an answer's token weighs against a prompt's."""
    window_s: float = 60.0
    """How the provider counts: the seconds its bucket holds."""


class Growth(Struct, frozen=True):
    """What is expected of the rate to come: `exp(mean)` times the trace's, give or take."""

    mean: float
    spread: float


class Choice(Struct, frozen=True, kw_only=True):
    """A number of units and what it costs an hour, dollars."""

    units: int
    usd_per_h: float
    low: float
    """Lower end of the 80 % interval over the rates that may come."""
    high: float
    as_was: float
    """At the trace's own rate."""
    spilled: float
    """Share of weighted tokens that spill over, at the trace's own rate."""


class Demand:
    """A trace as arrays, with what each request weighs and costs under a tariff."""

    def __init__(self, arrivals: Sequence[Arrival], tariff: Tariff) -> None:
        self.tariff = tariff
        self.at = np.array([each.at for each in arrivals])
        fresh = np.array([each.input - each.cached for each in arrivals], dtype=float)
        cached = np.array([each.cached for each in arrivals], dtype=float)
        output = np.array([each.output for each in arrivals], dtype=float)
        self.weights: NDArray[np.float64] = fresh + tariff.burndown * output
        self.costs: NDArray[np.float64] = (
            fresh * tariff.input_usd + cached * tariff.cached_usd + output * tariff.output_usd
        ) / 1e6
        self.hours = max(float(self.at[-1] - self.at[0]) if len(self.at) > 1 else 0.0, 1.0) / 3600

    @property
    def per_s(self) -> float:
        """Weighted tokens a second in the mean."""
        return float(self.weights.sum()) / (self.hours * 3600)

    def spill(self, units: int, rate: float = 1.0) -> tuple[float, float]:
        """Dollars an hour and share of weighted tokens that `units` do not carry, when requests come at `rate` times
        the trace's."""
        per_s = units * self.tariff.unit_tokens_per_s
        most = per_s * self.tariff.window_s
        total = float(self.weights.sum())
        if units <= 0:
            return float(self.costs.sum()) * rate / self.hours, 1.0
        left, before, dollars, tokens = most, 0.0, 0.0, 0.0
        for at, weight, cost in zip((self.at / rate).tolist(), self.weights.tolist(), self.costs.tolist(), strict=True):
            left = min(most, left + (at - before) * per_s)
            before = at
            if left > 0:
                left -= weight
            else:
                dollars += cost
                tokens += weight
        return dollars * rate / self.hours, tokens / total if total else 0.0


def growth(demand: Demand) -> Growth:
    """What a trace says of the rate to come.

    Over days, a trend is told from whole days, each against the one before; over minutes, from the second half against
    the first. Half of the change is expected to go on. In between, what rises in the morning falls at night: a trace of
    hours says by its change how unsure its level is, not where it goes.
    """
    edges = np.linspace(demand.at[0], demand.at[-1] + 1e-9, PARTS + 1)
    # A part without traffic is one with little: its logarithm would make any trend.
    least = float(demand.weights.sum()) / PARTS / 100 + 1.0
    sums = np.log(np.histogram(demand.at, edges, weights=demand.weights)[0] + least)
    places = np.arange(PARTS)
    trend = np.polyval(np.polyfit(places, sums, 1), places)
    noise = float(np.std(sums - trend)) / math.sqrt(PARTS / 2)
    days = int(demand.hours // 24)
    if days < 2:
        halves = np.exp(sums).reshape(2, -1).sum(axis=1)
        change = math.log(halves[1] / halves[0])
        if demand.hours > _CYCLE_H:
            return Growth(0.0, max(_LEAST_SPREAD, math.hypot(noise, change / 2)))
        # A change that is no larger than the noise of a half is no trend.
        kept = change * max(0.0, 1 - (noise / change) ** 2) if change else 0.0
        return Growth(kept, max(_LEAST_SPREAD, noise))
    ago = ((demand.at[-1] - demand.at) // _DAY_S).astype(int)
    each = np.log(np.bincount(ago, weights=demand.weights, minlength=days)[:days] + least)
    steps = -np.diff(each)  # from each day to the next, the last one first
    unsure = float(np.std(steps)) if len(steps) > 1 else abs(float(steps[0])) / 2
    return Growth(float(steps[0]) / 2, max(_LEAST_SPREAD, noise, unsure))


def choose(demand: Demand, expected: Growth | None = None, most: int | None = None) -> list[Choice]:
    """The numbers of units from none to `most` (by default to where more cannot pay), with their costs; the cheapest in
    the mean over the rates that may come is `min(…, key=lambda each: each.usd_per_h)`."""
    expected = expected if expected is not None else growth(demand)
    weights = np.array([math.exp(-0.5 * ((math.log(s) - expected.mean) / expected.spread) ** 2) for s in SCENARIOS])
    weights /= weights.sum()
    tariff = demand.tariff
    by_token = float(demand.costs.sum()) / demand.hours * max(SCENARIOS)
    last = most if most is not None else min(_NEVER_MORE, int(by_token / max(tariff.unit_usd_per_h, 1e-9)) + 1)
    choices: list[Choice] = []
    worse = 0
    for units in range(last + 1):
        fixed = units * tariff.unit_usd_per_h
        costs = np.array([fixed + demand.spill(units, scenario)[0] for scenario in SCENARIOS])
        as_was, share = demand.spill(units)
        order = np.argsort(costs)
        reached = np.cumsum(weights[order])
        choices.append(
            Choice(
                units=units,
                usd_per_h=float(weights @ costs),
                low=float(costs[order][np.searchsorted(reached, 0.1)]),
                high=float(costs[order][min(len(costs) - 1, int(np.searchsorted(reached, 0.9)))]),
                as_was=fixed + as_was,
                spilled=share,
            )
        )
        best = min(each.usd_per_h for each in choices)
        worse = worse + 1 if choices[-1].usd_per_h > best else 0
        if most is None and fixed > best and worse >= 4:
            break  # the units alone cost more than the best, and every further one costs more still
    return choices
