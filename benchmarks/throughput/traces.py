"""Traces as lists of arrivals, scaled in time to a load."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import NamedTuple

from benchmarks.scaling.traces import folder, requests


class Arrival(NamedTuple):
    """One request of a trace: seconds from the start, tokens in and out."""

    at: float
    input: int
    output: int


def read(path: Path, *, most_output: int = 1024) -> list[Arrival]:
    """The arrivals of a request file, from 0 s."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [
            Arrival(float(r["timestamp_s"]), int(r["input_tokens"]), max(1, min(most_output, int(r["output_tokens"]))))
            for r in csv.DictReader(file)
        ]
    rows.sort()
    first = rows[0].at
    return [row._replace(at=row.at - first) for row in rows]


def scaled(rows: list[Arrival], factor: float) -> list[Arrival]:
    """The same requests, with all times multiplied by `factor`."""
    return [row._replace(at=row.at * factor) for row in rows]


def to_load(rows: list[Arrival], units: list[float], per_s: float) -> list[Arrival]:
    """Scaled so that `units` (one figure a row) arrive at `per_s` a second in the mean."""
    return scaled(rows, sum(units) / per_s / rows[-1].at)


def find(data: Path, *names: str) -> Path:
    """The first of `names` (file name up to the first dot) that the folder or its sub-folder `traces` has; any
    request trace otherwise."""
    stored = requests(folder(data))
    if not stored:
        raise SystemExit(f"no request trace (*.csv.gz) in {data}")
    return next((stored[name] for name in names if name in stored), next(iter(stored.values())))
