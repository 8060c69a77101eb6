"""What capacity to buy for a trace: the ways that there are, what each costs an hour, and whether it holds.

Prices come from the catalog; what it does not hold (a unit's price, a server's) is the operator's word, and an option
without its price is left out. A price by the token holds the objective where the quota does; units hold it as what they
do not carry spills over to the price by the token; servers hold it where the simulated ones do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from hapenny.capacity.need import Need, need
from hapenny.capacity.servers import least
from hapenny.capacity.units import Demand, Growth, Tariff, choose, growth
from hapenny.catalog.card import Card
from hapenny.simulation.fleet_server import ServerCard
from hapenny.simulation.workload.trace import Arrival

_PICO = 1_000_000
"""Pico-dollars a token, as dollars a million tokens."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What the operator says beside the trace."""

    ttft_p95_s: float = 1.5
    window_s: float = 60.0
    tokens_per_minute: float | None = None
    """The account's quota; None: unknown."""
    requests_per_minute: float | None = None
    max_tokens: int | None = None
    region_class: str = "in_region"
    deferrable: float = 0.0
    """Share of requests that can wait a day."""
    unit_tokens_per_s: float | None = None
    unit_usd_per_h: float | None = None
    server_usd_per_h: float | None = None
    server: ServerCard | None = None
    """None: an assumed one."""
    growth: float | None = None
    """The rate to come against the trace's; None: as its own drift says."""


class Option(Struct, frozen=True, kw_only=True):
    """One way to serve the traffic. Dollars an hour."""

    name: str
    usd_per_h: float
    low: float
    high: float
    holds: bool
    """Whether the objective is held, as far as can be told."""
    why: str


class Point(Struct, frozen=True, kw_only=True):
    """Units and what they cost: a point of the frontier."""

    units: int
    usd_per_h: float
    spilled: float


class CapacityPlan(Struct, frozen=True, kw_only=True):
    """The ways, cheapest first among those that hold, and what they stand on."""

    model: str
    provider: str
    requests: int
    hours: float
    need: Need
    expected_growth: float
    options: list[Option]
    frontier: list[Point]
    sensitivity: dict[str, float]
    """Dollars an hour of the first option when one thing changes."""
    increase: dict[str, float]
    """Quotas to ask for: name -> value; empty: what there is does."""
    assumed: list[str]


def plan(arrivals: Sequence[Arrival], card: Card, wanted: Wanted | None = None) -> CapacityPlan:
    """Plans for a trace.

    Raises:
        ValueError: the model's price by the token is not known, or the trace has no rate.
    """
    wanted = wanted or Wanted()
    if len({each.at for each in arrivals}) < 2:
        raise ValueError("all requests come at one time: no rate can be told. Fix: a trace of some minutes")
    tariff = _tariff(card, wanted)
    demand = Demand(arrivals, tariff)
    expected = _growth(demand, wanted)
    needed = need(arrivals, burndown=card.burndown, max_tokens=wanted.max_tokens, window_s=wanted.window_s)
    assumed: list[str] = []
    options = _options(arrivals, card, wanted, demand, expected, needed, assumed)
    frontier = []
    if wanted.unit_usd_per_h is not None:
        choices = choose(demand, expected)
        frontier = [Point(units=each.units, usd_per_h=each.usd_per_h, spilled=each.spilled) for each in choices]
    options.sort(key=lambda option: (not option.holds, option.usd_per_h))
    return CapacityPlan(
        model=card.id,
        provider=card.provider,
        requests=len(arrivals),
        hours=demand.hours,
        need=needed,
        expected_growth=_factor(expected),
        options=options,
        frontier=frontier,
        sensitivity=_sensitivity(arrivals, card, wanted),
        increase=_increase(needed, wanted, _factor(expected)),
        assumed=assumed,
    )


def _factor(expected: Growth) -> float:
    return math.exp(expected.mean)


def _growth(demand: Demand, wanted: Wanted) -> Growth:
    own = growth(demand)
    return own if wanted.growth is None else Growth(math.log(wanted.growth), own.spread)


def _tariff(card: Card, wanted: Wanted, service_tier: str = "standard") -> Tariff:
    rates = card.rates(service_tier, wanted.region_class)
    if rates is None or rates.input is None or rates.output is None:
        raise ValueError(
            f"{card.id}: no {service_tier} price {wanted.region_class} is known. "
            "Fix: a model of the catalog, or a file of negotiated prices"
        )
    return Tariff(
        input_usd=rates.input / _PICO,
        output_usd=rates.output / _PICO,
        cached_usd=(rates.cache_read if rates.cache_read is not None else rates.input) / _PICO,
        unit_tokens_per_s=wanted.unit_tokens_per_s or 1.0,
        unit_usd_per_h=wanted.unit_usd_per_h or float("inf"),
        burndown=float(card.burndown),
        window_s=wanted.window_s,
    )


def _by_token(demand: Demand, expected: Growth) -> tuple[float, float, float]:
    """Dollars an hour in the mean, and at the ends of the 80 % interval, when every token is paid by itself."""
    now = demand.spill(0)[0]
    width = 1.2816 * expected.spread
    return now * math.exp(expected.mean), now * math.exp(expected.mean - width), now * math.exp(expected.mean + width)


