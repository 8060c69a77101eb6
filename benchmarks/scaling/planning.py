"""The planner against the cheapest in hindsight on every trace, and against slosizer's rule.

A plan is made on one part of a trace and replayed on another. A unit carries an eighth of the first part's mean rate;
its price is a share (.35 or .60) of what a unit in full use costs by the token; the figure is the worse of both.
slosizer's rule (0.3, cost-optimal hybrid): of the numbers of units the one with the least cost, what overflows being
counted in buckets of one second whatever the provider counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scaling import servers
from benchmarks.scaling.policies import OUTPUT_WEIGHT
from benchmarks.scaling.traces import apart, conversation
from hapenny.capacity.units import Demand, Growth, Tariff, choose, growth
from hapenny.simulation.workload.trace import Arrival, from_zero

SHARES = (0.35, 0.6)
WINDOWS = ("1", "60")
INPUT_USD, OUTPUT_USD = 3.0, 15.0
MOST = 40_000
"""Requests of each part that are looked at."""


def tariff(rows: Sequence[Arrival], share: float, window: str) -> Tariff:
    """Prices that fit a trace."""
    work = sum(row.input + OUTPUT_WEIGHT * row.output for row in rows)
    usd = sum(row.input * INPUT_USD + row.output * OUTPUT_USD for row in rows) / 1e6
    unit = work / max(1.0, rows[-1].at) / 8
    return Tariff(
        input_usd=INPUT_USD, output_usd=OUTPUT_USD, unit_tokens_per_s=unit,
        unit_usd_per_h=share * usd / work * unit * 3600, burndown=OUTPUT_WEIGHT, window_s=float(window),
    )  # fmt: skip


def cost(demand: Demand, units: int) -> float:
    """Dollars an hour of so many units, replayed."""
    return units * demand.tariff.unit_usd_per_h + demand.spill(units)[0]


def exhaustive(demand: Demand, about: int) -> tuple[int, float]:
    """The cheapest number of units when all is known: every number up to three times what anybody proposes."""
    most = max(24, 3 * about)
    best = min(range(most + 1), key=lambda units: cost(demand, units))
    return best, cost(demand, best)


def slosizer(demand: Demand) -> int:
    """Units by slosizer's rule."""
    seconds = np.bincount(demand.at.astype(int), weights=demand.weights)
    usd = float(demand.costs.sum()) / demand.hours
    total = float(demand.weights.sum())
    best, least = 0, math.inf
    for units in range(65):
        over = float(np.maximum(0.0, seconds - units * demand.tariff.unit_tokens_per_s).sum()) / total
        now = units * demand.tariff.unit_usd_per_h + usd * over
        if now < least:
            best, least = units, now
    return best


def one(path: Path, train: Path | None, window: str) -> dict[str, Any]:
    """A trace in one window: ours and slosizer's plan against hindsight, the worse of both prices."""
    before, after = apart(train, path)
    before, after = from_zero(before[-MOST:]), after[:MOST]
    rows: list[dict[str, Any]] = []
    for share in SHARES:
        price = tariff(before, share, window)
        known, coming = Demand(before, price), Demand(after, price)
        ours = min(choose(known, growth(known)), key=lambda each: each.usd_per_h)
        other = slosizer(known)
        best, least = exhaustive(coming, max(ours.units, other))
        # The search itself: on a trace that is known, against every number there is.
        fixed = min(choose(coming, Growth(0.0, 1e-6)), key=lambda each: each.as_was)
        rows.append(
            {
                "ours": cost(coming, ours.units) / least,
                "slosizer": cost(coming, other) / least,
                "search": fixed.as_was / least,
                "predicted": ours.usd_per_h / cost(coming, ours.units),
                "units": [ours.units, other, best],
            }
        )
    return {
        "ours_vs_hindsight": round(max(row["ours"] for row in rows), 4),
        "slosizer_vs_hindsight": round(max(row["slosizer"] for row in rows), 4),
        "search": max(row["search"] for row in rows),
        "by_share": {
            f"{share:.2f}": {
                "ours": round(row["ours"], 4),
                "slosizer": round(row["slosizer"], 4),
                "predicted_vs_replayed": round(row["predicted"], 4),
                "units_ours_slosizer_best": row["units"],
            }
            for share, row in zip(SHARES, rows, strict=True)
        },
    }


def run(found: Mapping[str, Path], train: Path | None, pool: Executor) -> Callable[[], dict[str, Any]]:
    """Starts the section `planner`; the result is called for when all else has been started."""
    cells = {
        (name, window): pool.submit(one, path, train, window) for name, path in found.items() for window in WINDOWS
    }
    first = pool.submit(servers.compare, conversation(next(iter(found.values())).parent)) if found else None

    def collect() -> dict[str, Any]:
        table: dict[str, Any] = {}
        search = 1.0
        for (name, window), cell in cells.items():
            figures = cell.result()
            search = max(search, figures.pop("search"))
            table.setdefault(name, {})[window] = figures
        own = first.result() if first is not None else {"p95_ttft_error": 0.0}
        return {"cost_vs_exhaustive": round(search, 4), **own, "by_trace": table}

    return collect
