"""Finds an unknown tokens-a-minute quota from the provider's refusals.

A refusal says that the quota is empty *now*. Between two such moments the provider let through what it refilled, so
units taken / seconds between them is its rate. Until the first refusal nothing is held back; after it calls are paced
at the estimate, which creeps up while it binds (a quota may have been raised) until the next refusal measures it
again. Dry spells that end with a new minute, twice running, show a quota that is counted by the minute: then what was
taken in a minute up to its refusal is the quota.

What refusals do not show is not learnt from them. Where hardly anything was let through before one (a quiet service, a
provider that refuses everything) there is no rate to be seen; a dry spell longer than `DRY_S` is an outage, and the
estimate goes back to what it was. An estimate without a refusal for `FORGET_S` is forgotten. How calls are spaced after
refusals is `hold`'s.
"""

from __future__ import annotations

from collections import deque

from hapenny.core.clock import Clock
from hapenny.stores.counters import Limit

MINUTE = 60.0
FEW = 10
"""Calls that must have been let through for a rate to be told from."""
DRY_S = 10.0
"""A spell of refusals alone that is longer says nothing about a rate."""
FORGET_S = 600.0
"""Seconds without a refusal after which nothing is believed any more."""
TOO_LOW = 1.5
"""By how much the estimate rises when a call beyond it was let through."""


class Learner:
    """The estimate of one pool's tokens a minute.

    While it binds, the estimate rises by `growth` x seconds since the last refusal, a second, up to `fastest`.
    `burst_s`: seconds of quota that may be saved up.
    """

    def __init__(self, clock: Clock, *, growth: float = 0.0003, fastest: float = 0.01, burst_s: float = 10.0) -> None:
        self._clock = clock
        self._growth = growth
        self._fastest = fastest
        self._burst_s = burst_s
        self.per_minute: float | None = None
        self.by_minute = False
        self._taken = 0.0
        self._let_through = 0
        self._refused_at = -1e9
        self._refused_taken = 0.0
        self._spell: tuple[float, float | None] | None = None  # since when all is refused, and the estimate before
        self._last = (-1e9, -1.0)  # start, and minute, of the latest call refused
        self._recent: deque[tuple[float, float]] = deque()  # (time, taken so far), a second apart
        self._minute = -1.0
        self._minute_taken = 0.0
        self._ended_by_minute = 0
        self._grown_at = 0.0
        self._limit: Limit | None = None

    def limit(self) -> Limit | None:
        """The limit to obey now; None as long as nothing is known of one."""
        if self._limit is not None and self._clock.now() - self._refused_at > FORGET_S:
            self._set(None)
            self.by_minute = False
        return self._limit

    def took(self, units: float) -> None:
        """Notes units reserved, or the difference when a call settles."""
        now = self._clock.now()
        self._taken += units
        minute = self._clock.wall() // MINUTE
        if minute != self._minute:
            self._minute, self._minute_taken = minute, 0.0
        self._minute_taken += units
        if not self._recent or now - self._recent[-1][0] >= 1.0:
            self._recent.append((now, self._taken))
            while now - self._recent[0][0] > MINUTE:
                self._recent.popleft()

    def bound(self) -> None:
        """The estimate just held a call back: time to creep up, faster the longer no refusal has come."""
        now = self._clock.now()
        elapsed = min(1.0, now - self._grown_at)
        if self.per_minute is not None and elapsed >= 0.25:
            self._grown_at = now
            growth = self._growth if self.by_minute else min(self._fastest, self._growth * (now - self._refused_at))
            self._set(self.per_minute * (1.0 + growth * elapsed))

    def accepted(self, started: float, *, beyond: bool = False) -> None:
        """A call made at `started` was let through. `beyond`: it was made although the estimate was used up."""
        last, minute = self._last
        if started < last:
            return
        self._let_through += 1
        spell, self._spell = self._spell, None
        if spell is None:
            if beyond and self.per_minute is not None:
                self._set(self.per_minute * TOO_LOW)
            return
        began, before = spell
        if started - began > 2.0 and not self.by_minute:
            wall = (self._clock.wall() - (self._clock.now() - started)) // MINUTE
            self._ended_by_minute = self._ended_by_minute + 1 if wall == minute + 1 else 0
            if self._ended_by_minute >= 2:
                self.by_minute = True
                self._set(self.per_minute)
                return
        if started - began > DRY_S and not self.by_minute:
            self._set(before)
            self._mark()

    def refused(self, started: float) -> None:
        """A call made at `started` was throttled."""
        now = self._clock.now()
        goes_on = self._spell is not None
        self._last = (started, self._clock.wall() // MINUTE)
        if self._spell is None:
            self._spell = (now, self.per_minute)
        gap = now - self._refused_at
        if goes_on or gap < 3.0:
            return  # the same dry spell: nothing new about the rate
        if self.by_minute:
            if self._let_through:
                self._set(max(self._minute_taken, 0.5 * (self.per_minute or 0.0)))
        elif self.per_minute is None:
            start, had = self._recent[0] if self._recent else (now, self._taken)
            if self._let_through < FEW or now - start < 10.0:
                return  # too little to tell a rate from: only wait
            # The quota may have had savings, so the rate of late is more than it can keep up.
            self._set(0.8 * MINUTE * (self._taken - had) / (now - start))
        elif self._let_through:
            measured = MINUTE * (self._taken - self._refused_taken) / gap
            sure = min(1.0, gap / 20.0)  # short gaps measure one call more or less
            target = self.per_minute + sure * (min(measured, self.per_minute) - self.per_minute)
            self._set(max(0.8 * self.per_minute, 0.98 * target))  # below it, or every second call would be a probe
        self._mark()

    def _mark(self) -> None:
        self._refused_at = self._grown_at = self._clock.now()
        self._refused_taken, self._let_through = self._taken, 0

    def _set(self, per_minute: float | None) -> None:
        if per_minute is None:
            self.per_minute = self._limit = None
            return
        self.per_minute = max(1.0, per_minute)
        if self.by_minute:
            self._limit = Limit(amount=self.per_minute, kind="fixed")
        else:
            self._limit = Limit(amount=self.per_minute, burst=max(1.0, self.per_minute * self._burst_s / MINUTE))
