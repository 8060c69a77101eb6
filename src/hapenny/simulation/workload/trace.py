"""Traces of requests: when each came, and its tokens. Read from a CSV file."""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct


class Arrival(Struct, frozen=True):
    """A request: seconds from the first one, tokens in and out."""

    at: float
    input: int
    output: int
    cached: int = 0
    """Of the input, read from the provider's prompt cache."""


MOST_TOKENS = 100_000_000
"""Tokens of a prompt or an answer above which a line cannot be true."""
_WANTED = "columns timestamp_s, input_tokens and output_tokens, separated by commas"
_COUNTS = ("input_tokens", "output_tokens", "cached_tokens")


def from_csv(path: Path) -> list[Arrival]:
    """The arrivals of a CSV file (gzipped or not) with the columns `timestamp_s` (or `timestamp`), `input_tokens`,
    `output_tokens` and, where there is one, `cached_tokens`.

    Raises:
        ValueError: a column or a number is missing; the message says where, and the fix.
        OSError: the file cannot be read.
    """
    try:
        arrivals = list(_arrivals(path))
    except (UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError, csv.Error) as error:
        raise ValueError(f"{path}: no text of lines ({error}). Fix: a CSV file with {_WANTED}, or its gzip") from None
    if not arrivals:
        raise ValueError(f"{path}: no requests. Fix: a line each, below the names of the columns")
    return from_zero(arrivals)


def _arrivals(path: Path) -> Iterator[Arrival]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with (
        gzip.open(path, "rt", encoding="utf-8-sig", newline="")
        if packed
        else path.open(encoding="utf-8-sig", newline="")
    ) as lines:
        rows = csv.DictReader(lines)
        names = rows.fieldnames or ()
        clock = next((name for name in ("timestamp_s", "timestamp") if name in names), None)
        missing = [name for name in _COUNTS[:2] if name not in names]
        if names and (clock is None or missing):
            lacks = ", ".join([*missing, *(["timestamp_s"] if clock is None else [])])
            raise ValueError(f"{path}: no column {lacks} among {', '.join(map(str, names))[:200]}. Fix: {_WANTED}")
        for number, row in enumerate(rows, 2):
            where = f"{path}, line {number}"
            at = _number(row.get(clock or ""), where, clock or "", float)
            sizes = [_number(row[name], where, name, int) for name in _COUNTS if row.get(name) or name in _COUNTS[:2]]
            yield Arrival(at, *map(int, sizes))


def _number(text: str | None, where: str, name: str, kind: type[int] | type[float]) -> float:
    """A number of a line. Raises `ValueError`."""
    try:
        value = kind(text or "")
        if math.isfinite(value) and (kind is float or 0 <= value <= MOST_TOKENS):
            return value
    except (ValueError, OverflowError):
        pass
    fix = "seconds" if kind is float else f"a whole number from 0 to {MOST_TOKENS:,}"
    raise ValueError(f"{where}: {name} is {(text or '')[:40]!r}. Fix: {fix}")


def from_zero(arrivals: Iterable[Arrival]) -> list[Arrival]:
    """Arrivals in order, times counted from the first."""
    ordered = sorted(arrivals, key=lambda arrival: arrival.at)
    first = ordered[0].at
    return [Arrival(each.at - first, each.input, each.output, each.cached) for each in ordered]
