"""`python -m hapenny.studies.certificates`: do certificates hold together in simulated worlds of 20 intents?

Each world draws the traffic of its intents, how often two cheap tiers are worse and better than everything-off on each,
and then pairs; at every look what the policy in force really loses is compared with its limit. A world fails if that
was ever above it. The promise is that at most one world in twenty does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from msgspec import Struct

from hapenny.core.clock import RealClock
from hapenny.evidence.opening import Opening

TIERS = ("fast", "balanced")
_COST = {"fast": 0.1, "balanced": 0.3}


class World(Struct, frozen=True):
    """What came of one world: whether the limit was ever broken, what share of the traffic was open in the end, and
    what that loses."""

    broken: bool
    open: float
    loss: float


def play(seed: int, *, intents: int = 20, pairs: int = 4_000, limit: float = 0.01, gains: bool = True) -> World:
    """One world. `gains`: cheap tiers may also be better than everything-off, and not only worse."""
    draw = RealClock(seed).random
    weights = [draw.expovariate(1) + 0.1 for _ in range(intents)]
    rates = {}
    for place in range(intents):
        for tier in TIERS:
            worse = draw.choice((0.0, 0.01, 0.02, 0.05, 0.1)) * draw.random()
            better = worse * draw.choice((0.0, 0.5, 1.0, 1.2, 2.0)) * draw.random() if gains else 0.0
            rates[place, tier] = (worse, better)
    whole = sum(weights)
    opening = Opening("tiers", TIERS)
    broken, loss = False, 0.0
    for _ in range(pairs):
        place = draw.choices(range(intents), weights)[0]
        opening.seen(str(place), 1.0)
        for tier in TIERS:
            at, (worse, better) = draw.random(), rates[place, tier]
            opening.add(str(place), tier, 1.0 if at < worse else -1.0 if at < worse + better else 0.0, _COST[tier])
        if opening.look(limit):
            net = {key: worse - better for key, (worse, better) in rates.items()}
            lost = sum(weights[int(name)] / whole * net[int(name), tier] for name, tier in opening.policy.items())
            loss = lost * opening.part
            broken = broken or loss > limit
    return World(broken, opening.share * opening.part, loss)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the share of worlds in which all certificates held."""
    parser = argparse.ArgumentParser(prog="hapenny.studies.certificates", description=__doc__)
    parser.add_argument("--worlds", type=int, default=2_000)
    parser.add_argument("--intents", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=4_000)
    options = parser.parse_args(arguments)
    told = {}
    for gains in (True, False):
        worlds = [
            play(seed, intents=options.intents, pairs=options.pairs, gains=gains) for seed in range(options.worlds)
        ]
        told["with_gains" if gains else "losses_alone"] = {
            "held": round(1 - sum(world.broken for world in worlds) / len(worlds), 4),
            "open": round(sum(world.open for world in worlds) / len(worlds), 3),
            "loss": round(sum(world.loss for world in worlds) / len(worlds), 5),
        }
    print(json.dumps({"worlds": options.worlds, "intents": options.intents, **told}))


if __name__ == "__main__":
    main()
