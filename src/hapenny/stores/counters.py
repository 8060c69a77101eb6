"""Counters: token buckets with reserve and settle, shared by whoever shares the store.

A call *reserves* what it may use before it starts and *settles* what it did use when it ends; the difference is given
back or charged. One reservation covers several limits (requests and tokens a minute, tokens a day) all or nothing.
`MemoryCounters` keeps them in this process, `stores.redis_counters` in Redis or Valkey. One contract suite holds both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from hapenny.core.clock import Clock
from hapenny.core.guard import Guard

STEP_S = 1.0
"""A clock that goes back by more was put back; what flows in is counted from its new time."""

Kind = Literal["refill", "fixed", "total", "held"]


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of one thing may be used.

    `refill`: `amount` flows in evenly over `window_s` seconds, up to `burst` (default `amount`) saved.
    `fixed`: `amount` a window, windows start at multiples of `window_s` of epoch time.
    `total`: `amount` once (a budget whose key names its period).
    `held`: at most `amount` at once; settling returns all of it (concurrency).
    """

    amount: float
    window_s: float = 60.0
    kind: Kind = "refill"
    burst: float | None = None

    def __post_init__(self) -> None:
        if not self.amount > 0:
            raise ValueError(f"amount: {self.amount} allows nothing; give more than 0")
        if not self.window_s > 0:
            raise ValueError(f"window_s: {self.window_s} is no span of time; give seconds above 0")
        if self.burst is not None and not self.burst > 0:
            raise ValueError(f"burst: {self.burst} allows nothing; give more than 0")

    @property
    def capacity(self) -> float:
        """The most that can be available at one moment."""
        return self.burst if self.kind == "refill" and self.burst is not None else self.amount

    @property
    def rate(self) -> float:
        """Units a second that become available again, as a mean; 0 for kinds that time does not refill."""
        return self.amount / self.window_s if self.kind in ("refill", "fixed") else 0.0


class Charge(NamedTuple):
    """`amount` units to take from the counter `key`, which obeys `limit`."""

    key: str
    limit: Limit
    amount: float


class Ticket(NamedTuple):
    """A granted reservation; settle it exactly once. `scope` is the store's own note."""

    id: str
    charges: tuple[Charge, ...]
    scope: str = ""


class Grant(NamedTuple):
    """The answer to `reserve`.

    `ticket` is None when refused. `wait_s`: the least time after which asking again can succeed if nobody else takes
    anything (`inf`: not by waiting). `level`: what is left of the scarcest limit, as a share of its capacity.
    `taken`: units that everyone together has reserved from the first charge's counter so far, for working out one's
    own share of it.
    """

    ticket: Ticket | None
    wait_s: float
    level: float
    taken: float


class Counters(Protocol):
    """The contract of every counter store. Methods that wait raise `ConnectionError` when it cannot be reached, after a
    second at most."""

    @property
    def guards(self) -> Sequence[Guard]:
        """Of its background tasks."""
        ...

    async def reserve(self, charges: Sequence[Charge], ttl_s: float = 600.0) -> Grant:
        """Takes all charges or none. A charge above its limit's capacity is granted when the counter is full.

        `ttl_s`: after so long without settling (its process died) a ticket is settled as reserved; `held` amounts
        return.
        """
        ...

    def settle(self, ticket: Ticket, actual: Sequence[float]) -> None:
        """Replaces what was reserved by what was used, charge by charge. Never waits; a second call does nothing."""
        ...

    def correct(self, key: str, limit: Limit, at_most: float) -> None:
        """The owner of the limit says that no more than `at_most` units are left: lowers the counter to that."""
        ...

    async def levels(self, charges: Sequence[Charge]) -> list[float]:
        """Units available in each charge's counter now; negative when settling charged more than there was."""
        ...

    async def expire(self) -> int:
        """Settles tickets past their `ttl_s`; returns how many."""
        ...

    async def aclose(self) -> None:
        """Writes what `settle` left to write, and lets go of the store."""
        ...


class _Bucket:
    __slots__ = ("at", "available", "limit", "taken", "window")

    def __init__(self, limit: Limit, now: float, wall: float) -> None:
        self.limit = limit
        self.available = limit.capacity
        self.at = now
        self.window = wall // limit.window_s if limit.kind == "fixed" else 0.0
        self.taken = 0.0

    def turn(self, limit: Limit, now: float, wall: float) -> None:
        """Brings the bucket to the present, under the limit as it is configured now."""
        if limit is not self.limit:
            if limit != self.limit:
                self.available += limit.capacity - self.limit.capacity
            self.limit = limit
        kind = limit.kind
        if kind == "refill":
            elapsed = now - self.at
            if elapsed > 0:
                self.available = min(limit.capacity, self.available + elapsed * limit.amount / limit.window_s)
                self.at = now
            elif elapsed < -STEP_S:
                self.at = now
        elif kind == "fixed":
            window = wall // limit.window_s
            # A clock that was put back by more than a window begins a new one: the old one may be hours away.
            if window > self.window or window < self.window - 1:
                self.window = window
                self.available = limit.amount

    def wait(self, need: float, wall: float) -> float:
        """Seconds until `need` units are available by the passing of time alone."""
        limit = self.limit
        if limit.kind == "refill":
            return (need - self.available) * limit.window_s / limit.amount
        if limit.kind == "fixed":
            return (self.window + 1) * limit.window_s - wall
        return math.inf


