"""How long a pool of quota rests after its provider refused a call.

One call at a time then asks whether there is room again, after pauses that follow `retry` (base, factor, longest delay)
and get jitter on top, so that two gateways never ask in step. Where the provider says itself when to come back
(`Retry-After`) that is obeyed, up to `LONGEST_S`: no word of a provider closes a pool for longer than that.
"""

from __future__ import annotations

import math

from hapenny.core.clock import Clock
from hapenny.throughput.retry import Backoff

LONGEST_S = 60.0
"""The longest that a provider's own word is obeyed without asking again."""
PROBE_S = 2.0
"""A call that asks whether there is room again keeps others waiting for so long, unless its fate is known before."""
SPREAD = 0.25
"""Jitter, as a share of the pause, where `retry.jitter_s` is less."""


class Hold:
    """The rest of one pool. `strikes`: refusals in a row, of calls made after the one before was known."""

    def __init__(self, clock: Clock, backoff: Backoff) -> None:
        self._clock = clock
        self._backoff = backoff
        self._until = -math.inf
        self._struck_at = -math.inf
        self.strikes = 0
        self.said_until = -math.inf
        """Until when the provider itself wants to be left alone."""

    def wait_s(self) -> float:
        """Seconds until a call may be made; 0 if now."""
        return max(0.0, self._until - self._clock.now()) if self.strikes else 0.0

    def granted(self) -> None:
        """A call is about to be made: after refusals only one, until it is known how it fares."""
        if self.strikes > 1:
            self._until = self._clock.now() + PROBE_S

    def accepted(self, started: float) -> bool:
        """A call made at `started` was let through; True if that ended the pool's rest."""
        if not self.strikes or started < self._struck_at:
            return False
        self.strikes = 0
        self._until = -math.inf
        return True

    def refused(self, started: float, retry_after: float | None = None, most: float = math.inf) -> bool:
        """A call made at `started` was refused for lack of quota; True if it was made after the last refusal.

        `most`: seconds until the quota is full again, where that is known: the pool rests no longer.
        """
        now, fresh = self._clock.now(), started >= self._struck_at
        if fresh:
            self.strikes += 1
            self._struck_at = now
            pause = min(most, self._pause())
            # Not `max`: the call that was refused now is the one that kept the others waiting.
            self._until = now + pause
        if retry_after is not None and retry_after > 0:
            said = min(LONGEST_S, retry_after)
            self.said_until = max(self.said_until, now + said)
            self._until = max(self._until, now + said + self._jitter(said))
        return fresh

    def rest(self, seconds: float) -> None:
        """The provider has told another gateway of this account to come back after so long."""
        now, said = self._clock.now(), min(LONGEST_S, seconds)
        if now + said > self._until:
            self.strikes = max(1, self.strikes)
            self._struck_at = now
            self._until = now + said + self._jitter(said)

    def _pause(self) -> float:
        backoff = self._backoff
        exact = min(backoff.max_delay_s, backoff.base_s * backoff.factor ** min(64, self.strikes - 1))
        return exact + self._jitter(exact)

    def _jitter(self, seconds: float) -> float:
        if not self._backoff.jitter_s:
            return 0.0
        return self._clock.random.uniform(0.0, max(self._backoff.jitter_s, SPREAD * seconds))
