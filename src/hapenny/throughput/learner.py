"""Finds an unknown tokens-a-minute quota from the provider's refusals.

A refusal says that the quota is empty *now*. Between two such moments the provider let through what it refilled, so
units taken / seconds between them is its rate. Until the first refusal nothing is held back; after it calls are paced
at the estimate, which creeps up while it binds (a quota may have been raised) until the next refusal measures it
again. After refusals in a row, probes are spaced exponentially. Dry spells that end with a new minute, twice running,
show a quota that is counted by the minute: then what was taken in a minute up to its refusal is the quota.
"""

from __future__ import annotations

from collections import deque

from hapenny.core.clock import Clock
from hapenny.stores.counters import Limit

MINUTE = 60.0


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
        self._refused_at = -1e9
        self._refused_taken = 0.0
        self._refused_last = (-1e9, -1.0)  # start, and minute, of the latest call refused, also within a spell
        self._recent: deque[tuple[float, float]] = deque()  # (time, taken so far), a second apart
        self._minute = -1.0
        self._minute_taken = 0.0
        self._ended_by_minute = 0
        self._hold_until = 0.0
        self._strikes = 0
        self._grown_at = 0.0
        self._limit: Limit | None = None

    def limit(self) -> Limit | None:
        """The limit to obey now; None as long as no refusal has been seen."""
        return self._limit

    def hold_s(self) -> float:
        """Seconds to let pass before the next call, after refusals."""
        return self._hold_until - self._clock.now()

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

    def accepted(self, started: float) -> None:
        """A call made at `started` was let through."""
        last, minute = self._refused_last
        if started < last or self._strikes == 0:
            return
        self._hold_until = 0.0
        if self._strikes > 1 and started - self._refused_at > 2.0 and not self.by_minute:
            began = (self._clock.wall() - (self._clock.now() - started)) // MINUTE
            self._ended_by_minute = self._ended_by_minute + 1 if began == minute + 1 else 0
            if self._ended_by_minute >= 2:
                self.by_minute = True
                if self.per_minute is not None:
                    self._set(self.per_minute)
        self._strikes = 0

    def granted(self) -> None:
        """A call is about to be made: after refusals only one, until it is known how it fares."""
        if self._strikes > 1:
            self._hold_until = self._clock.now() + 2.0

    def refused(self, started: float) -> None:
        """A call made at `started` was throttled."""
        now = self._clock.now()
        self._strikes += 1
        self._refused_last = (started, self._clock.wall() // MINUTE)
        gap = now - self._refused_at
        if self.by_minute:
            if gap > 3.0:
                self._set(max(self._minute_taken, 0.5 * (self.per_minute or 0.0)))
            self._refused_at, self._refused_taken = now, self._taken
            return
        if self.per_minute is not None and (gap < 3.0 or (self._strikes > 1 and gap < 90.0)):
            # The same dry spell: nothing new about the rate, only wait longer before the next probe.
            self._hold_until = now + min(6.0, 0.25 * 2 ** (self._strikes - 1))
            return
        self._hold_until = now + min(6.0, 0.25 * 2 ** (self._strikes - 1))
        if self.per_minute is None:
            start, had = self._recent[0] if self._recent else (now, self._taken)
            if now - start < 10.0:
                return  # too little has been let through to tell a rate from: only wait
            # The quota may have had savings, so the rate of late is more than it can keep up.
            self._set(0.8 * MINUTE * (self._taken - had) / (now - start))
        else:
            measured = MINUTE * (self._taken - self._refused_taken) / gap
            sure = min(1.0, gap / 20.0)  # short gaps measure one call more or less
            target = self.per_minute + sure * (min(measured, self.per_minute) - self.per_minute)
            self._set(max(0.8 * self.per_minute, 0.98 * target))  # below it, or every second call would be a probe
        self._refused_at, self._refused_taken = now, self._taken
        self._grown_at = now

    def _set(self, per_minute: float) -> None:
        self.per_minute = max(1.0, per_minute)
        if self.by_minute:
            self._limit = Limit(amount=self.per_minute, kind="fixed")
        else:
            self._limit = Limit(amount=self.per_minute, burst=max(1.0, self.per_minute * self._burst_s / MINUTE))
