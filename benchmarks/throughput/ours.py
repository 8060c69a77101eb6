"""The production gate and dispatcher as a policy."""

from __future__ import annotations

import asyncio

from benchmarks.throughput.replay import MAX_TOKENS, Turned, provider_call
from benchmarks.throughput.traces import Arrival
from hapenny.core.clock import Clock
from hapenny.core.exchange import Purpose
from hapenny.simulation.fleet_provider import Provider
from hapenny.throughput.dispatch import Dispatcher
from hapenny.throughput.gate import CallOutcome, Gate, Pass
from hapenny.throughput.pools import Used
from hapenny.throughput.queue import Job, Shed


class Hapenny:
    """Serves arrivals through a `Dispatcher`; `providers` by endpoint name."""

    def __init__(
        self, clock: Clock, dispatcher: Dispatcher[tuple[asyncio.Task[int], Pass]], providers: dict[str, Provider]
    ) -> None:
        self.clock = clock
        self.dispatcher = dispatcher
        self.providers = providers
        self.first_tokens: list[float] = []
        self.extra: list[float] = []  # when calls beyond a request's first were made

    @property
    def gate(self) -> Gate:
        """The dispatcher's gate."""
        return self.dispatcher.gate

    async def serve(self, row: Arrival, deadline: float, *, leaves: float | None = None) -> float:
        """One request; returns the answer's settled units. `leaves`: the client leaves after this share of it; what
        was generated is then counted from the stream, with an estimator's error of 3 %."""
        job = Job(
            input_tokens=row.input, max_tokens=MAX_TOKENS, predicted_output=200, begin_by=deadline, finish_by=deadline
        )
        started = self.clock.now()
        try:
            call, leave = await self.dispatcher.begin(job, lambda leave, purpose: self._begin(row, leave, purpose))
        except Shed as shed:
            raise Turned(self._quota_left(job)) from shed
        self.first_tokens.append(self.clock.now() - started)
        try:
            if leaves is not None:
                seen = int(row.output * leaves)
                await asyncio.wait([call], timeout=seen / 80.0)
                if call.cancel():
                    await asyncio.wait([call])
                    used = Used(row.input, round(seen * self.clock.random.lognormvariate(0.0, 0.03)))
                    leave.done(CallOutcome.ABANDONED, used)
                    return self._units(leave, used)
            made = await call
        except BaseException:
            leave.done(CallOutcome.FAILED)
            raise
        used = Used(row.input, made)
        leave.done(CallOutcome.OK, used)
        return self._units(leave, used)

    def _units(self, leave: Pass, used: Used) -> float:
        quota = leave.endpoint.quota
        return quota.settled_units(used) if quota is not None else float(used.input + used.output)

    async def _begin(self, row: Arrival, leave: Pass, purpose: Purpose) -> tuple[asyncio.Task[int], Pass]:
        if purpose != "serve":
            self.extra.append(self.clock.now())
        began = asyncio.Event()
        provider = self.providers[leave.endpoint.name]
        call = asyncio.get_running_loop().create_task(provider_call(provider, row, began.set))
        begin = asyncio.get_running_loop().create_task(began.wait())
        try:
            await asyncio.wait([call, begin], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            call.cancel()
            raise
        finally:
            begin.cancel()
        if call.done():
            call.result()
        return call, leave

    def _quota_left(self, job: Job) -> bool:
        """Whether what the provider has left now would cover this job and everything queued before it."""
        _, ahead = self.gate.queue.ahead(int(job.priority))
        need = job.input_tokens + job.max_tokens
        return any(p.quota.left >= ahead + need for p in self.providers.values())
