"""What roll-ups hold, as typed data. Money in nano-dollars, times in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct, field

from hapenny.telemetry.figures import Latency


class Totals(Struct, kw_only=True):
    """Rows in sum. `requests` are clients' requests; money is of background work too, which stands apart as well."""

    requests: int = 0
    failed: int = 0
    refused: int = 0
    left_midway: int = 0
    streamed: int = 0
    hits: int = 0
    unpriced: int = 0
    estimated: int = 0
    violations: int = 0
    baseline: int = 0
    saved: int = 0
    error: int = 0
    off: int = 0
    """Sum of absolute estimate errors."""
    actual: int = 0
    prompt: int = 0
    output: int = 0
    ttft_n: int = 0
    e2e_n: int = 0
    background_requests: int = 0
    background_actual: int = 0
    ttft: Latency = field(default_factory=lambda: Latency(count=0))
    e2e: Latency = field(default_factory=lambda: Latency(count=0))
    ttft_under_3: float | None = None
    e2e_under_1_5: float | None = None
    e2e_under_3: float | None = None

    @property
    def saved_share(self) -> float:
        """Savings as a share of the baseline; 0 where there is none."""
        return self.saved / self.baseline if self.baseline else 0.0


class Spot(Struct, kw_only=True):
    """A part of the course: `at` its start, `span` its length, seconds."""

    at: int
    span: int
    totals: Totals


class Grouped(Struct, kw_only=True):
    """Rows that share a label; `course` is what was paid over equal parts of the range."""

    name: str
    totals: Totals
    course: list[int]
    others: bool = False
    """Whether it stands for many that are not shown."""
    begun: bool = False
    """Whether the last part of the course has only begun: drawn, it would look like a fall."""

    @property
    def drawn(self) -> list[int]:
        """The course without a part that has only begun."""
        return self.course[:-1] if self.begun else self.course


class Saving(Struct, kw_only=True):
    """What a technique saved, less its own cost; `course` by start of the span."""

    name: str
    requests: int = 0
    saved: int = 0
    own: int = 0
    course: dict[int, int] = {}


class Called(Struct, kw_only=True):
    """Calls to a model of one region, service tier and purpose."""

    model: str
    region: str
    tier: str
    purpose: str
    calls: int = 0
    failed: int = 0
    cost: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    ttft_p50: float | None = None
    ttft_p95: float | None = None

    def add(self, more: Sequence[int]) -> None:
        """Adds calls, failed, cost, input, output, cache_read, cache_write, reasoning."""
        for name, value in zip(_ADDED, more, strict=True):
            setattr(self, name, getattr(self, name) + value)


_ADDED = ("calls", "failed", "cost", "input", "output", "cache_read", "cache_write", "reasoning")


class Counted(NamedTuple):
    """How often something was counted on a route in an hour, and what it saved."""

    route: str
    name: str
    at: int
    requests: int
    nano: int
