"""Finds an unknown tokens-a-minute quota from the provider's refusals.

A refusal says that the quota is empty *now*. Between two such moments the provider let through what it refilled, so
units taken / seconds between them is its rate, whether it refills evenly or by the minute. Until the first refusal
nothing is held back; after it calls are paced at the estimate, which creeps up while it binds (a quota may have been
raised) until the next refusal measures it again. After refusals in a row, probes are spaced exponentially.
"""

from __future__ import annotations

from collections import deque

from hapenny.core.clock import Clock
from hapenny.stores.counters import Limit


class Learner:
    """The estimate of one pool's tokens a minute.

    `growth`: relative increase a second while the estimate holds calls back. `memory_s`: how far back refusals count.
    """

    def __init__(self, clock: Clock, *, growth: float = 0.002, memory_s: float = 240.0, burst_s: float = 10.0) -> None:
        self._clock = clock
        self._growth = growth
        self._memory_s = memory_s
        self._burst_s = burst_s
        self.per_minute: float | None = None
        self._taken = 0.0
        self._started: float | None = None
        self._empty: deque[tuple[float, float]] = deque()  # moments when the quota was empty: (time, taken so far)
        self._recent: deque[tuple[float, float]] = deque()  # (time, taken so far), a second apart
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
        if self._started is None:
            self._started = now
        self._taken += units
        if not self._recent or now - self._recent[-1][0] >= 1.0:
            self._recent.append((now, self._taken))
            while now - self._recent[0][0] > 60.0:
                self._recent.popleft()

    def bound(self) -> None:
        """The estimate just held a call back: time to creep up."""
        now = self._clock.now()
        elapsed = min(1.0, now - self._grown_at)
        if self.per_minute is not None and elapsed >= 0.25:
            self._grown_at = now
            self._set(self.per_minute * (1.0 + self._growth * elapsed))

    def served(self) -> None:
        """A call was let through."""
        self._strikes = 0

    def refused(self) -> None:
        """A call was throttled."""
        now = self._clock.now()
        self._strikes += 1
        if self._strikes > 1 and now - self._empty[-1][0] < 30.0 and self.per_minute is not None:
            # The same dry spell: nothing new about the rate, only wait longer before the next probe.
            self._hold_until = now + min(4.0, 0.25 * 2 ** (self._strikes - 1))
            return
        self._hold_until = now + 0.25
        self._empty.append((now, self._taken))
        while len(self._empty) > 2 and now - self._empty[0][0] > self._memory_s:
            self._empty.popleft()
        since, before = self._empty[0]
        if len(self._empty) > 1 and now - since >= 5.0:
            self._set(60.0 * (self._taken - before) / (now - since))
        else:
            # First refusal: the quota may have had savings, so the rate of late is more than it can keep up.
            start, had = self._recent[0] if self._recent else (now - 1.0, self._taken)
            rate = 60.0 * (self._taken - had) / max(1.0, now - start)
            self._set(max(1.0, min(rate * 0.8, self.per_minute * 0.8 if self.per_minute else rate)))
        self._grown_at = now

    def _set(self, per_minute: float) -> None:
        self.per_minute = max(1.0, per_minute)
        self._limit = Limit(amount=self.per_minute, burst=max(1.0, self.per_minute * self._burst_s / 60.0))
