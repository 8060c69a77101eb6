"""The gate in front of a model's endpoints: quota, concurrency, queue and deadline-aware admission in one place.

A job that can start starts at once. Else its wait is estimated from what is queued before it and how fast the quota
refills or places become free; a job that could not begin in time is turned away at once with the time to come back,
instead of dying in the queue. What waits is served in `FairQueue`'s order.
"""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from hapenny.core.clock import Clock
from hapenny.core.guard import Guard
from hapenny.core.stage_spec import INSIDE
from hapenny.stores.counters import Ticket
from hapenny.throughput.balance import Balancer
from hapenny.throughput.concurrency import Sample
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.pools import Used
from hapenny.throughput.queue import Entry, FairQueue, Job, Priority, Shed, ShedKind
from hapenny.throughput.waits import Waits

NOTHING = Used(0, 0)
_NOTHING_TAKEN = Ticket("", ())


class CallOutcome(enum.Enum):
    """How a call ended, as far as the gate cares."""

    OK = "ok"
    THROTTLED = "throttled"  # the provider's quota refused it
    FAILED = "failed"  # the upstream's fault
    REFUSED = "refused"  # the provider refuses the gateway's account
    DENIED = "denied"  # the same, but perhaps for this request alone
    ABANDONED = "abandoned"  # the client left, or a hedge lost
    UNCALLED = "uncalled"  # given back before any call


