"""The local engine: records are sent one by one, as many at once as the upstream takes, each result kept at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias

from hapenny.batch.records import Record, Result
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.permit import Withheld
from hapenny.throughput.aimd import AimdLimit
from hapenny.throughput.concurrency import SLO, ConcurrencyLimit, Sample

Invoke: TypeAlias = Callable[[Record], Awaitable[dict[str, Any]]]
"""Answers a record, which names its model."""
Keep: TypeAlias = Callable[[Result], bool]
"""Takes a result; whether it is on disk."""


class Before(Protocol):
    """Is asked right before a record is sent, in the task that sends it."""

    async def take(self, record: Record) -> bool:
        """Whether it may be sent. One that may not is left out."""
        ...

    def back(self, record: Record) -> None:
        """It was not taken: its call is over and nothing was paid."""
        ...


class Local:
    """Sends records with `invoke`, through the gateway at background priority and flex tier.

    Args:
        invoke: answers a record.
        clock: the deployment's.
        per_s: records a second it is sure to manage, for planning (16 at once of 4 s each; assumed); it learns better.
        limit: calls at once, adaptive on refusals and, by `SLO(ttft_s)`, on slow answers.
    """

    def __init__(
        self, invoke: Invoke, clock: Clock, *, per_s: float = 4.0, limit: ConcurrencyLimit | None = None
    ) -> None:
        self._invoke = invoke
        self._clock = clock
        self._limit = limit or AimdLimit(clock, SLO(ttft_s=60.0, tpot_s=1.0), initial=16, most=256)
        self.per_s = per_s
        self._busy = 0  # calls in flight over all batches

    def seconds(self, records: int) -> float:
        """How long `records` will take, with half as much again to be safe."""
        return 1.5 * records / self.per_s

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._busy -= 1

    async def run(self, records: Sequence[Record], keep: Keep, until: float, before: Before | None = None) -> None:
        """Sends all records that `before` lets through; `keep` gets each result as it comes. Nothing new is begun after
        `until` (wall), nor once a result could not be written: what was begun is waited for, since it is paid."""
        waiting = list(reversed(records))
        running: set[asyncio.Task[None]] = set()
        started, finished = self._clock.now(), 0
        pause, halted = 0.0, False

        async def one(record: Record) -> None:
            nonlocal finished, pause, halted
            if before is not None and not await before.take(record):
                return
            begin, busy = self._clock.now(), self._busy
            try:
                output = await self._invoke(record)
            except Withheld:
                if before is not None:
                    before.back(record)
                return
            except Failure as failure:
                self._limit.observe(Sample(0.0, None, busy, dropped=True))
                if failure.kind in ("rate_limited", "overloaded", "unavailable", "timeout"):
                    if before is not None:
                        before.back(record)
                    waiting.append(record)  # not the record's fault: it waits for a better time
                    pause = max(pause, min(30.0, failure.retry_after or 0.5))
                    return
                halted |= not keep(Result(record.id, error=failure.message, retryable=failure.retryable))
                return
            took = self._clock.now() - begin
            self._limit.observe(Sample(took, None, busy, took_s=took))
            finished += 1
            halted |= not keep(Result(record.id, output=output))

        def more() -> bool:
            return bool(waiting) and not halted and self._clock.wall() < until

        try:
            while more() or running:
                if pause > 0:
                    seconds, pause = pause, 0.0
                    await self._clock.sleep(seconds)
                while more() and self._busy < self._limit.limit:
                    self._busy += 1
                    task = asyncio.get_running_loop().create_task(one(waiting.pop()))
                    task.add_done_callback(self._ended)
                    running.add(task)
                if running:
                    done, _ = await asyncio.wait(list(running), return_when=asyncio.FIRST_COMPLETED)
                    running -= done
                    for task in done:
                        task.result()
                elif more():
                    await self._clock.sleep(0.05)  # other batches have all places
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)  # their last results must be kept before we go
        elapsed = self._clock.now() - started
        if finished >= 10 and elapsed > 0:
            self.per_s += 0.5 * (finished / elapsed - self.per_s)
