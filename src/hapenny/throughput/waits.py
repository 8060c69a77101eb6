"""How long a call will wait in front of a model: from what is queued, how quotas refill and how places become free."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hapenny.core.clock import Clock
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.queue import FairQueue, Job, Priority
from hapenny.throughput.quota import Quota
from hapenny.throughput.standing import StandingWait

AFTER_REFUSAL_S = 2.0
"""How long a call that the provider refused for lack of quota is kept waiting, where no patience is configured: the
client is told what the provider said instead."""


class Waits:
    """Estimates of one gate. `ttft_s` and `tpot_s`: how fast its answers begin and go on, as learnt so far."""

    def __init__(self, clock: Clock, endpoints: Sequence[Endpoint], ttft_s: float, tpot_s: float) -> None:
        self.ttft_s = ttft_s
        self.tpot_s = tpot_s
        self._clock = clock
        self._endpoints = endpoints
        self._head_at = 0.0  # when the head of the queue is expected to start
        self._head_cost = 0.0
        self._pace: dict[str, float] = {}  # seconds between two calls ending, by endpoint
        self._ended: dict[str, float] = {}
        # None for background work, which waits for what is left.
        self._standing = {priority: StandingWait() for priority in (Priority.URGENT, Priority.NORMAL)}

    def head(self, seconds: float, cost: float | None = None) -> None:
        """The head of the queue, of `cost` units, is expected to start in so many seconds (`inf`: with a place)."""
        self._head_at = self._clock.now() + (seconds if seconds < math.inf else self._next_place())
        if cost is not None:
            self._head_cost = cost

    def ended(self, endpoint: Endpoint) -> None:
        """A call ended there."""
        now = self._clock.now()
        gap = now - self._ended.get(endpoint.name, now - 1.0)
        self._ended[endpoint.name] = now
        old = self._pace.get(endpoint.name, gap)
        self._pace[endpoint.name] = old + 0.1 * (gap - old)

    def answered(self, first_s: float, tpot_s: float | None) -> None:
        """An answer took so long to begin, and for each further token."""
        self.ttft_s += 0.05 * (first_s - self.ttft_s)
        if tpot_s is not None:
            self.tpot_s += 0.05 * (tpot_s - self.tpot_s)

    def none(self, job: Job) -> None:
        """`job` had to wait for nobody."""
        standing = self._standing.get(job.priority)
        if standing is not None:
            standing.seen(self._clock.now(), 0.0, 0.0)

    def worth(self, job: Job, wait_s: float, longest_s: float) -> float:
        """The longest wait worth starting of a job that would wait `wait_s` and may wait `longest_s`."""
        standing = self._standing.get(job.priority)
        if standing is None:
            return longest_s
        standing.seen(self._clock.now(), wait_s, longest_s)
        return standing.within(longest_s)

    def patience(self, configured: float | None) -> float:
        """The longest wait worth starting. Where none is configured: until the deadline for a quota that refills or a
        place that becomes free, but not for a provider that refuses, or a quota that is only learnt from refusals."""
        if configured is not None:
            return configured
        for endpoint in self._endpoints:
            quota = endpoint.quota
            if quota is None or (quota.learner is None and quota.held_s() <= 0):
                return math.inf
        return AFTER_REFUSAL_S

    def estimate(self, job: Job, queue: FairQueue, *, idle: bool = False) -> float:
        """Seconds until `job` could start if it joined the queue now. `idle`: nobody waits."""
        jobs, units = (0.0, 0.0) if idle else queue.before(job)
        head = max(0.0, self._head_at - self._clock.now())
        best = math.inf
        for endpoint in self._endpoints:
            down = endpoint.breaker.wait_s()
            if down > 0:
                best = min(best, down + 0.5 if queue else down)
                continue
            wait = self._quota_wait(endpoint, head, jobs, units, job.cost)
            if wait > 0:
                wait = min(wait, self._settled_wait(endpoint, job, units))
            best = min(best, max(wait, self._place_wait(endpoint, jobs)))
        return best

    def _settled_wait(self, endpoint: Endpoint, job: Job, units: float) -> float:
        """Seconds until calls under way have given back what they reserved too much, where that is enough for the job
        and all before it: in a window of fixed length nothing else comes back before its end."""
        quota = endpoint.quota
        if quota is None or not quota.window_s or quota.between_s is not None or quota.held_s() > 0:
            return math.inf
        return quota.covered(units + job.cost, endpoint.held_units) * (self.ttft_s + self.tpot_s * job.predicted_output)

    def _quota_wait(self, endpoint: Endpoint, head: float, jobs: float, units: float, own: float) -> float:
        quota = endpoint.quota
        if quota is None:
            return 0.0
        head = max(head, quota.held_s())
        between = quota.between_s
        if quota.tokens is None:
            return head + jobs * between if between is not None else quota.held_s()
        if not jobs:
            return head
        by_requests = head + jobs * between if between is not None else 0.0
        return max(by_requests, self._token_wait(quota, head, units, own))

    def _token_wait(self, quota: Quota, head: float, units: float, own: float) -> float:
        after = max(0.0, units - self._head_cost) + own  # the head's own units come with its wait
        per_window = quota.window_s * quota.rate
        if per_window:
            return head + quota.window_s * math.floor(after / per_window)
        return head + after / (quota.rate * max(1, len(self._endpoints)))

    def _place_wait(self, endpoint: Endpoint, jobs: float) -> float:
        if endpoint.limit is None:
            return 0.0
        short = jobs + 1 - endpoint.free
        return 0.0 if short <= 0 else short * self._between(endpoint)

    def _between(self, endpoint: Endpoint) -> float:
        """Seconds between two places becoming free."""
        pace = self._pace.get(endpoint.name)
        return pace if pace is not None else self.ttft_s / max(1, endpoint.inflight)

    def _next_place(self) -> float:
        return min((self._between(e) for e in self._endpoints if e.limit is not None), default=1.0)