def _options(
    arrivals: Sequence[Arrival], card: Card, wanted: Wanted, demand: Demand, expected: Growth, needed: Need,
    assumed: list[str],
) -> list[Option]:  # fmt: skip
    missing = _increase(needed, wanted, _factor(expected))
    enough = not missing
    quota = "the quota holds the busiest minutes" if enough else "the quota is too small for the busiest minutes"
    if wanted.tokens_per_minute is None:
        quota = "the quota is not said; see the need"
    usd, low, high = _by_token(demand, expected)
    options = [Option(name="on demand", usd_per_h=usd, low=low, high=high, holds=enough, why=quota)]
    for tier, why in (("priority", "served first when the provider is busy"),):
        if card.rates(tier, wanted.region_class) is not None:
            factor = Demand(arrivals, _tariff(card, wanted, tier)).spill(0)[0] / max(demand.spill(0)[0], 1e-12)
            options.append(
                Option(name=tier, usd_per_h=usd * factor, low=low * factor, high=high * factor, holds=enough, why=why)
            )
    if wanted.deferrable > 0:
        for tier in ("batch", "flex"):
            if card.rates(tier, wanted.region_class) is not None:
                half = Demand(arrivals, _tariff(card, wanted, tier)).spill(0)[0] / max(demand.spill(0)[0], 1e-12)
                factor = 1 - wanted.deferrable * (1 - half)
                why = f"{wanted.deferrable:.0%} of the requests wait, at {half:.2f} of the price"
                options.append(
                    Option(
                        name=f"on demand + {tier}", usd_per_h=usd * factor, low=low * factor, high=high * factor,
                        holds=enough, why=why,
                    )
                )  # fmt: skip
    if wanted.unit_usd_per_h is not None and wanted.unit_tokens_per_s is not None:
        best = min(choose(demand, expected), key=lambda choice: choice.usd_per_h)
        why = f"{best.spilled:.1%} of the tokens spill over at the trace's rate, counted over {wanted.window_s:g} s"
        options.append(
            Option(
                name=f"{best.units} units + on demand", usd_per_h=best.usd_per_h, low=best.low, high=best.high,
                holds=enough or best.spilled == 0.0, why=why,
            )
        )  # fmt: skip
    if wanted.server_usd_per_h is not None:
        held = least(arrivals, wanted.ttft_p95_s, wanted.server)
        # Servers are bought whole: for the rate that is expected, and one that may fail.
        count = max(held.servers, round(held.servers * _factor(expected) + 0.49)) + 1
        price = count * wanted.server_usd_per_h
        why = f"{held.servers} hold {held.ttft_p95_s:.2f} s at p95 on the busiest stretch; growth and one spare added"
        options.append(
            Option(name=f"{count} servers", usd_per_h=price, low=price, high=price, holds=held.holds, why=why)
        )
        if wanted.server is None:
            assumed.append(
                "servers: steps, memory and start-up of the simulated card, until you measure yours (--server)"
            )
    return options


def _increase(needed: Need, wanted: Wanted, factor: float) -> dict[str, float]:
    """Quotas that fall short of what the busiest minute in a hundred needs, and what to ask for."""
    increase = {}
    tokens = max(needed.tokens.p99, needed.reserved.p99) * factor
    if wanted.tokens_per_minute is not None and wanted.tokens_per_minute < tokens:
        increase["tokens per minute"] = float(round(tokens * 1.1, -3))
    requests = needed.requests.p99 * factor
    if wanted.requests_per_minute is not None and wanted.requests_per_minute < requests:
        increase["requests per minute"] = float(round(requests * 1.1 + 0.5))
    return increase


def _sensitivity(arrivals: Sequence[Arrival], card: Card, wanted: Wanted) -> dict[str, float]:
    """What the cheapest mix of units and tokens costs when the traffic is another one."""
    changed = {
        "as it is": arrivals,
        "prompts 20 % shorter": [replace(each, input=round(each.input * 0.8)) for each in arrivals],
        "answers 20 % shorter": [replace(each, output=round(each.output * 0.8)) for each in arrivals],
        "30 % answered by a cache": [each for number, each in enumerate(arrivals) if number % 10 >= 3],
        "half of the prompts read from the prompt cache": [
            replace(each, cached=max(each.cached, each.input // 2)) for each in arrivals
        ],
    }
    costs = {}
    for name, rows in changed.items():
        if not rows:  # too few requests for a share of them
            continue
        demand = Demand(rows, _tariff(card, wanted))
        expected = _growth(demand, wanted)
        if wanted.unit_usd_per_h is not None:
            costs[name] = min(each.usd_per_h for each in choose(demand, expected))
        else:
            costs[name] = _by_token(demand, expected)[0]
    for factor in (1.5, 2.0):
        bigger = replace(wanted, growth=factor)
        demand = Demand(arrivals, _tariff(card, bigger))
        expected = _growth(demand, bigger)
        costs[f"{factor:g} times the requests"] = (
            min(each.usd_per_h for each in choose(demand, expected))
            if wanted.unit_usd_per_h is not None
            else _by_token(demand, expected)[0]
        )
    return costs
