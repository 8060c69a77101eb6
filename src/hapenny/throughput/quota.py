"""A provider's quota, mirrored: what a call reserves there, what it settles to, and what a refusal teaches.

Bedrock's rule (dated facts in the reference): input + cache + `max_tokens` is reserved at the start; at the end it is
replaced by input + cache writes + `output_burndown` x output, cache reads given back. Each pool of quota (account,
region, endpoint, model, service tier) is one `Quota`; several processes share it through a `Counters` store.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from hapenny.core.clock import Clock
from hapenny.stores.counters import Charge, Counters, Grant, Limit, MemoryCounters, Ticket
from hapenny.throughput.learner import Learner
from hapenny.throughput.pools import Pool, QuotaSpec, Used
from hapenny.throughput.queue import Job


class Quota:
    """Reserves and settles one pool."""

    def __init__(
        self,
        pool: Pool,
        spec: QuotaSpec,
        counters: Counters,
        clock: Clock,
        *,
        ttl_s: float = 900.0,
        burndown: float = 1.0,
    ) -> None:
        self.pool = pool
        self.spec = spec
        self._counters = counters
        self._clock = clock
        self._ttl_s = ttl_s
        self._default_burndown = burndown
        self.learner: Learner | None = None
        self._tokens: Limit | None = None
        self._limits()
        key = pool.key
        self._keys = (key + ":tpm", key + ":rpm", key + ":tpd")
        self._spare: MemoryCounters | None = None
        self._ratio = 1.0  # settled units per reserved unit, a moving mean
        self._strikes = 0
        self._hold_until = 0.0
        self._refused_at = -math.inf
        self._share = 1.0
        self._own_taken = 0.0
        self._mark: tuple[float, float, float] | None = None

    def _limits(self) -> None:
        spec = self.spec
        kind: Literal["refill", "fixed"] = "fixed" if spec.window == "minute" else "refill"
        self._burndown = spec.output_burndown if spec.output_burndown is not None else self._default_burndown
        self._tokens = None
        if spec.tokens_per_minute is not None:
            self._tokens, self.learner = Limit(amount=spec.tokens_per_minute, kind=kind), None
        elif spec.learn and self.learner is None:
            self.learner = Learner(self._clock)
        self._requests = Limit(amount=spec.requests_per_minute, kind=kind) if spec.requests_per_minute else None
        self._day = Limit(amount=spec.tokens_per_day, window_s=86_400, kind="fixed") if spec.tokens_per_day else None

    def update(self, spec: QuotaSpec) -> None:
        """The pool's limits have become known, or others. Calls under way settle as they were reserved."""
        if spec != self.spec:
            self.spec = spec
            self._limits()

    def reserved_units(self, job: Job) -> float:
        """Units the provider sets aside when `job` starts."""
        return float(job.input_tokens + job.cached_tokens + job.max_tokens)

    def settled_units(self, used: Used) -> float:
        """Units the provider counts in the end."""
        return used.input + used.cached * self.spec.cache_read_share + used.output * self._burndown

    def expected_units(self, job: Job) -> float:
        """Units `job` will cost, as calls of late turned out against what they reserved."""
        return self.reserved_units(job) * self._ratio

    @property
    def tokens(self) -> Limit | None:
        """The token limit in force now; None when there is none or nothing has been learnt yet."""
        return self.learner.limit() if self.learner is not None else self._tokens

    @property
    def metered(self) -> bool:
        """Whether any limit of the pool is known: until then the size of a job decides nothing."""
        return self.tokens is not None or self._requests is not None or self._day is not None

    @property
    def rate(self) -> float:
        """This process's units a second: the pool's rate times the share of it that this process has been getting."""
        tokens = self.tokens
        return tokens.rate * self._share if tokens is not None else math.inf

    @property
    def window_s(self) -> float:
        """Length of the pool's fixed windows in seconds; 0 when the quota refills."""
        tokens = self.tokens
        return tokens.window_s if tokens is not None and tokens.kind == "fixed" else 0.0

    @property
    def between_s(self) -> float | None:
        """Seconds between two calls under the limits other than tokens a minute; None without such a limit."""
        if self._requests is not None:
            return self._requests.window_s / (self._requests.amount * self._share)
        return 0.0 if self._day is not None else None

    async def reserve(self, job: Job) -> Grant:
        """Sets the job's units aside in every limit of the pool, or says how long that will take."""
        learner = self.learner
        if learner is not None and (hold := learner.hold_s()) > 0:
            return Grant(None, hold, 0.0, 0.0)
        if learner is None and (hold := self._hold_until - self._clock.now()) > 0:
            return Grant(None, hold, 0.0, 0.0)
        charges = self._charges(job)
        if not charges:
            if learner is not None:
                learner.took(self.reserved_units(job))
            return Grant(Ticket("", ()), 0.0, 1.0, 0.0)
        try:
            grant = await self._counters.reserve(charges, self._ttl_s)
        except ConnectionError:
            grant = self._alone(charges)
        if grant.ticket is not None:
            self._own_taken += charges[0].amount
            if learner is not None:
                learner.took(charges[0].amount)
                learner.granted()
        elif learner is not None:
            learner.bound()
        self._note_share(grant.taken)
        return grant

    def accepted(self, started: float) -> None:
        """The provider let a call through that was made at `started`."""
        if started >= self._refused_at:
            self._strikes = 0
        if self.learner is not None:
            self.learner.accepted(started)

    def settle(self, job: Job, ticket: Ticket, used: Used) -> None:
        """The call ended (also: was aborted) having used `used`. Never waits."""
        units, reserved = self.settled_units(used), self.reserved_units(job)
        if reserved > 0:
            self._ratio += 0.02 * (units / reserved - self._ratio)
        if self.learner is not None:
            self.learner.took(units - reserved)
        if ticket.charges:
            self._store(ticket).settle(ticket, [1.0 if c.key == self._keys[1] else units for c in ticket.charges])

    def refused(self, job: Job, ticket: Ticket, started: float) -> None:
        """The provider throttled the call made at `started`: nothing was used, and our mirror showed too much."""
        if ticket.charges:
            self._store(ticket).settle(ticket, [0.0] * len(ticket.charges))
        reserved = self.reserved_units(job)
        self._strikes += 1
        self._refused_at = started
        if self.learner is not None:
            self.learner.took(-reserved)
            self.learner.refused(started)
            limit = self.learner.limit()
            if limit is not None:
                self._counters.correct(self._keys[0], limit, 0.0)
        elif self._tokens is not None:
            # Less than `reserved` was left, nobody knows how much less: half on the first refusal, nothing after.
            self._counters.correct(self._keys[0], self._tokens, reserved / 2 if self._strikes == 1 else 0.0)
            if self._strikes > 2:  # somebody else uses the pool: probe for room, ever more rarely
                self._hold_until = self._clock.now() + min(5.0, 0.25 * 2 ** (self._strikes - 3))

    def cancelled(self, ticket: Ticket) -> None:
        """The call was never made."""
        if ticket.charges:
            self._store(ticket).settle(ticket, [0.0] * len(ticket.charges))
            self._own_taken -= ticket.charges[0].amount

    def _alone(self, charges: list[Charge]) -> Grant:
        """The shared store is gone: keep to the share of the pool that this process last had."""
        if self._spare is None:
            self._spare = MemoryCounters(self._clock)
        share = max(0.01, self._share)
        own = [c._replace(limit=msgspec.structs.replace(c.limit, amount=c.limit.amount * share)) for c in charges]
        return self._spare.reserve_now(own, self._ttl_s)

    def _store(self, ticket: Ticket) -> Counters:
        return self._spare if self._spare is not None and ticket.scope == self._spare.scope else self._counters

    def _charges(self, job: Job) -> list[Charge]:
        units = self.reserved_units(job)
        charges = []
        if (tokens := self.tokens) is not None:
            charges.append(Charge(self._keys[0], tokens, units))
        if self._requests is not None:
            charges.append(Charge(self._keys[1], self._requests, 1.0))
        if self._day is not None:
            charges.append(Charge(self._keys[2], self._day, units))
        return charges

    def _note_share(self, taken: float) -> None:
        """Works out which share of what everyone takes is taken here, over spans of two seconds."""
        now = self._clock.now()
        if self._mark is None:
            self._mark = (now, self._own_taken, taken)
            return
        since, own, everyone = self._mark
        if now - since < 2.0:
            return
        limit = self.tokens
        spent = taken - everyone
        if limit is not None and spent > 0.5 * limit.rate * (now - since):
            part = min(1.0, max(0.0, (self._own_taken - own) / spent))
            self._share += 0.3 * (part - self._share)
        else:
            self._share += 0.3 * (1.0 - self._share)
        self._mark = (now, self._own_taken, taken)
