"""Several applications on one fleet, a day at a time: token-based scaling with spill-over against the best fixed fleet
in hindsight of each day. The applications' shares change within a day, so requests say little about work."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from benchmarks.scaling.one_app import SHARES, start
from benchmarks.scaling.policies import CARD, Case, Hapenny, Rps, case, cheapest_static, grid, tuned, weight
from benchmarks.scaling.traces import redrawn, requests
from hapenny.simulation.fleet import full_rate
from hapenny.simulation.workload.trace import Arrival, from_csv

DAY_S = 86_400.0
TUNE_S = 6 * 3_600.0
FACTOR = 2.5
"""How many times the stored requests are drawn: the files hold a small sample of their fleets."""
SEED = 20_261_130


def fleets(data: Path) -> list[list[Arrival]]:
    """The applications whose traffic is long enough to have a day, drawn so that none outweighs the others by far."""
    longs = []
    for path in requests(data).values():
        arrivals = from_csv(path)
        if arrivals[-1].at >= DAY_S / 3:
            longs.append(arrivals)
    if not longs:
        longs = [from_csv(path) for path in requests(data).values()]
    loads = [sum(map(weight, each)) / each[-1].at for each in longs]
    usual = sorted(loads)[len(loads) // 2]
    return [
        redrawn(each, FACTOR * min(1.0, usual / load), SEED + number)
        for number, (each, load) in enumerate(zip(longs, loads, strict=True))
    ]


def days(data: Path, count: int) -> dict[str, list[Arrival]]:
    """Days of the mixed traffic by name, `count` of them spread over all that there are."""
    together = list(heapq.merge(*fleets(data), key=lambda each: each.at))
    last = max(1, math.ceil(together[-1].at / DAY_S - 0.1))
    chosen = sorted({round(place * (last - 1) / max(1, count - 1)) for place in range(min(count, last))})
    result = {}
    for day in chosen:
        rows = [each for each in together if day * DAY_S <= each.at < (day + 1) * DAY_S]
        if rows:
            result[f"day {day + 1}"] = rows
    return result


def _prepared(arrivals: list[Arrival], full: float) -> Case:
    return case(arrivals, full, start(case(arrivals, full, 1)))


def _tune(arrivals: list[Arrival]) -> dict[str, Any]:
    """Parameters from a stretch of the traffic."""
    full = full_rate(arrivals, weight, CARD, sample=4_000)
    learn = _prepared(arrivals, full)
    per_request = sum(learn.weights) / len(arrivals)
    ours = tuned(learn, lambda target: Hapenny(full, target), grid((0.85, 0.95, 1.05)))
    rps = tuned(learn, Rps, [(full / per_request * share,) for share in SHARES[:6]])
    return {"full": full, "hapenny": list(ours), "rps": list(rps)}


def _ours(arrivals: list[Arrival], known: dict[str, Any]) -> dict[str, dict[str, float]]:
    full = known["full"]
    measured = _prepared(arrivals, full)
    result = {}
    for name, policy in (("hapenny", Hapenny(full, *known["hapenny"])), ("rps", Rps(*known["rps"]))):
        outcome = measured.run(policy)
        result[name] = {
            "slo": round(outcome.slo, 4), "cost": round(outcome.cost, 3), "spilled": round(outcome.spilled, 4),
            "most": outcome.most,
        }  # fmt: skip
    return result


def _static(arrivals: list[Arrival], known: dict[str, Any]) -> dict[str, dict[str, float]]:
    count, outcome = cheapest_static(_prepared(arrivals, known["full"]))
    row = {"slo": round(outcome.slo, 4), "cost": round(outcome.cost, 3), "spilled": round(outcome.spilled, 4)}
    return {"static_in_hindsight": {**row, "most": count}}


def run(data: Path, train: Path | None, pool: Executor, count: int) -> Callable[[], dict[str, Any]]:
    """Starts the section `mixed`; the result is called for when all else has been started."""
    measured = days(data, count)
    if train is not None and requests(train):
        before = next(iter(days(train, 1).values()))
    else:
        # Tuned on the first quarter of the first day, which is measured all the same: the others are unseen.
        before = next(iter(measured.values()))
    end = before[0].at + TUNE_S
    known = pool.submit(_tune, [each for each in before if each.at < end]).result()
    cells = {
        name: [pool.submit(_ours, rows, known), pool.submit(_static, rows, known)] for name, rows in measured.items()
    }

    def collect() -> dict[str, Any]:
        table = {name: {**both[0].result(), **both[1].result()} for name, both in cells.items()}
        total = {
            policy: sum(row[policy]["cost"] for row in table.values())
            for policy in ("hapenny", "rps", "static_in_hindsight")
        }
        return {
            **table,
            "ours_total": round(total["hapenny"], 3),
            "rps_total": round(total["rps"], 3),
            "hindsight_static_total": round(total["static_in_hindsight"], 3),
        }

    return collect
