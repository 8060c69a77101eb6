"""The forecast of work a step of ten minutes ahead against the last value, on each fleet."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
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


def errors(values: Sequence[float]) -> tuple[float, float, int]:
    """Sums of absolute errors of the forecast and of the last value, which stands where there is no forecast, and how
    often there was one."""
    forecast = DayForecast()
    ours = last = 0.0
    spoken = 0
    before: float | None = None
    for value in values:
        if before is not None:
            guess = forecast.next()
            spoken += guess is not None
            ours += abs((before if guess is None else guess) - value)
            last += abs(before - value)
        forecast.observe(value)
        before = value
    return ours, last, spoken


def run(data: Path) -> dict[str, Any]:
    """The section `forecast`: error against the last value's."""
    result = {}
    for name, path in rates(data).items():
        values = works(path)
        ours, last, spoken = errors(values)
        result[name] = {
            "wape_vs_last": round(ours / last, 4) if last else 1.0,
            "last_wape": round(last / max(1e-9, sum(values)), 4),
            "used_share": round(spoken / max(1, len(values)), 4),
        }
    return result
