"""One request to its first content: leave from the gate, attempts, retries within the budget, hedges, yielding.

Generic over what an attempt returns, so that the stage (answers of real backends) and the simulations (provider calls
in virtual time) run the same code. An attempt begins a call and returns once it has begun; whoever gets its result
calls `leave.done` when the call ends. A failed attempt is settled here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from hapenny.core.clock import Clock
from hapenny.core.errors import Failure, Unavailable
from hapenny.core.exchange import Purpose
from hapenny.throughput.gate import CallOutcome, Gate, Pass
from hapenny.throughput.hedge import Hedger
from hapenny.throughput.pools import Used
from hapenny.throughput.queue import Job, Priority
from hapenny.throughput.retry import Backoff, RetryBudget
from hapenny.throughput.waits import AFTER_REFUSAL_S

T = TypeVar("T")
Attempt = Callable[[Pass, Purpose], Awaitable[T]]


class Dispatcher(Generic[T]):
    """Makes calls of one model through its gate. `release` lets go of the result of an attempt that came too late.

    `silent` says whether an attempt that began has no content yet: whoever reads it then says `leave.begun`.
    """

    def __init__(
        self,
        clock: Clock,
        gate: Gate,
        *,
        backoff: Backoff | None = None,
        budget: RetryBudget | None = None,
        hedger: Hedger | None = None,
        release: Callable[[T], None] | None = None,
        silent: Callable[[T], bool] | None = None,
        hedges: bool = True,
    ) -> None:
        self.clock = clock
        self.gate = gate
        self.backoff = backoff or Backoff()
        self.budget = budget or RetryBudget()
        self.hedger = hedger
        self.release = release
        self.hedges = hedges
        """Whether calls without a deadline are hedged, too."""
        self._silent = silent or (lambda result: False)

    async def begin(self, job: Job, attempt: Attempt[T], may_retry: Callable[[], bool] = lambda: True) -> T:
        """The first attempt that begins.

        `may_retry`: asked before each further call (nothing must have reached the client).
        Raises `Shed` when there is no leave in time, `Unavailable` when tries, time or budget are used up, and any
        other `Failure` at once where another try cannot help.
        """
        self.budget.first()
        tried, last, purpose, yielded, patience = 0, "", _SERVE, False, None
        while True:
            if not tried and self.gate.clear:
                leave = self.gate.at_once(job)
            else:
                leave = await self.gate.enter(job, last=last, returning=yielded, patience_s=patience)
            try:
                if self.hedger is None and job.priority != Priority.BACKGROUND:
                    result = await attempt(leave, purpose)
                    self._begun(leave, result)
                    return result
                return await self._attempt(job, leave, attempt, purpose)
            except _Yielded:
                tried, yielded = max(tried, 1), True
                continue
            except Failure as failure:
                outcome, probe = verdict(failure), leave.probe
                used = Used(0, 0) if outcome is not CallOutcome.OK else Used(job.input_tokens, 0)
                leave.done(outcome, used, failure.retry_after)
                tried += 1
                if not failure.retryable or not may_retry():
                    raise
                last, purpose = leave.endpoint.name, _RETRY
                wait = self.backoff.after(tried, self.clock, job.begin_by, failure.retry_after)
                if wait is None:
                    raise Unavailable(failure.message, cause=failure) from failure
                if failure.kind == "provider_account" and len(self.gate.endpoints) < 2:
                    raise Unavailable(failure.message, cause=failure) from failure  # only another provider can help
                if outcome is CallOutcome.THROTTLED:
                    patience = await self._again(job, wait, failure)
                    continue
                down = all(e.breaker.state == "open" for e in self.gate.endpoints)
                # Probes are rationed already; who was sent on one goes on where it is known to work, at no charge.
                if down or not (probe or self.budget.take()):
                    raise Unavailable(failure.message, cause=failure) from failure  # another probe is for another one
                if len(self.gate.endpoints) < 2:
                    await self.clock.sleep(wait)
            except BaseException:
                leave.done(CallOutcome.ABANDONED, Used(job.input_tokens, 0))
                raise

    async def _again(self, job: Job, wait: float, failure: Failure) -> float:
        """Waits as a throttled call has to; returns how long it may wait for leave after that.

        Raises `Unavailable` where that is longer than is worth waiting: then the client had better wait itself.
        """
        patience = self.gate.spec.patience_s
        most = min(max(AFTER_REFUSAL_S if patience is None else patience, self.backoff.max_delay_s), job.patience)
        if len(self.gate.endpoints) < 2:
            if wait > most + self.backoff.jitter_s:
                raise Unavailable(failure.message, cause=failure) from failure
            await self.clock.sleep(wait)
        return most

    async def _attempt(self, job: Job, leave: Pass, attempt: Attempt[T], purpose: Purpose) -> T:
        hedger = self.hedger
        delay = self._delay(job, hedger) if hedger is not None and purpose == _SERVE else None
        yields = job.priority == Priority.BACKGROUND and self.gate.spec.preempt
        if hedger is not None:
            hedger.earn(job.cost)
        if delay is None and not yields:
            started = self.clock.now()
            result = await attempt(leave, purpose)
            if self._begun(leave, result) and hedger is not None:
                hedger.observe(self.clock.now() - started)
            return result
        if yields:
            return await self._yielding(job, leave, attempt, purpose)
        assert hedger is not None
        assert delay is not None
        return await self._hedged(job, leave, attempt, hedger, delay)

    def _delay(self, job: Job, hedger: Hedger) -> float | None:
        """Seconds after which a second call may race the first; None: none may."""
        hurry = job.hurry
        if hurry is None:
            return hedger.delay_s() if self.hedges else None
        latest = hurry.race_in(self.gate.endpoints, self.clock.now())
        usual = hedger.delay_s() if hurry.may("hedge") else None
        known = [seconds for seconds in (latest, usual) if seconds is not None]
        return max(hedger.spec.least_s, min(known)) if known else None

    async def _yielding(self, job: Job, leave: Pass, attempt: Attempt[T], purpose: Purpose) -> T:
        task = asyncio.ensure_future(attempt(leave, purpose))
        asked = False

        def give_up() -> None:
            nonlocal asked
            asked = True
            task.cancel()

        leave.on_yield(give_up)
        try:
            result = await task
        except asyncio.CancelledError:
            task.cancel()
            current = asyncio.current_task()
            if asked and not (current is not None and current.cancelling()):
                leave.done(CallOutcome.ABANDONED, Used(job.input_tokens, 0))
                raise _Yielded from None
            raise
        self._begun(leave, result)
        return result

    def _begun(self, leave: Pass, result: T) -> bool:
        """Whether the result has its first content; its leave is told."""
        if self._silent(result):
            leave.accepted()
            return False
        leave.begun()
        return True

    async def _hedged(self, job: Job, leave: Pass, attempt: Attempt[T], hedger: Hedger, delay: float) -> T:
        started = self.clock.now()
        first = asyncio.ensure_future(attempt(leave, _SERVE))
        racing: list[tuple[asyncio.Future[T], Pass]] = [(first, leave)]
        try:
            await asyncio.wait([first], timeout=delay)
            if not first.done() and hedger.afford(job.cost):
                extra = await self.gate.spare(job, other_than=leave.endpoint.name, level=hedger.spec.spare)
                if extra is None:
                    hedger.refund(job.cost)
                else:
                    if job.hurry is not None:
                        job.hurry.note("hedge")
                    racing.append((asyncio.ensure_future(attempt(extra, _HEDGE)), extra))
            while not any(_began(task) for task, _ in racing) and not all(task.done() for task, _ in racing):
                waiting = [task for task, _ in racing if not task.done()]
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            winner = next((task for task, _ in racing if _began(task)), first)
        except BaseException:
            for task, held in racing:
                self._abandon(job, task, held)
            raise
        for task, held in racing:
            if task is winner:
                if not _began(task) or self._begun(held, task.result()):
                    hedger.observe(self.clock.now() - started)
                continue
            self._abandon(job, task, held)
            hedger.refund(max(0.0, job.cost - job.input_tokens))  # it was charged its prompt, not an answer
        return winner.result()

    def _abandon(self, job: Job, task: asyncio.Future[T], leave: Pass) -> None:
        """Lets go of a racing call without waiting for it."""
        if not task.done():
            task.cancel()
            leave.done(CallOutcome.ABANDONED, Used(job.input_tokens, 0))
        elif not task.cancelled() and task.exception() is not None:
            leave.done(verdict(task.exception()))
        else:
            leave.done(CallOutcome.ABANDONED, Used(job.input_tokens, 0))
            if not task.cancelled() and self.release is not None:
                self.release(task.result())


_DOUBTFUL = (400, 403)
"""Statuses with which a provider may refuse what one request asks: a model, a guardrail, a beta."""

_SERVE: Purpose = "serve"
_RETRY: Purpose = "retry"
_HEDGE: Purpose = "hedge"


class _Yielded(Exception):
    """A background call made room for an urgent one."""


def _began(task: asyncio.Future[T]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def verdict(failure: BaseException | None) -> CallOutcome:
    """What a failed attempt says about its endpoint."""
    if not isinstance(failure, Failure):
        return CallOutcome.FAILED
    if failure.kind == "rate_limited":
        return CallOutcome.THROTTLED
    if failure.kind == "provider_account":
        return CallOutcome.DENIED if failure.upstream_status in _DOUBTFUL else CallOutcome.REFUSED
    if failure.kind in ("timeout", "overloaded", "unavailable", "upstream", "truncated"):
        return CallOutcome.FAILED
    return CallOutcome.OK  # the upstream works; the request was wrong
