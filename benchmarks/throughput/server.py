"""Own servers: adaptive limits against the best fixed limit in hindsight, behind the same queue.

Goodput: answers a second whose first token came within `SLO_TTFT_S` of the arrival and whose further tokens came at
`SLO_TPOT_S` or faster. Load 1x is the goodput that the best fixed limit reaches when far more is offered, so loads are
relative to what the server can do within the SLO.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from benchmarks.throughput.rivals import Aimd, AsLimit, Gradient2, Vegas
from benchmarks.throughput.traces import Arrival, scaled
from hapenny.core.exchange import Purpose
from hapenny.simulation import loop
from hapenny.simulation.fleet_server import Server
from hapenny.simulation.loop import VirtualClock
from hapenny.throughput.aimd import AimdLimit
from hapenny.throughput.concurrency import SLO, ConcurrencyLimit, FixedLimit
from hapenny.throughput.dispatch import Dispatcher
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.gate import CallOutcome, Gate, GateSpec, Pass
from hapenny.throughput.pools import Used
from hapenny.throughput.queue import Job, Shed

SLO_TTFT_S = 2.0
SLO_TPOT_S = 0.05
FIXED = (4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 48, 64, 96)
KINDS: dict[str, Callable[[VirtualClock], ConcurrencyLimit]] = {
    "hapenny": lambda clock: AimdLimit(clock, SLO(ttft_s=SLO_TTFT_S / 2, tpot_s=SLO_TPOT_S)),
    "aimd": lambda clock: AsLimit(Aimd(), clock),
    "gradient2": lambda clock: AsLimit(Gradient2(), clock),
    "vegas": lambda clock: AsLimit(Vegas(), clock),
}


class _Call:
    def __init__(self) -> None:
        self.began: asyncio.Event = asyncio.Event()
        self.first = 0.0


def goodput(rows: list[Arrival], kind: Callable[[VirtualClock], ConcurrencyLimit], seed: int) -> dict[str, float]:
    """Plays the rows against one server under one limit."""

    async def main(clock: VirtualClock) -> dict[str, float]:
        server = Server(clock)
        limit = kind(clock)
        gate = Gate(clock, [Endpoint("server", clock, limit=limit)], GateSpec(tokens_per_s=25.0))
        dispatcher: Dispatcher[tuple[asyncio.Task[int], Pass, _Call]] = Dispatcher(clock, gate)
        good: list[float] = []
        counts = {"shed": 0, "answers": 0}

        async def begin(row: Arrival, leave: Pass) -> tuple[asyncio.Task[int], Pass, _Call]:
            call = _Call()

            def began() -> None:
                call.first = clock.now()
                call.began.set()

            task = asyncio.create_task(server.call(row.input, 1024, row.output, on_begin=began))
            try:
                await call.began.wait()
            except asyncio.CancelledError:
                task.cancel()
                raise
            return task, leave, call

        async def one(row: Arrival) -> None:
            arrived = clock.now()
            job = Job(input_tokens=row.input, max_tokens=1024, predicted_output=200, begin_by=arrived + SLO_TTFT_S)

            def attempt(leave: Pass, purpose: Purpose) -> asyncio.Future[tuple[asyncio.Task[int], Pass, _Call]]:
                return asyncio.ensure_future(begin(row, leave))

            try:
                task, leave, call = await dispatcher.begin(job, attempt)
            except Shed:
                counts["shed"] += 1
                return
            made = await task
            leave.done(CallOutcome.OK, Used(row.input, made))
            counts["answers"] += 1
            pace = (clock.now() - call.first) / max(1, made - 1)
            if call.first - arrived <= SLO_TTFT_S and pace <= SLO_TPOT_S:
                good.append(clock.now())

        tasks: set[asyncio.Task[None]] = set()
        for row in rows:
            if row.at > clock.now():
                await clock.sleep(row.at - clock.now())
            task = asyncio.create_task(one(row))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        end = clock.now()
        if tasks:
            await asyncio.wait(list(tasks))
        return {
            "goodput": sum(at <= end for at in good) / end,
            "shed_share": counts["shed"] / len(rows),
            "limit": float(limit.limit),
            "preemptions": float(server.preemptions),
        }

    return loop.run(main, seed)


def at_rate(rows: list[Arrival], per_s: float, seconds: float) -> list[Arrival]:
    """`seconds` of the rows at `per_s` requests a second in the mean, repeating them if they are too few."""
    whole = scaled(rows, len(rows) / per_s / rows[-1].at)
    span = whole[-1].at + 1.0 / per_s
    repeats = int(seconds // span) + 1
    return [r._replace(at=r.at + k * span) for k in range(repeats) for r in whole if r.at + k * span < seconds]


def capacity(rows: list[Arrival], seconds: float, seed: int) -> float:
    """Answers a second within the SLO that the best fixed limit makes when too much is offered."""
    flood = at_rate(rows, 12.0, seconds)
    return max(goodput(flood, lambda clock, n=n: FixedLimit(n), seed)["goodput"] for n in FIXED)  # type: ignore[misc]


def doubled(rows: list[Arrival]) -> list[Arrival]:
    """Outputs twice as long from half-way on."""
    half = rows[-1].at / 2
    return [r._replace(output=min(1024, 2 * r.output)) if r.at > half else r for r in rows]