class GateSpec(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The queue in front of a full quota."""

    patience_s: Annotated[
        float | None,
        Meta(
            description="The longest wait worth starting, where the deadline would allow more. Left out: until the "
            "deadline for a known quota or a place, 2 s for a provider that refuses or a quota that is only learnt.",
        ),
    ] = None
    queue: Annotated[int, Meta(description="Requests that may wait at once.")] = 10_000
    ttft_s: Annotated[
        float,
        Meta(description="Time to first token that is expected before any was measured.", extra=INSIDE),
    ] = 0.5
    tokens_per_s: Annotated[float, Meta(description="Tokens of an answer a second, likewise.", extra=INSIDE)] = 80.0
    prompt_tokens_per_s: Annotated[
        float,
        Meta(description="Tokens of a prompt a second, likewise.", extra=INSIDE),
    ] = 4_000.0
    group_prefixes: Annotated[
        int,
        Meta(description="Requests in a row that may be let go first because their prefix is the same.", extra=INSIDE),
    ] = 4
    preempt: Annotated[
        bool,
        Meta(
            description="Let a short urgent request go before a long one of low priority that has not begun to answer.",
        ),
    ] = True


class Pass:
    """Leave to make one call at `endpoint`. Call `begun` at the first content and `done` exactly once."""

    __slots__ = (
        "_gate", "_granted", "_ttft", "_yield", "endpoint", "held", "inflight", "job", "open", "probe", "ticket",
    )  # fmt: skip

    def __init__(self, gate: Gate, job: Job, endpoint: Endpoint, ticket: Ticket) -> None:
        self._gate = gate
        self.job = job
        self.endpoint = endpoint
        self.ticket = ticket
        self.probe = endpoint.breaker.start()
        self.open = True
        self._granted = gate.clock.now()
        self._ttft: float | None = None
        self._yield: Callable[[], None] | None = None
        self.held = job.reserved
        self.inflight = endpoint.enter(self._granted, self.held)

    def on_yield(self, give_up: Callable[[], None]) -> None:
        """`give_up` is called if this call should make room for an urgent one before its first token."""
        self._yield = give_up

    def accepted(self) -> None:
        """The provider took the call and is silent; the client was told: it cannot make room any more."""
        self._yield = None

    def begun(self) -> None:
        """The first content arrived."""
        if self._ttft is None:
            self._ttft = self._gate.clock.now() - self._granted
            if len(self._gate.endpoints) > 1:  # its load is compared with others'
                self.endpoint.observe(self._ttft)
            if self.endpoint.timed and self.job.streamed:
                self.endpoint.speed.began(self._gate.clock.now(), self._ttft)
            if self.endpoint.quota is not None:
                self.endpoint.quota.accepted(self._granted)
            self._gate.unbegun.pop(id(self), None)
            if self.probe:  # its first content is proof enough: nobody waits for the last
                self.probe = False
                self.endpoint.breaker.succeeded(True)
                self._gate.wake()

    def done(self, outcome: CallOutcome, used: Used = NOTHING, retry_after: float | None = None) -> None:
        """The call is over. Synchronous and idempotent: quota, place and verdict are settled here.

        `retry_after`: seconds after which a provider that refused the call wants to be asked again, if it said so.
        """
        if self.open:
            self.open = False
            self._gate.settle(self, outcome, used, self._ttft, self._granted, retry_after)

    def give_up(self) -> bool:
        """Asks the caller to yield; False if it cannot any more."""
        if self._yield is None or self._ttft is not None or not self.open:
            return False
        give_up, self._yield = self._yield, None
        give_up()
        return True


class Gate:
    """The gate of one model. `counts` holds running totals for measures: granted, queued, shed, preempted."""

    def __init__(
        self,
        clock: Clock,
        endpoints: Sequence[Endpoint],
        spec: GateSpec | None = None,
        *,
        balancer: Balancer | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.clock = clock
        self.spec = spec or GateSpec()
        self.endpoints = list(endpoints)
        self.balancer = balancer or Balancer(clock)
        self.queue = FairQueue(
            run=self.spec.group_prefixes,
            tokens_per_s=self.spec.tokens_per_s,
            prompt_tokens_per_s=self.spec.prompt_tokens_per_s,
        )
        self.unbegun: dict[int, Pass] = {}
        self.counts = {"granted": 0, "queued": 0, "shed": 0, "preempted": 0}
        self._waiters: dict[int, asyncio.Future[Pass]] = {}
        self._wake: asyncio.Event = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self.waits = Waits(clock, self.endpoints, self.spec.ttft_s, 1.0 / self.spec.tokens_per_s)
        self._guard = guard or Guard("queue of a model", clock)

    @property
    def metered(self) -> bool:
        """Whether it matters how big a job is: somewhere a quota or a concurrency limit is to be kept."""
        for endpoint in self.endpoints:
            if endpoint.limit is not None or (endpoint.quota is not None and endpoint.quota.metered):
                return True
        return False

    @property
    def clear(self) -> bool:
        """Whether a call may start at once, whatever its size: there is one place, nobody waits for it, no limit of it
        is known, and it works."""
        if self._waiters or len(self.endpoints) != 1:
            return False
        endpoint = self.endpoints[0]
        quota = endpoint.quota
        return endpoint.limit is None and endpoint.breaker.state == "closed" and (quota is None or quota.unknown)

    def at_once(self, job: Job) -> Pass:
        """Leave for a call through a gate that is `clear`."""
        endpoint = self.endpoints[0]
        if endpoint.quota is not None:
            endpoint.quota.pass_by(job)
        return self._grant(job, endpoint, _NOTHING_TAKEN)

    async def spare(self, job: Job, *, other_than: str, level: float = 0.2) -> Pass | None:
        """Leave for an extra call (a hedge), only if nobody waits and more than `level` of the quota is left."""
        if self._waiters:
            return None
        for endpoint in self.balancer.order(self.endpoints, job, last=other_than):
            if endpoint.breaker.state == "open":
                continue
            if endpoint.quota is None:
                return self._grant(job, endpoint, Ticket("", ()))
            grant = await endpoint.quota.reserve(job)
            if grant.ticket is None:
                continue
            if grant.level < level or endpoint.free < 1:
                endpoint.quota.cancelled(grant.ticket)
                continue
            return self._grant(job, endpoint, grant.ticket)
        return None

    async def enter(
        self, job: Job, *, last: str = "", returning: bool = False, patience_s: float | None = None
    ) -> Pass:
        """Waits for leave to call, or raises `Shed` at once when no answer could begin in time.

        `last`: the endpoint that has just failed this job. `returning`: the job had leave before (it yielded) and is
        judged by its deadline alone. `patience_s`: instead of the gate's own, for one that was throttled. Cancelling
        while it waits gives its place up.
        """
        job.arrived = job.arrived or self.clock.now()
        quota = self.endpoints[0].quota
        if quota is not None:
            job.cost = quota.expected_units(job)
        wait = 0.0
        if not self._waiters:
            leave, wait = await self._try(job, last)
            if leave is not None:
                self.waits.none(job)
                return leave
            self.waits.head(wait if wait < math.inf else 0.0, job.cost)
        estimate = self.estimate(job)
        if self._refused():  # waiting mends no account
            raise self._shed(estimate, 0.0)
        patience = math.inf if returning else patience_s
        if patience is None:
            patience = self.waits.patience(self.spec.patience_s)
        allowed = min(self._allowed(job), patience, job.patience)
        if not returning:
            allowed = self.waits.worth(job, estimate, allowed)
        # A place that is made is free as soon as the other call has gone.
        room = job.priority == Priority.URGENT and self._make_room(job)
        if not room and (estimate > allowed or len(self.queue) >= self.spec.queue):
            raise self._shed(estimate, allowed)
        return await self._wait(job, min(3 * patience, job.patience))

    def estimate(self, job: Job) -> float:
        """Seconds until `job` could start if it joined the queue now."""
        return self.waits.estimate(job, self.queue, idle=not self._waiters)

    def settle(
        self,
        leave: Pass,
        outcome: CallOutcome,
        used: Used,
        ttft: float | None,
        granted: float,
        retry_after: float | None = None,
    ) -> None:
        """Books the end of a call; `Pass.done` calls it."""
        endpoint, job, now = leave.endpoint, leave.job, self.clock.now()
        self.unbegun.pop(id(leave), None)
        quota, breaker = endpoint.quota, endpoint.breaker
        settled = quota.settled_units(used) if quota is not None else float(used.input + used.output)
        endpoint.leave(now, leave.held, settled, now - granted)
        if quota is not None:
            if outcome is CallOutcome.THROTTLED:
                quota.refused(job, leave.ticket, granted, retry_after)
            elif outcome is CallOutcome.UNCALLED:
                quota.cancelled(leave.ticket)
            else:
                quota.settle(job, leave.ticket, used)
        if outcome is CallOutcome.OK:
            breaker.succeeded(leave.probe)
            self._learn(leave, used, ttft, now - granted)
        elif outcome is CallOutcome.FAILED:
            breaker.failed(leave.probe)
            if breaker.outlier([other.breaker for other in self.endpoints]):
                breaker.eject()
        elif outcome in (CallOutcome.REFUSED, CallOutcome.DENIED):
            breaker.refused(leave.probe, whole=outcome is CallOutcome.REFUSED)
        else:
            breaker.cancelled(leave.probe)
        if outcome in (CallOutcome.OK, CallOutcome.ABANDONED, CallOutcome.FAILED):
            self.waits.ended(endpoint)
        if outcome in (CallOutcome.FAILED, CallOutcome.THROTTLED) and endpoint.limit is not None:
            endpoint.limit.observe(Sample(now - granted, None, leave.inflight, True, now - granted))
        self._wake.set()

    def wake(self) -> None:
        """Something changed that waiting jobs may profit from."""
        self._wake.set()

    def _learn(self, leave: Pass, used: Used, ttft: float | None, took: float) -> None:
        first = took if ttft is None else ttft
        tpot = (took - first) / (used.output - 1) if used.output > 1 and ttft is not None else None
        self.waits.answered(first, tpot)
        if leave.endpoint.timed:
            after = took - first if leave.job.streamed else None
            leave.endpoint.speed.ended(self.clock.now(), took, after, used.output)
        if leave.endpoint.limit is not None:
            leave.endpoint.limit.observe(Sample(first, tpot, leave.inflight, False, took))

    async def _try(self, job: Job, last: str = "") -> tuple[Pass | None, float]:
        """Leave, or the seconds after which it is worth asking again (`inf`: when something ends)."""
        wait = math.inf
        only = self.endpoints if len(self.endpoints) == 1 else None
        if only and ((only[0].limit is not None and only[0].free < 1) or only[0].breaker.wait_s() > 0):
            only = []
        for endpoint in self.balancer.order(self.endpoints, job, last=last) if only is None else only:
            if endpoint.quota is None:
                return self._grant(job, endpoint, Ticket("", ())), 0.0
            grant = await endpoint.quota.reserve(job)
            if grant.ticket is None:
                wait = min(wait, grant.wait_s)
            elif (endpoint.limit is not None and endpoint.free < 1) or endpoint.breaker.wait_s() > 0:
                # changed while the store was asked
                endpoint.quota.cancelled(grant.ticket)
            else:
                return self._grant(job, endpoint, grant.ticket), 0.0
        for endpoint in self.endpoints:
            down = endpoint.breaker.wait_s()
            if down > 0:
                wait = min(wait, down)
        return None, wait

    def _grant(self, job: Job, endpoint: Endpoint, ticket: Ticket) -> Pass:
        self.counts["granted"] += 1
        leave = Pass(self, job, endpoint, ticket)
        if self.spec.preempt and job.priority == Priority.BACKGROUND and not endpoint.server_priority:
            self.unbegun[id(leave)] = leave
        return leave

    async def _wait(self, job: Job, longest: float) -> Pass:
        loop = asyncio.get_running_loop()
        entry = self.queue.push(job)
        future: asyncio.Future[Pass] = loop.create_future()
        self._waiters[id(entry)] = future
        self.counts["queued"] += 1
        # Estimates err, and other processes may take what was counted on: nobody waits past the own limits, whoever
        # stands before.
        most = min(job.begin_by - self.waits.ttft_s, job.finish_by) - self.clock.now()
        most = max(0.0, min(most, longest))
        overdue = loop.call_later(most, self._overdue, entry, future) if most < math.inf else None
        if self._pump is None or self._pump.done():
            self._pump = loop.create_task(self._guard.keep(self._serve))
        elif self.queue.peek() is entry:
            self._wake.set()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().done(CallOutcome.UNCALLED)
            raise
        finally:
            if overdue is not None:
                overdue.cancel()
            self._waiters.pop(id(entry), None)
            self.queue.remove(entry)

    def _overdue(self, entry: Entry, future: asyncio.Future[Pass]) -> None:
        """Turns away a job that has waited as long as it may."""
        self.queue.remove(entry)
        if not future.done():
            future.set_exception(self._shed(max(1.0, self.estimate(entry.job)), 0.0))
        self._wake.set()

    async def _serve(self) -> None:
        """Gives leave to waiting jobs until none waits."""
        while (entry := self.queue.peek()) is not None:
            job, future = entry.job, self._waiters[id(entry)]
            if future.done():
                self.queue.remove(entry)
                continue
            if self._refused():
                self.queue.remove(entry)
                future.set_exception(self._shed(max(1.0, self.estimate(job)), 0.0))
                continue
            self._wake.clear()
            try:
                leave, wait = await self._try(job)
            except Exception as error:  # whatever it is: others wait behind this one
                self._guard.note(error)
                self.queue.remove(entry)
                if not future.done():
                    future.set_exception(error)
                continue
            if leave is not None:
                if future.done():
                    leave.done(CallOutcome.UNCALLED)
                else:
                    self.queue.take(entry)
                    future.set_result(leave)
                    self.waits.head(0.0)
                continue
            self.waits.head(wait, job.cost)
            await self._sleep(wait)

    async def _sleep(self, seconds: float) -> None:
        # Never shorter than a millisecond: rounding must not make the pump spin.
        limit = None if seconds == math.inf else min(60.0, max(0.001, seconds))
        try:
            async with asyncio.timeout(limit):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _allowed(self, job: Job) -> float:
        """Seconds that may pass until the call is made, for its answer to be in time."""
        left, waits = -self.clock.now() - self.waits.ttft_s, self.waits
        return min(job.begin_by + left, job.finish_by + left - waits.tpot_s * job.predicted_output)

    def _refused(self) -> bool:
        """Whether every endpoint rests because its provider refuses the gateway's account."""
        return all(e.breaker.account_refused and e.breaker.wait_s() > 0 for e in self.endpoints)

    def _shed(self, estimate: float, allowed: float) -> Shed:
        self.counts["shed"] += 1
        kind: ShedKind = "overloaded"
        if self._refused():
            reason, kind = "the gateway's account at the provider cannot serve this request", "provider_account"
        elif all(e.breaker.wait_s() > 0 for e in self.endpoints):
            reason = "all endpoints of the model are failing"
        elif all(e.limit is not None and e.free < 1 for e in self.endpoints):
            reason = "all servers of the model are full"
        else:
            reason, kind = self._why(), "rate_limited"
        back = min(60.0, max(0.05, estimate - max(0.0, allowed)))
        return Shed(reason, kind, retry_after=back * (1.0 + 0.2 * self.clock.random.random()))

    def _why(self) -> str:
        quotas = (e.quota for e in self.endpoints if e.quota is not None and e.breaker.wait_s() <= 0)
        return next((quota.why() for quota in quotas), "the model's quota is used up")

    def _make_room(self, job: Job) -> bool:
        """Lets the longest background call that has not begun yield its place."""
        if not self.unbegun or any(endpoint.free >= 1 for endpoint in self.endpoints):
            return False
        longest = sorted(self.unbegun.values(), key=lambda p: p.job.predicted_output, reverse=True)
        for leave in longest:
            if leave.job.predicted_output >= job.predicted_output and leave.give_up():
                self.unbegun.pop(id(leave), None)
                self.counts["preempted"] += 1
                return True
        return False