class MemoryCounters:
    """Counters of this process. At most `max_keys` counters are kept: idle, full ones are forgotten first."""

    scope = "memory"
    guards: Sequence[Guard] = ()

    def __init__(self, clock: Clock, *, max_keys: int = 100_000) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._open: dict[str, tuple[float, Ticket]] = {}
        self._max_keys = max_keys
        self._number = 0
        self._sweep_at = 4096

    async def reserve(self, charges: Sequence[Charge], ttl_s: float = 600.0) -> Grant:
        return self.reserve_now(charges, ttl_s)

    def reserve_now(self, charges: Sequence[Charge], ttl_s: float = 600.0) -> Grant:
        """`reserve` without the event loop; here nothing has to be waited for."""
        now, wall = self._clock.now(), self._clock.wall()
        buckets = self._buckets
        turned: list[_Bucket] = []
        longest, level = 0.0, 1.0
        for key, limit, amount in charges:
            bucket = buckets.get(key)
            if bucket is None:
                bucket = buckets[key] = _Bucket(limit, now, wall)
            else:
                bucket.turn(limit, now, wall)
            turned.append(bucket)
            capacity = limit.capacity
            need = amount if amount < capacity else capacity
            if bucket.available + 1e-9 * capacity < need:
                wait = bucket.wait(need, wall)
                if wait > longest:
                    longest = wait
            share = bucket.available / capacity
            if share < level:
                level = share
        taken = turned[0].taken if turned else 0.0
        if longest > 0.0:
            return Grant(None, longest, level, taken)
        for bucket, charge in zip(turned, charges, strict=True):
            bucket.available -= charge.amount
            bucket.taken += charge.amount
        self._number += 1
        ticket = Ticket(str(self._number), tuple(charges), self.scope)
        self._open[ticket.id] = (now + ttl_s, ticket)
        if self._number >= self._sweep_at:
            self._sweep(now, wall)
        return Grant(ticket, 0.0, level, taken)

    def settle(self, ticket: Ticket, actual: Sequence[float]) -> None:
        if self._open.pop(ticket.id, None) is None:
            return
        now, wall = self._clock.now(), self._clock.wall()
        for (key, limit, amount), used in zip(ticket.charges, actual, strict=True):
            bucket = self._buckets.get(key)
            if bucket is None:
                bucket = self._buckets[key] = _Bucket(limit, now, wall)
            else:
                bucket.turn(limit, now, wall)
            back = amount if limit.kind == "held" else amount - used
            bucket.available = min(limit.capacity, bucket.available + back)

    def correct(self, key: str, limit: Limit, at_most: float) -> None:
        now, wall = self._clock.now(), self._clock.wall()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(limit, now, wall)
        else:
            bucket.turn(limit, now, wall)
        bucket.available = min(bucket.available, at_most)

    async def levels(self, charges: Sequence[Charge]) -> list[float]:
        return self.levels_now(charges)

    def levels_now(self, charges: Sequence[Charge]) -> list[float]:
        """`levels` without the event loop."""
        now, wall = self._clock.now(), self._clock.wall()
        levels = []
        for key, limit, _ in charges:
            bucket = self._buckets.get(key)
            if bucket is None:
                levels.append(limit.capacity)
            else:
                bucket.turn(limit, now, wall)
                levels.append(bucket.available)
        return levels

    async def expire(self) -> int:
        return self._expire(self._clock.now())

    async def aclose(self) -> None:
        self._open.clear()

    def _expire(self, now: float) -> int:
        late = [ticket for until, ticket in self._open.values() if until <= now]
        for ticket in late:
            self.settle(ticket, [charge.amount for charge in ticket.charges])
        return len(late)

    def _sweep(self, now: float, wall: float) -> None:
        self._sweep_at = self._number + 4096
        self._expire(now)
        if len(self._buckets) <= self._max_keys:
            return
        busy = {charge.key for _, ticket in self._open.values() for charge in ticket.charges}
        for key, bucket in list(self._buckets.items()):
            bucket.turn(bucket.limit, now, wall)
            if key not in busy and bucket.limit.kind != "total" and bucket.available >= bucket.limit.capacity:
                del self._buckets[key]
