"""Quota control on every trace: what is used of a provider's quota against an oracle that sees the provider's counter.

A request may begin within `BEGIN_S` of its arrival (`begin_by`) and states `LIMIT` as its answer's limit. The trace
runs at the pace at which it asks for so many times the quota. WINDOW_S "60": the provider counts from each full minute;
"1": its counter refills by the second and saves up to a minute. The oracle sees the provider's own counter and serves
in order of arrival whatever has not passed its `begin_by`. What anybody uses counts up to the quota: more is a debt
that a provider's new minute forgives. `shed_with_quota_left`: turned away although the provider's counter would have
covered it then, and all that waited before it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks.scaling.traces import requests
from hapenny.core.errors import Failure
from hapenny.core.exchange import Purpose
from hapenny.simulation import loop
from hapenny.simulation.fleet_provider import Provider, ProviderCard, Throttled
from hapenny.simulation.loop import VirtualClock
from hapenny.simulation.workload.trace import Arrival, from_csv, from_zero
from hapenny.stores.counters import MemoryCounters
from hapenny.studies.arrivals import serve_all
from hapenny.throughput.dispatch import Dispatcher
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.gate import CallOutcome, Gate, Pass
from hapenny.throughput.pools import Pool, QuotaSpec, Used
from hapenny.throughput.queue import Job, Shed
from hapenny.throughput.quota import Quota

BEGIN_S = 30.0
BURNDOWN = 5.0
LOADS = {"1.5": 1.5, "3": 3.0}
WINDOWS = ("1", "60")
SEED = 20_261_130
MINUTES = 15.0
"""How long a cell lasts."""
LIMIT = 1024
"""The answer's limit that requests state; longer answers of a trace end there."""
WARM_S = 120.0


class Cell(NamedTuple):
    """One trace in front of one provider."""

    rows: list[Arrival]
    per_minute: float
    window: Literal["refill", "minute"]


def prepare(path: Path, load: float, window: str, count: int) -> Cell:
    """The first `count` requests of a trace, within `MINUTES`, and a quota of which they ask for `load` times."""
    rows = [Arrival(row.at, row.input, min(LIMIT, max(1, row.output))) for row in from_csv(path)[:count]]
    demand = sum(row.input + BURNDOWN * row.output for row in rows)
    factor = MINUTES * 60 / max(1e-9, rows[-1].at)
    paced = from_zero(Arrival(row.at * factor, row.input, row.output) for row in rows)
    return Cell(paced, demand / MINUTES / load, "minute" if window == "60" else "refill")


def _provider(clock: VirtualClock, cell: Cell) -> Provider:
    return Provider(clock, ProviderCard(tokens_per_minute=cell.per_minute, window=cell.window, burndown=BURNDOWN))


class _Seen:
    """What became of the requests."""

    def __init__(self) -> None:
        self.shed = self.shed_left = self.late = 0
        self.used: list[tuple[float, float]] = []


Serve = Callable[[Arrival, float], Awaitable[None]]


async def _play(clock: VirtualClock, rows: list[Arrival], serve: Serve) -> None:
    async def one(row: Arrival) -> None:
        await serve(row, clock.now() + BEGIN_S)

    await serve_all(clock, ((row.at, row) for row in rows), one)


def ours(cell: Cell) -> dict[str, float]:
    """The production gate and dispatcher with their defaults; the quota and its window as an operator states them."""

    async def main(clock: VirtualClock) -> dict[str, float]:
        provider = _provider(clock, cell)
        spec = QuotaSpec(tokens_per_minute=cell.per_minute, window=cell.window, output_burndown=BURNDOWN)
        quota = Quota(Pool("assumed-model", "us-east-1"), spec, MemoryCounters(clock), clock)
        gate = Gate(clock, [Endpoint("provider", clock, quota=quota)])
        dispatcher: Dispatcher[tuple[asyncio.Task[int], Pass]] = Dispatcher(clock, gate)
        seen = _Seen()

        coming = 0.0  # reserved by calls that have not reached the provider: its counter does not show them yet

        def arrived(units: float) -> None:
            nonlocal coming
            coming -= units

        async def begin(row: Arrival, leave: Pass, begin_by: float) -> tuple[asyncio.Task[int], Pass]:
            nonlocal coming
            units = float(row.input + LIMIT)
            coming += units
            asyncio.get_running_loop().call_later(provider.card.network_s + 0.001, arrived, units)
            began = asyncio.get_running_loop().create_future()

            def on_begin() -> None:
                if not began.done():
                    began.set_result(None)

            call = asyncio.get_running_loop().create_task(
                provider.call(row.input, LIMIT, row.output, on_begin=on_begin)
            )
            call.add_done_callback(lambda task: on_begin())
            await began
            if call.done() and isinstance(call.exception(), Throttled):
                raise Failure("rate_limited", "throttled", upstream_status=429)
            seen.late += clock.now() > begin_by
            return call, leave

        async def serve(row: Arrival, begin_by: float) -> None:
            job = Job(
                input_tokens=row.input, max_tokens=LIMIT, predicted_output=200, begin_by=begin_by,
                finish_by=begin_by + 600,
            )  # fmt: skip
            try:
                call, leave = await dispatcher.begin(job, lambda leave, purpose: _begun(row, leave, purpose))
            except Shed:
                seen.shed += 1
                seen.shed_left += provider.quota.left - coming >= _needed(gate, job)
                return
            except Failure:
                seen.shed += 1
                return
            made = await call
            leave.done(CallOutcome.OK, Used(row.input, made))
            seen.used.append((clock.now(), row.input + BURNDOWN * made))

        async def _begun(row: Arrival, leave: Pass, purpose: Purpose) -> tuple[asyncio.Task[int], Pass]:
            return await begin(row, leave, leave.job.begin_by)

        await _play(clock, cell.rows, serve)
        return _figures(cell, provider, seen)

    return loop.run(main, SEED)


