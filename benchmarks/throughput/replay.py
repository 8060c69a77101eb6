"""Plays a list of arrivals against a policy in virtual time and reads the figures off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

import numpy as np

from benchmarks.throughput.traces import Arrival
from hapenny.core.errors import Failure
from hapenny.simulation.fleet_provider import Broken, Provider, Throttled
from hapenny.simulation.loop import VirtualClock
from hapenny.studies.arrivals import serve_all

DEADLINE_S = 30.0
MAX_TOKENS = 1024
WARM_S = 120.0


class Turned(Exception):
    """The policy turned the request away; `quota_left` says whether it need not have."""

    def __init__(self, quota_left: bool = False) -> None:
        self.quota_left = quota_left


class Policy(Protocol):
    """Serves one request; raises `Turned`, or anything else when it failed."""

    async def serve(self, arrival: Arrival, deadline: float) -> None: ...


class Record:
    """What became of one request."""

    __slots__ = ("arrived", "ended", "outcome", "units")

    def __init__(self, arrived: float) -> None:
        self.arrived = arrived
        self.ended = 0.0
        self.outcome = "open"
        self.units = 0.0


async def play(
    clock: VirtualClock, rows: Sequence[Arrival], serve: Callable[[Arrival, float], Awaitable[float]]
) -> list[Record]:
    """Sends each row at its time; `serve` returns the settled units of the answer."""
    records: list[Record] = []

    def one(row: Arrival) -> Coroutine[Any, Any, None]:
        record = Record(clock.now())
        records.append(record)
        return served(row, record)

    async def served(row: Arrival, record: Record) -> None:
        try:
            record.units = await serve(row, record.arrived + DEADLINE_S)
            record.outcome = "answer"
        except Turned as turned:
            record.outcome = "shed_with_quota" if turned.quota_left else "shed"
        except Exception:
            record.outcome = "failed"
        record.ended = clock.now()

    await serve_all(clock, ((row.at, row) for row in rows), one)
    return records


def quota_figures(
    records: list[Record], providers: Sequence[Provider], end: float, *, warm: float = WARM_S
) -> dict[str, float]:
    """The issue's figures: `used` from `warm` to the end of arrivals, shares over the whole run."""
    per_s = sum(p.card.tokens_per_minute for p in providers) / 60
    good = [r for r in records if r.outcome == "answer" and r.ended - r.arrived <= DEADLINE_S]
    answers = [r for r in records if r.outcome == "answer"]
    inside = sum(r.units for r in good if warm <= r.ended <= end)
    calls = sum(p.calls for p in providers)
    shed = [r for r in records if r.outcome.startswith("shed")]
    took = [r.ended - r.arrived for r in answers]
    return {
        "used": round(inside / (per_s * (end - warm)), 4) if end > warm else 0.0,
        "upstream_429_share": round(sum(p.throttled for p in providers) / max(1, calls), 4),
        "shed_share": round(len(shed) / len(records), 4),
        "shed_with_quota_left": round(sum(r.outcome == "shed_with_quota" for r in records) / len(records), 4),
        "calls_per_answer": round(calls / max(1, len(answers)), 4),
        "p99_s": round(float(np.percentile(took, 99)), 3) if took else 0.0,
        "p50_s": round(float(np.percentile(took, 50)), 3) if took else 0.0,
        "failed_share": round(sum(r.outcome == "failed" for r in records) / len(records), 4),
    }


async def provider_call(provider: Provider, row: Arrival, on_begin: Callable[[], None] | None = None) -> int:
    """One call, with the provider's refusals as the failures a backend would report."""
    try:
        return await provider.call(row.input, MAX_TOKENS, row.output, on_begin=on_begin)
    except Throttled as error:
        raise Failure("rate_limited", str(error), upstream_status=429) from error
    except Broken as error:
        raise Failure("upstream", str(error), upstream_status=500) from error
