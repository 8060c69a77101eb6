"""CloudWatch metrics by the Embedded Metric Format: a line of JSON a minute for each model and feature.

CloudWatch makes metrics of such lines where logs go there anyway (Lambda, ECS, the agent): no call is made. Lines may
come twice there, so that no money is in them: money is the ledger's. A metric has at most 100 values a line, a line
is far below 256 KB, and at most `SERIES` pairs of model and feature are told apart in a minute.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from hapenny.core.clock import Clock
from hapenny.core.log import get_logger
from hapenny.stores import private
from hapenny.telemetry.rows import Row

VALUES = 100
SERIES = 200
UNITS = {
    "Requests": "Count", "Failed": "Count", "CacheHits": "Count", "InputTokens": "Count", "OutputTokens": "Count",
    "CacheReadTokens": "Count", "TimeToFirstToken": "Milliseconds", "Latency": "Milliseconds",
}  # fmt: skip
"""Metric -> unit."""
DIMENSIONS = (("Model", "Feature"), ("Model",), ("Feature",))
_log = get_logger("hapenny.emf")


class EmfOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where lines of the Embedded Metric Format go."""

    path: Annotated[str, Meta(description="A file that lines are appended to; `-` is standard output.")] = "-"
    namespace: Annotated[str, Meta(description="The CloudWatch namespace.")] = "hapenny"
    every_s: Annotated[float, Meta(description="How often a line is written, seconds.")] = 60.0

    def __post_init__(self) -> None:
        if not self.path or not self.namespace or len(self.namespace) > 255:
            raise ValueError("path and namespace: both have to be given, a namespace in at most 255 characters")
        if not 1 <= self.every_s <= 3_600:
            raise ValueError(f"every_s: {self.every_s:g} is not within 1 and 3600 seconds")


class Emf:
    """Collects and writes them.

    Args:
        options: where and how often.
        clock: the deployment's clock.
    """

    def __init__(self, options: EmfOptions, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._since = clock.now()
        self._series: dict[tuple[str, str], _Series] = {}
        self.failed = 0
        """Times that lines could not be written: they are lost."""
        if options.path != "-":
            private.file(options.path)

    def observe(self, row: Row) -> None:
        """Counts a finished request of a client. Never raises."""
        if not row.background:
            name = ("cache" if row.cache_hit else row.model_served or "none", row.feature or "none")
            if name not in self._series and len(self._series) >= SERIES:
                name = ("other", "other")
            (self._series.get(name) or self._series.setdefault(name, _Series())).add(row)
        if self._clock.now() - self._since >= self._options.every_s:
            self.flush()

    def flush(self) -> None:
        """Writes what was counted. Never raises."""
        self._since = self._clock.now()
        series, self._series = self._series, {}
        if not series:
            return
        wall = int(self._clock.wall() * 1_000)
        text = b"".join(line(self._options.namespace, wall, *name, each.metrics()) for name, each in series.items())
        try:
            if self._options.path == "-":
                sys.stdout.buffer.write(text)
                sys.stdout.flush()
            else:
                place = os.open(self._options.path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
                try:
                    os.write(place, text)
                finally:
                    os.close(place)
        except (OSError, ValueError) as error:
            self.failed += 1
            _log.error("metrics cannot be written", path=self._options.path, error=type(error).__name__)


def line(namespace: str, wall: int, model: str, feature: str, metrics: dict[str, Any]) -> bytes:
    """One line: `wall` in milliseconds, `metrics` by name, a number or up to `VALUES` of them."""
    told: dict[str, Any] = {
        "_aws": {
            "Timestamp": wall,
            "CloudWatchMetrics": [
                {
                    "Namespace": namespace,
                    "Dimensions": DIMENSIONS,
                    "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in metrics],
                }
            ],
        },
        "Model": model[:200],
        "Feature": feature[:200],
        **metrics,
    }
    return msgspec.json.encode(told) + b"\n"


class _Series:
    """Sums and samples of one model and feature."""

    __slots__ = ("first", "seen", "sums", "whole")

    def __init__(self) -> None:
        self.sums = dict.fromkeys(
            ("Requests", "Failed", "CacheHits", "InputTokens", "OutputTokens", "CacheReadTokens"), 0
        )
        self.first: list[float] = []
        self.whole: list[float] = []
        self.seen = 0

    def add(self, row: Row) -> None:
        sums = self.sums
        sums["Requests"] += 1
        sums["Failed"] += row.outcome == "failed"
        sums["CacheHits"] += row.cache_hit
        for call in row.calls:
            sums["InputTokens"] += call.input
            sums["OutputTokens"] += call.output
            sums["CacheReadTokens"] += call.cache_read
        self.seen += 1
        place = self.seen % VALUES  # of more than a line takes, the newest stand for the others
        for kept, value in ((self.first, row.ttft), (self.whole, row.e2e)):
            if value is None:
                continue
            if len(kept) < VALUES:
                kept.append(round(value * 1e3, 3))
            else:
                kept[place] = round(value * 1e3, 3)

    def metrics(self) -> dict[str, Any]:
        values: dict[str, Any] = dict(self.sums)
        if self.first:
            values["TimeToFirstToken"] = self.first
        if self.whole:
            values["Latency"] = self.whole
        return values
