"""Traces of requests: when each came, and its tokens. Read from a CSV file."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct


class Arrival(Struct, frozen=True):
    """A request: seconds from the first one, tokens in and out."""

    at: float
    input: int
    output: int
    cached: int = 0
    """Of the input, read from the provider's prompt cache."""


def from_csv(path: Path) -> list[Arrival]:
    """The arrivals of a CSV file (gzipped or not) with the columns `timestamp_s` (or `timestamp`), `input_tokens`,
    `output_tokens` and, where there is one, `cached_tokens`.

    Raises:
        ValueError: a column or a number is missing; the message says where.
        OSError: the file cannot be read.
    """
    arrivals = []
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), 2):
            try:
                at = float(row.get("timestamp_s") or row["timestamp"])
                sizes = int(row["input_tokens"]), int(row["output_tokens"]), int(row.get("cached_tokens") or 0)
                if not math.isfinite(at) or min(sizes) < 0:
                    raise ValueError
            except (KeyError, TypeError, ValueError):
                wanted = "columns timestamp_s, input_tokens and output_tokens, with numbers"
                raise ValueError(f"{path}, line {number}: not a request. Fix: {wanted}") from None
            arrivals.append(Arrival(at, *sizes))
    if not arrivals:
        raise ValueError(f"{path}: no requests. Fix: a line each, below the names of the columns")
    return from_zero(arrivals)


def from_zero(arrivals: Iterable[Arrival]) -> list[Arrival]:
    """Arrivals in order, times counted from the first."""
    ordered = sorted(arrivals, key=lambda arrival: arrival.at)
    first = ordered[0].at
    return [Arrival(each.at - first, each.input, each.output, each.cached) for each in ordered]
