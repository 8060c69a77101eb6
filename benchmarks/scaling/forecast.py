"""The forecast of work a step of ten minutes ahead against the last value, on each fleet."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

from benchmarks.scaling.policies import OUTPUT_WEIGHT
from benchmarks.scaling.traces import rates
from hapenny.capacity.forecast import DayForecast


def works(path: Path) -> list[float]:
    """Weighted tokens a second in each window of a file of rates."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [
            float(row["rps_clients_with_tokens"] or 0)
            * (float(row["input_tokens_mean"] or 0) + OUTPUT_WEIGHT * float(row["output_tokens_mean"] or 0))
            for row in csv.DictReader(lines)
        ]


def run(data: Path) -> dict[str, Any]:
    """The section `forecast`: error against the last value's; where there is no forecast, the last value stands."""
    result = {}
    for name, path in rates(data).items():
        forecast = DayForecast()
        ours = last = spoken = 0.0
        before: float | None = None
        values = works(path)
        for value in values:
            if before is not None:
                guess = forecast.next()
                spoken += guess is not None
                ours += abs((before if guess is None else guess) - value)
                last += abs(before - value)
            forecast.observe(value)
            before = value
        result[name] = {
            "wape_vs_last": round(ours / last, 4) if last else 1.0,
            "last_wape": round(last / max(1e-9, sum(values)), 4),
            "used_share": round(spoken / max(1, len(values)), 4),
        }
    return result