def _needed(gate: Gate, job: Job) -> float:
    """Units that a job and all that wait before it reserve at the provider."""
    before = sum(_reserved(entry.job) for entry in gate.queue.entries() if entry.job.priority <= job.priority)
    return before + _reserved(job)


def _reserved(job: Job) -> float:
    return float(job.input_tokens + job.max_tokens)


def oracle(cell: Cell) -> dict[str, float]:
    """An exact mirror of the provider's counter with a queue in front."""

    async def main(clock: VirtualClock) -> dict[str, float]:
        provider = _provider(clock, cell)
        queue: deque[tuple[float, float, asyncio.Future[bool]]] = deque()
        seen = _Seen()
        coming = 0.0

        def arrived(units: float) -> None:
            nonlocal coming
            coming -= units

        async def pump() -> None:
            nonlocal coming
            while True:
                while queue:
                    need, until, turn = queue[0]
                    late = clock.now() > until - provider.card.ttft_s - provider.card.network_s
                    if not late and provider.quota.left - coming < min(need, provider.quota.most):
                        break
                    queue.popleft()
                    turn.set_result(not late)
                    if not late:
                        coming += need
                        asyncio.get_running_loop().call_later(2 * provider.card.network_s, arrived, need)
                await clock.sleep(0.05)

        async def serve(row: Arrival, begin_by: float) -> None:
            turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            queue.append((float(row.input + LIMIT), begin_by, turn))
            if not await turn:
                seen.shed += 1
                return
            try:
                made = await provider.call(row.input, LIMIT, row.output)
            except Throttled:
                seen.shed += 1
                return
            seen.used.append((clock.now(), row.input + BURNDOWN * made))

        pumping = asyncio.get_running_loop().create_task(pump())
        await _play(clock, cell.rows, serve)
        pumping.cancel()
        return _figures(cell, provider, seen)

    return loop.run(main, SEED)


def _figures(cell: Cell, provider: Provider, seen: _Seen) -> dict[str, float]:
    end = cell.rows[-1].at
    used = sum(units for at, units in seen.used if WARM_S <= at <= end)
    return {
        "used": min(1.0, used / (cell.per_minute / 60 * (end - WARM_S))),
        "http_429": provider.throttled / max(1, provider.calls),
        "shed": seen.shed / len(cell.rows),
        "shed_with_quota_left": seen.shed_left / len(cell.rows),
        "past_begin_by": seen.late / len(cell.rows),
    }


def one(path: Path, load: float, window: str, count: int) -> dict[str, float]:
    """One cell of the table."""
    cell = prepare(path, load, window, count)
    mine = ours(cell)
    best = oracle(cell)["used"]
    return {
        "used_vs_oracle": round(mine["used"] / best, 4) if best else 1.0,
        "http_429": round(mine["http_429"], 4),
        "shed_with_quota_left": round(mine["shed_with_quota_left"], 4),
        "past_begin_by": round(mine["past_begin_by"], 4),
        "used": round(mine["used"], 4),
        "oracle_used": round(best, 4),
        "shed": round(mine["shed"], 4),
    }


def cells(data: Path) -> list[tuple[str, Path, str, str]]:
    """Trace, file, window and load of each cell."""
    return [(name, path, window, load) for name, path in requests(data).items() for window in WINDOWS for load in LOADS]


def run(data: Path, pool: Executor, count: int) -> Callable[[], dict[str, Any]]:
    """Starts the section `quota`; the result is called for when all else has been started."""
    running = [
        (name, window, load, pool.submit(one, path, LOADS[load], window, count))
        for name, path, window, load in cells(data)
    ]

    def collect() -> dict[str, Any]:
        table: dict[str, Any] = {}
        for name, window, load, cell in running:
            table.setdefault(name, {}).setdefault(window, {})[load] = cell.result()
        return table

    return collect
