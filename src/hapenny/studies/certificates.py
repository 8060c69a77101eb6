"""`python -m hapenny.studies.certificates`: do certificates hold together in simulated worlds of 20 intents?

Each world draws the traffic of its intents, how often two cheap tiers are worse and better than everything-off on each,
how often their answers are carried by the evidence in the request, and how many of the worse ones are then found out;
and then pairs, each of which tells of a tier and of the tier checked. At every look what the policy in force really
loses is compared with its limit. A world fails if that was ever above it. The promise is that at most one world in
twenty does.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from msgspec import Struct

from hapenny.core.clock import RealClock
from hapenny.evidence.opening import Opening
from hapenny.evidence.tier_options import checked

TIERS = ("fast", "balanced")
OPTIONS = tuple(option for tier in TIERS for option in (tier, checked(tier)))
_COST = {"fast": 0.1, "balanced": 0.3}


class World(Struct, frozen=True):
    """What came of one world: whether the limit was ever broken, what share of the traffic was open in the end, and
    what that loses."""

    broken: bool
    open: float
    loss: float


class _Rates(Struct, frozen=True):
    """A tier on an intent: how often it is worse and better, how often evidence carries its answers, and how often
    where they are worse."""

    worse: float
    better: float
    carried: float
    leak: float


def play(seed: int, *, intents: int = 20, pairs: int = 4_000, limit: float = 0.01, gains: bool = True) -> World:
    """One world. `gains`: cheap tiers may also be better than everything-off, and not only worse."""
    draw = RealClock(seed).random
    weights = [draw.expovariate(1) + 0.1 for _ in range(intents)]
    whole, places = sum(weights), range(intents)
    rates: dict[tuple[int, str], _Rates] = {}
    for place in places:
        for tier in TIERS:
            worse = draw.choice((0.0, 0.01, 0.02, 0.05, 0.1)) * draw.random()
            better = worse * draw.choice((0.0, 0.5, 1.0, 1.2, 2.0)) * draw.random() if gains else 0.0
            carried = draw.choice((0.0, 0.3, 0.6, 0.9, 1.0))
            rates[place, tier] = _Rates(worse, better, carried, carried * draw.choice((0.1, 0.5, 1.0)))
    lost: dict[tuple[str, str], float] = {}
    for (place, tier), each in rates.items():
        lost[str(place), tier] = weights[place] / whole * (each.worse - each.better)
        net = each.worse * each.leak - each.better * each.carried
        lost[str(place), checked(tier)] = weights[place] / whole * net
    opening = Opening("tiers", OPTIONS)
    broken, loss = False, 0.0
    for place in draw.choices(places, weights, k=pairs):
        name = str(place)
        opening.seen(name, 1.0)
        for tier in TIERS:
            each, at = rates[place, tier], draw.random()
            net = 1.0 if at < each.worse else -1.0 if at < each.worse + each.better else 0.0
            served = draw.random() < (each.leak if net > 0 else each.carried)
            opening.add(name, tier, net, _COST[tier])
            opening.add(name, checked(tier), net if served else 0.0, _COST[tier] + (not served))
        if opening.look(limit):
            loss = opening.part * sum(lost[cell, option] for cell, option in opening.policy.items())
            broken = broken or loss > limit
    return World(broken, opening.share * opening.part, loss)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the share of worlds in which all certificates held."""
    parser = argparse.ArgumentParser(prog="hapenny.studies.certificates", description=__doc__)
    parser.add_argument("--worlds", type=int, default=2_000)
    parser.add_argument("--intents", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=4_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="worlds played at once")
    options = parser.parse_args(arguments)
    told = {}
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        for gains in (True, False):
            one = functools.partial(play, intents=options.intents, pairs=options.pairs, gains=gains)
            worlds = list(pool.map(one, range(options.worlds), chunksize=max(1, options.worlds // 64)))
            told["with_gains" if gains else "losses_alone"] = {
                "held": round(1 - sum(world.broken for world in worlds) / len(worlds), 4),
                "worst": round(max(world.loss for world in worlds), 5),
                "open": round(sum(world.open for world in worlds) / len(worlds), 3),
                "loss": round(sum(world.loss for world in worlds) / len(worlds), 5),
            }
    print(json.dumps({"worlds": options.worlds, "intents": options.intents, **told}))


if __name__ == "__main__":
    main()
