"""One application: policies tuned on one part of its traffic, measured on another."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks.scaling.policies import (
    CARD,
    Case,
    Clairvoyant,
    Hapenny,
    Invocations,
    Rps,
    case,
    cheapest_static,
    grid,
    tuned,
    weight,
)
from benchmarks.scaling.traces import apart, conversation, redrawn
from hapenny.simulation.fleet import Outcome, full_rate

FACTOR = 4.0
"""How many times the trace's requests are drawn: a fleet of two dozen servers instead of six."""
SEED = 20_261_130
TARGETS = (0.8, 0.85, 0.9, 0.95, 1.0, 1.05)
SHARES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
"""Targets for requests a second and server, against a full server's."""


def figures(outcome: Outcome) -> dict[str, float]:
    """What is reported of one policy. `instance_hours` counts what spilled over at its price."""
    return {
        "slo": round(outcome.slo, 4),
        "instance_hours": round(outcome.cost, 4),
        "own_hours": round(outcome.server_hours, 4),
        "spilled": round(outcome.spilled, 4),
        "ttft_p95_s": round(outcome.ttft_p95_s, 3),
        "most": outcome.most,
    }


def start(measured: Case, at_least: int = 1) -> int:
    """Servers at the start: what the first five minutes need."""
    first = measured.arrivals[0].at
    work = sum(w for a, w in zip(measured.arrivals, measured.weights, strict=True) if a.at < first + 300)
    return max(at_least, math.ceil(work / 300 / measured.spec.full_per_s / 0.9))


def run(data: Path, train: Path | None) -> dict[str, Any]:
    """The section `one_app`."""
    parts = apart(train, conversation(data))
    before, after = (redrawn(part, FACTOR, SEED) for part in parts)
    full = full_rate(before, weight, CARD)
    learn, measured = case(before, full, 1), case(after, full, 1)
    learn = case(before, full, start(learn))
    measured = case(after, full, start(measured))
    per_request = sum(learn.weights) / len(before)
    rps = [(full / per_request * share,) for share in SHARES]
    policies: dict[str, Outcome] = {}
    chosen: dict[str, list[float]] = {}
    for name, make, parameters in (
        ("hapenny", lambda target: Hapenny(full, target), grid(TARGETS)),
        ("rps", Rps, rps),
        ("aws_invocations", Invocations, rps),
    ):
        best = tuned(learn, make, parameters)
        chosen[name] = [round(each, 4) for each in best]
        policies[name] = measured.run(make(*best))
    static, outcome = cheapest_static(measured)
    policies["static_in_hindsight"] = outcome
    known = [measured.run(Clairvoyant(measured, *each)) for each in grid((0.9, 0.95, 1.0, 1.05, 1.1), (30, 60, 120))]
    held = [each for each in (*known, outcome) if each.slo >= 0.99]
    best_known = min(held, key=lambda each: each.cost)
    return {
        "policies": {name: figures(each) for name, each in policies.items()},
        "clairvoyant_hours": round(best_known.cost, 4),
        "static_servers": static,
        "tuned": chosen,
        "server_tokens_per_s": round(full, 1),
        "requests": len(after),
    }
