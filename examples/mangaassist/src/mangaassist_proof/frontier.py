"""Loss against saving: what the best policy in hindsight could do over intents, and where the application stands.

With every question of a model asked of each tier, the policy takes for each intent the tier that, knowing every answer,
saves most at the same loss: a knapsack over the intents of all draws, solved by its Lagrangian.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mangaassist_proof.play import Played

LOSSES = (-0.06, -0.04, -0.02, 0.0, 0.0025, 0.005, 0.01, 0.02, 0.05)
"""Shares of the answers that may be lost against everything off; below 0 more must be right."""


def frontier(draws: Sequence[Mapping[str, Played]]) -> list[dict[str, float]]:
    """The most that can be saved at each loss, with the application's other techniques on."""
    lost: dict[tuple[str, str], float] = defaultdict(float)
    paid: dict[tuple[str, str], float] = defaultdict(float)
    intents: set[str] = set()
    names: set[str] = set()
    messages = whole = 0
    for played in draws:
        off = played["off"]
        messages, whole = messages + len(off.records), whole + off.bill
        for name, run in played.items():
            if name == "off":
                continue
            names.add(name)
            for one, other in zip(run.records, off.records, strict=True):
                intents.add(one.intent)
                lost[one.intent, name] += other.right - one.right
                paid[one.intent, name] += one.actual or 0
    best = dict.fromkeys(LOSSES, 0.0)
    for price in [0.0, *np.geomspace(1e-3, 1e4, 300)]:
        gone = cost = 0.0
        for intent in sorted(intents):
            chosen = min(
                sorted(names), key=lambda name: paid[intent, name] / whole + price * lost[intent, name] / messages
            )
            gone, cost = gone + lost[intent, chosen], cost + paid[intent, chosen]
        for loss in LOSSES:
            if gone / messages <= loss:
                best[loss] = max(best[loss], 1 - cost / whole)
    return [{"loss": loss, "saved": round(saved, 4)} for loss, saved in best.items()]


def by_tier(draws: Sequence[Mapping[str, Played]]) -> dict[str, dict[str, Any]]:
    """Saving and quality with every question of a model asked of one tier."""
    rows: dict[str, dict[str, Any]] = {}
    for name in draws[0]:
        if name == "off":
            continue
        messages = sum(len(played["off"].records) for played in draws)
        gained = sum(
            one.right - other.right
            for played in draws
            for one, other in zip(played[name].records, played["off"].records, strict=True)
        )
        bill, off = sum(played[name].bill for played in draws), sum(played["off"].bill for played in draws)
        rows[name] = {"saved": round(1 - bill / off, 4), "quality_diff": round(gained / messages, 5)}
    return rows
