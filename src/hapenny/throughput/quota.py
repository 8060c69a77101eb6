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
from hapenny.throughput.hold import Hold
from hapenny.throughput.learner import Learner
from hapenny.throughput.overrun import Overrun
from hapenny.throughput.pools import Pool, QuotaSpec, Used
from hapenny.throughput.queue import Job
from hapenny.throughput.retry import Backoff

TRICKLE_S = 5.0
"""A limit that is only guessed lets a call through at least so often: else nobody would learn that it is wrong."""
TURN_S = 0.05
"""So long before a window ends no call is started: it would reach the provider in the next one, and be counted
there."""


class Quota:
    """Reserves and settles one pool. `backoff`: how calls are spaced after refusals."""

    def __init__(
        self,
        pool: Pool,
        spec: QuotaSpec,
        counters: Counters,
        clock: Clock,
        *,
        ttl_s: float = 900.0,
        burndown: float = 1.0,
        backoff: Backoff | None = None,
    ) -> None:
        self.pool = pool
        self.spec = spec
        self._counters = counters
        self._clock = clock
        self._ttl_s = ttl_s
        self._default_burndown = burndown
        self.learner: Learner | None = None
        self.hold = Hold(clock, backoff or Backoff())
        self._tokens: Limit | None = None
        self._limits()
        key = pool.key
        self._keys = (key + ":tpm", key + ":rpm", key + ":tpd")
        self._spare: MemoryCounters | None = None
        self._alone = False  # whether the shared store is lost
        self._level = 1.0  # what was left when it was last asked, as a share
        self._ratio = 1.0  # settled units per reserved unit, a moving mean
        self._refused_at = -math.inf
        self._granted_at = -math.inf
        self._overrun = Overrun(clock)
        self._beyond_at = -math.inf  # when the last call was made beyond what is believed to be left
        self._share = 1.0
        self._own_taken = 0.0
        self._mark: tuple[float, float, float] | None = None

    def _limits(self) -> None:
        spec = self.spec
        kind: Literal["refill", "fixed"] = "fixed" if spec.window == "minute" else "refill"
        self._burndown = spec.output_burndown if spec.output_burndown is not None else self._default_burndown
        self._tokens = None
        if spec.tokens_per_minute is not None:
            burst = spec.tokens_per_minute * spec.burst_s / 60 if spec.burst_s is not None else None
            self._tokens, self.learner = Limit(amount=spec.tokens_per_minute, kind=kind, burst=burst), None
        elif spec.learn and self.learner is None:
            self.learner = Learner(self._clock)
        self._requests = Limit(amount=spec.requests_per_minute, kind=kind) if spec.requests_per_minute else None
        self._day = Limit(amount=spec.tokens_per_day, window_s=86_400, kind="fixed") if spec.tokens_per_day else None

    def update(self, spec: QuotaSpec) -> None:
        """The pool's limits have become known, or others. Calls under way settle as they were reserved."""
        if spec != self.spec:
            self.spec = spec
            self._limits()

    def settled_units(self, used: Used) -> float:
        """Units the provider counts in the end."""
        return used.input + used.cached * self.spec.cache_read_share + used.output * self._burndown

    def expected_units(self, job: Job) -> float:
        """Units `job` will cost, as calls of late turned out against what they reserved."""
        return job.reserved * self._ratio

    @property
    def tokens(self) -> Limit | None:
        """The token limit in force now; None when there is none or nothing has been learnt yet."""
        return self.learner.limit() if self.learner is not None else self._tokens

    @property
    def metered(self) -> bool:
        """Whether any limit of the pool is known: until then the size of a job decides nothing."""
        return self.tokens is not None or self._requests is not None or self._day is not None

    @property
    def unknown(self) -> bool:
        """Whether no limit of the pool is known, and none of its calls was refused of late: it holds no call."""
        learner = self.learner
        return (
            self._tokens is None
            and self._requests is None
            and self._day is None
            and not self.hold.strikes
            and (learner is None or learner.limit() is None)
        )

    def pass_by(self, job: Job) -> None:
        """Notes a call under no limit that is known."""
        self._granted_at = self._clock.now()
        if self.learner is not None:
            self.learner.took(job.reserved)

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

    def covered(self, units: float, held: float) -> float:
        """Which share of the calls under way has to end for `units` to be reserved, `held` units being set aside for
        them: most use less than they reserve. Infinite where their ends do not suffice; by what was left when the
        counters were last asked."""
        tokens = self.tokens
        short = units / max(self._ratio, 0.01) - self._level * tokens.amount if tokens is not None else 0.0
        if short <= 0:
            return 0.0
        back = held * (1.0 - self._ratio)
        return short / back if short < back else math.inf

    @property
    def between_s(self) -> float | None:
        """Seconds between two calls under the limits other than tokens a minute; None without such a limit."""
        if self._requests is not None:
            return self._requests.window_s / (self._requests.amount * self._share)
        return 0.0 if self._day is not None else None

    def held_s(self) -> float:
        """Seconds until a call may be made, after refusals; 0 if now."""
        return self.hold.wait_s()

    @property
    def guessed(self) -> bool:
        """Whether what is believed to be left of the tokens a minute is no more than a guess."""
        if self.learner is not None:
            return self.learner.limit() is not None
        # A new window is full again, whatever was left of the one in which a call was refused.
        window = self.window_s
        return window > 0 and self._clock.now() - self._refused_at < self._clock.wall() % window

    def why(self) -> str:
        """Why a call is held back now, for people."""
        if (held := self.held_s()) > 0:
            return f"the provider refuses calls for lack of quota; it is asked again in {held:.1f} s"
        if self.learner is not None and (tokens := self.tokens) is not None:
            learnt = tokens.rate * 60
            return f"the quota learnt from the provider's refusals, about {learnt:,.0f} tokens a minute, is used up"
        return "the model's quota is used up"

    async def reserve(self, job: Job) -> Grant:
        """Sets the job's units aside in every limit of the pool, or says how long that will take."""
        if (held := self.held_s()) > 0:
            return Grant(None, held, 0.0, 0.0)
        learner, charges = self.learner, self._charges(job)
        if not charges:
            self._made(learner, job.reserved)
            return Grant(Ticket("", ()), 0.0, 1.0, 0.0)
        grant = await self._take(charges)
        if grant.ticket is not None:
            self._own_taken += charges[0].amount  # as the store counts: what is given back at once as well
            if (wait := self._turns() or self._short(grant, job.reserved)) > 0:
                self._store(grant.ticket).settle(grant.ticket, [0.0] * len(charges))
                return Grant(None, wait, grant.level, grant.taken)
            self._made(learner, charges[0].amount)
        elif learner is not None:
            learner.bound()
        self._note_share(grant.taken)
        if grant.ticket is None and self.guessed:
            still = self._clock.now() - max(self._granted_at, self._refused_at)
            if still >= TRICKLE_S:
                return await self._beyond(job, charges, grant)
            return grant._replace(wait_s=min(grant.wait_s, TRICKLE_S - still))
        return grant

    def _turns(self) -> float:
        """Seconds until a new window, where this one is about to end; else 0."""
        window = self.window_s
        if window <= 0:
            return 0.0
        left = window - self._clock.wall() % window
        return left + 0.001 if left < TURN_S else 0.0

    def _short(self, grant: Grant, units: float) -> float:
        """Seconds until a refilling bucket has `units` and what is kept spare for ends not heard of yet; 0: it has."""
        tokens = self._tokens
        if tokens is None or tokens.kind != "refill":
            return 0.0
        need = min(tokens.capacity, units + self._overrun.spare(tokens.capacity))
        return max(0.0, need - grant.level * tokens.capacity) / tokens.rate

    async def _take(self, charges: list[Charge]) -> Grant:
        try:
            if self._alone:
                await self._pay_back(charges)
            grant = await self._counters.reserve(charges, self._ttl_s)
        except ConnectionError:
            return self._take_alone(charges)
        self._alone, self._level = False, grant.level
        return grant

    def _made(self, learner: Learner | None, units: float) -> None:
        self._granted_at = self._clock.now()
        self.hold.granted()
        if learner is not None:
            learner.took(units)

    async def _beyond(self, job: Job, charges: list[Charge], refused: Grant) -> Grant:
        """Leave beyond the guess, under the limits that are sure."""
        sure = [charge for charge in charges if charge.key != self._keys[0]]
        self._granted_at = self._clock.now()  # before anything is waited for: one call, not all that wait
        grant = await self._take(sure) if sure else Grant(Ticket("", ()), 0.0, 0.0, refused.taken)
        if grant.ticket is None:
            return refused if grant.wait_s < refused.wait_s else grant
        self._beyond_at = self._clock.now()
        self._made(self.learner, job.reserved)
        return grant._replace(level=0.0)

    def accepted(self, started: float) -> None:
        """The provider let a call through that was made at `started`."""
        if self.hold.strikes:
            self.hold.accepted(started)
        if self.learner is not None:
            self.learner.accepted(started, beyond=0 <= started - self._beyond_at < 0.1)

    def settle(self, job: Job, ticket: Ticket, used: Used) -> None:
        """The call ended (also: was aborted) having used `used`. Never waits."""
        units, reserved = self.settled_units(used), job.reserved
        self._overrun.ended(units, reserved)
        if reserved > 0:
            self._ratio += 0.02 * (units / reserved - self._ratio)
        if self.learner is not None:
            self.learner.took(units - reserved)
        if ticket.charges:
            self._store(ticket).settle(ticket, [1.0 if c.key == self._keys[1] else units for c in ticket.charges])

    def refused(self, job: Job, ticket: Ticket, started: float, retry_after: float | None = None) -> None:
        """The provider throttled the call made at `started`: nothing was used, and our mirror showed too much.

        `retry_after`: seconds after which the provider wants to be asked again, if it said so.
        """
        if ticket.charges:
            self._store(ticket).settle(ticket, [0.0] * len(ticket.charges))
        reserved = job.reserved
        self._refused_at = self._clock.now()
        # Where nothing is known of a quota, and nothing is to be learnt, one call's refusal says nothing to the others.
        mirrored = self.learner is not None or self.metered
        window = self.window_s if self.learner is None else 0.0
        full_again = window - self._clock.wall() % window + 0.001 if window else math.inf
        fresh = self.hold.refused(started, retry_after, full_again) if mirrored else False
        if self.learner is not None:
            self.learner.took(-reserved)
            self.learner.refused(started)
            limit = self.learner.limit()
            if limit is not None:
                self._counters.correct(self._keys[0], limit, 0.0)
        elif self._tokens is not None:
            # Less than `reserved` was left, nobody knows how much less: half on the first refusal, nothing after.
            first = self.hold.strikes == 1 and fresh
            self._counters.correct(self._keys[0], self._tokens, reserved / 2 if first else 0.0)

    def cancelled(self, ticket: Ticket) -> None:
        """The call was never made."""
        if ticket.charges:
            self._store(ticket).settle(ticket, [0.0] * len(ticket.charges))

    def _take_alone(self, charges: list[Charge]) -> Grant:
        """The shared store is gone: keep to the share of the pool that this process last had, and of what was left."""
        if self._spare is None:
            self._spare = MemoryCounters(self._clock)
        share = max(0.01, self._share)
        own = [c._replace(limit=msgspec.structs.replace(c.limit, amount=c.limit.amount * share)) for c in charges]
        if not self._alone:
            self._alone = True
            for charge in own:
                self._spare.correct(charge.key, charge.limit, max(0.0, self._level) * charge.limit.capacity)
        return self._spare.reserve_now(own, self._ttl_s)

    async def _pay_back(self, charges: list[Charge]) -> None:
        """The shared store is back: takes there what was taken alone of late. Raises `ConnectionError`."""
        assert self._spare is not None
        share = max(0.01, self._share)
        for charge in charges:
            own = charge._replace(limit=msgspec.structs.replace(charge.limit, amount=charge.limit.amount * share))
            taken = own.limit.capacity - self._spare.levels_now([own])[0]
            if taken <= 0:
                continue
            grant = await self._counters.reserve([charge._replace(amount=taken)], self._ttl_s)
            if grant.ticket is not None:
                self._counters.settle(grant.ticket, [taken])
            else:  # less than that is left
                self._counters.correct(charge.key, charge.limit, 0.0)

    def _store(self, ticket: Ticket) -> Counters:
        return self._spare if self._spare is not None and ticket.scope == self._spare.scope else self._counters

    def _charges(self, job: Job) -> list[Charge]:
        units = job.reserved
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
