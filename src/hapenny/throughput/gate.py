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

import msgspec

from hapenny.core.clock import Clock
from hapenny.stores.counters import Ticket
from hapenny.throughput.balance import Balancer
from hapenny.throughput.concurrency import Sample
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.pools import Used
from hapenny.throughput.queue import FairQueue, Job, Priority, Shed, ShedKind
from hapenny.throughput.quota import Quota

NOTHING = Used(0, 0)


class Outcome(enum.Enum):
    """How a call ended, as far as the gate cares."""

    OK = "ok"
    THROTTLED = "throttled"  # the provider's quota refused it
    FAILED = "failed"  # the upstream's fault
    REFUSED = "refused"  # the provider refuses the gateway's account
    DENIED = "denied"  # the same, but perhaps for this request alone
    ABANDONED = "abandoned"  # the client left, or a hedge lost
    UNCALLED = "uncalled"  # given back before any call


class GateSpec(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The gate as configured.

    `patience_s`: the longest wait worth starting, where the deadline would allow more. `queue`: places. `ttft_s`,
    `tokens_per_s`, `prompt_tokens_per_s`: how fast answers and prompts are expected to go.
    """

    patience_s: float = 2.0
    queue: int = 10_000
    ttft_s: float = 0.5
    tokens_per_s: float = 80.0
    prompt_tokens_per_s: float = 4_000.0
    group_prefixes: int = 4
    """Requests in a row that may be let go first because their prefix is the same."""
    preempt: bool = True
    """Let a short urgent request go before a long one of low priority that has not begun to answer."""


class Pass:
    """Leave to make one call at `endpoint`. Call `begun` at the first content and `done` exactly once."""

    __slots__ = ("_gate", "_granted", "_ttft", "_yield", "endpoint", "inflight", "job", "open", "probe", "ticket")

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
        endpoint.inflight += 1
        self.inflight = endpoint.inflight

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
            if self.endpoint.quota is not None:
                self.endpoint.quota.accepted(self._granted)
            self._gate.unbegun.pop(id(self), None)
            if self.probe:  # its first content is proof enough: nobody waits for the last
                self.probe = False
                self.endpoint.breaker.succeeded(True)
                self._gate.wake()

    def done(self, outcome: Outcome, used: Used = NOTHING) -> None:
        """The call is over. Synchronous and idempotent: quota, place and verdict are settled here."""
        if self.open:
            self.open = False
            self._gate.settle(self, outcome, used, self._ttft, self._granted)

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
        self._waiters: dict[int, tuple[float, asyncio.Future[Pass]]] = {}
        self._wake: asyncio.Event = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._head_at = 0.0  # when the head of the queue is expected to start
        self._head_cost = 0.0
        self._pace: dict[str, float] = {}  # seconds between two calls ending, by endpoint
        self._ended: dict[str, float] = {}
        self._ttft = self.spec.ttft_s
        self._tpot = 1.0 / self.spec.tokens_per_s

    @property
    def metered(self) -> bool:
        """Whether it matters how big a job is: somewhere a quota or a concurrency limit is to be kept."""
        for endpoint in self.endpoints:
            if endpoint.limit is not None or (endpoint.quota is not None and endpoint.quota.metered):
                return True
        return False

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

    async def enter(self, job: Job, *, last: str = "", returning: bool = False) -> Pass:
        """Waits for leave to call, or raises `Shed` at once when no answer could begin in time.

        `last`: the endpoint that has just failed this job. `returning`: the job had leave before (it was throttled or
        yielded) and is judged by its deadline alone. Cancelling while it waits gives its place up.
        """
        job.arrived = job.arrived or self.clock.now()
        quota = self.endpoints[0].quota
        if quota is not None:
            job.cost = quota.expected_units(job)
        wait = 0.0
        if not self._waiters:
            leave, wait = await self._try(job, last)
            if leave is not None:
                return leave
            self._head_at = self.clock.now() + (wait if wait < math.inf else 0.0)
            self._head_cost = job.cost
        estimate = self.estimate(job)
        if self._refused():  # waiting mends no account
            raise self._shed(estimate, 0.0)
        allowed = self._allowed(job, returning)
        # A place that is made is free as soon as the other call has gone.
        room = job.priority == Priority.URGENT and self._make_room(job)
        if not room and (estimate > allowed or len(self.queue) >= self.spec.queue):
            raise self._shed(estimate, allowed)
        longest = job.patience if returning else min(3 * self.spec.patience_s, job.patience)
        return await self._wait(job, self.clock.now() + longest)

    def estimate(self, job: Job) -> float:
        """Seconds until `job` could start if it joined the queue now."""
        jobs, units = self.queue.before(job) if self._waiters else (0, 0.0)
        head = max(0.0, self._head_at - self.clock.now())
        best = math.inf
        for endpoint in self.endpoints:
            down = endpoint.breaker.wait_s()
            if down > 0:
                best = min(best, down + 0.5 if self.queue else down)
                continue
            best = min(
                best, max(self._quota_wait(endpoint, head, jobs, units, job.cost), self._place_wait(endpoint, jobs))
            )
        return best

    def settle(self, leave: Pass, outcome: Outcome, used: Used, ttft: float | None, granted: float) -> None:
        """Books the end of a call; `Pass.done` calls it."""
        endpoint, job, now = leave.endpoint, leave.job, self.clock.now()
        self.unbegun.pop(id(leave), None)
        endpoint.inflight -= 1
        quota, breaker = endpoint.quota, endpoint.breaker
        if quota is not None:
            if outcome is Outcome.THROTTLED:
                quota.refused(job, leave.ticket, granted)
            elif outcome is Outcome.UNCALLED:
                quota.cancelled(leave.ticket)
            else:
                quota.settle(job, leave.ticket, used)
        if outcome is Outcome.OK:
            breaker.succeeded(leave.probe)
            self._learn(leave, used, ttft, now - granted)
        elif outcome is Outcome.FAILED:
            breaker.failed(leave.probe)
            if breaker.outlier([other.breaker for other in self.endpoints]):
                breaker.eject()
        elif outcome in (Outcome.REFUSED, Outcome.DENIED):
            breaker.refused(leave.probe, whole=outcome is Outcome.REFUSED)
        else:
            breaker.cancelled(leave.probe)
        if outcome in (Outcome.OK, Outcome.ABANDONED, Outcome.FAILED):
            gap = now - self._ended.get(endpoint.name, now - 1.0)
            self._ended[endpoint.name] = now
            old = self._pace.get(endpoint.name, gap)
            self._pace[endpoint.name] = old + 0.1 * (gap - old)
        if outcome in (Outcome.FAILED, Outcome.THROTTLED) and endpoint.limit is not None:
            endpoint.limit.observe(Sample(now - granted, None, leave.inflight, True, now - granted))
        self._wake.set()

    def wake(self) -> None:
        """Something changed that waiting jobs may profit from."""
        self._wake.set()

    def _learn(self, leave: Pass, used: Used, ttft: float | None, took: float) -> None:
        first = took if ttft is None else ttft
        tpot = (took - first) / (used.output - 1) if used.output > 1 and ttft is not None else None
        self._ttft += 0.05 * (first - self._ttft)
        if tpot is not None:
            self._tpot += 0.05 * (tpot - self._tpot)
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

    async def _wait(self, job: Job, until: float) -> Pass:
        entry = self.queue.push(job)
        future: asyncio.Future[Pass] = asyncio.get_running_loop().create_future()
        self._waiters[id(entry)] = (until, future)
        self.counts["queued"] += 1
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._serve())
        elif self.queue.peek() is entry:
            self._wake.set()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().done(Outcome.UNCALLED)
            raise
        finally:
            self._waiters.pop(id(entry), None)
            self.queue.remove(entry)

    async def _serve(self) -> None:
        """Gives leave to waiting jobs until none waits."""
        while (entry := self.queue.peek()) is not None:
            job = entry.job
            until, future = self._waiters[id(entry)]
            if future.done():
                self.queue.remove(entry)
                continue
            now = self.clock.now()
            if now + self._ttft > job.begin_by or now >= min(job.finish_by, until) or self._refused():
                # Estimates err, and other processes may take what was counted on.
                self.queue.remove(entry)
                future.set_exception(self._shed(max(1.0, self.estimate(job)), 0.0))
                continue
            self._wake.clear()
            leave, wait = await self._try(job)
            if leave is not None:
                if future.done():
                    leave.done(Outcome.UNCALLED)
                else:
                    self.queue.take(entry)
                    future.set_result(leave)
                    self._head_at = self.clock.now()
                continue
            self._head_at = self.clock.now() + (wait if wait < math.inf else self._next_place())
            self._head_cost = job.cost
            await self._sleep(wait)

    async def _sleep(self, seconds: float) -> None:
        # Never shorter than a millisecond: rounding must not make the pump spin.
        limit = None if seconds == math.inf else min(60.0, max(0.001, seconds))
        try:
            async with asyncio.timeout(limit):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _quota_wait(self, endpoint: Endpoint, head: float, jobs: float, units: float, own: float) -> float:
        quota = endpoint.quota
        if quota is None:
            return 0.0
        between = quota.between_s
        if quota.tokens is None:
            return head + jobs * between if between is not None else 0.0
        if not jobs:
            return head
        by_requests = head + jobs * between if between is not None else 0.0
        return max(by_requests, self._token_wait(quota, head, units, own))

    def _token_wait(self, quota: Quota, head: float, units: float, own: float) -> float:
        after = max(0.0, units - self._head_cost) + own  # the head's own units come with its wait
        per_window = quota.window_s * quota.rate
        if per_window:
            return head + quota.window_s * math.floor(after / per_window)
        return head + after / (quota.rate * max(1, len(self.endpoints)))

    def _place_wait(self, endpoint: Endpoint, jobs: float) -> float:
        if endpoint.limit is None:
            return 0.0
        short = jobs + 1 - endpoint.free
        return 0.0 if short <= 0 else short * self._between(endpoint)

    def _between(self, endpoint: Endpoint) -> float:
        """Seconds between two places becoming free."""
        pace = self._pace.get(endpoint.name)
        return pace if pace is not None else self._ttft / max(1, endpoint.inflight)

    def _next_place(self) -> float:
        return min((self._between(e) for e in self.endpoints if e.limit is not None), default=1.0)

    def _allowed(self, job: Job, returning: bool) -> float:
        now = self.clock.now()
        limit = job.begin_by - now - self._ttft
        limit = min(limit, job.finish_by - now - self._ttft - self._tpot * job.predicted_output)
        return min(limit, job.patience) if returning else min(limit, self.spec.patience_s, job.patience)

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
            reason, kind = "the model's quota is used up", "rate_limited"
        back = min(60.0, max(0.05, estimate - max(0.0, allowed)))
        return Shed(reason, kind, retry_after=back * (1.0 + 0.2 * self.clock.random.random()))

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
