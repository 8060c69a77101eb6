"""How much a stage that only watches looks at: everything while there is little traffic, else a share of the questions.

Watching costs processor time, and saves nothing yet. Which questions are watched is drawn by their text, so that one
that comes again is seen again; each that is watched stands for those that were not.
"""

from __future__ import annotations

import zlib

from hapenny.core.clock import Clock

MOST_A_SECOND = 20.0
"""Requests a second that are all watched."""
_STEP = 4
_SPARSEST = 4**6


class Sampler:
    """Draws questions, fewer of them the more there are."""

    def __init__(self, clock: Clock, most: float = MOST_A_SECOND) -> None:
        self._clock, self._most = clock, most
        self._every = 1
        self._since = clock.now()
        self._watched = 0
        self._seen = 0

    def weight(self, question: str) -> int:
        """How many requests this one stands for; 0: it is not watched."""
        now = self._clock.now()
        if now - self._since >= 1.0:
            self._turn(now)
        self._seen += 1
        if self._every > 1 and zlib.crc32(question.encode("utf-8", "surrogatepass")) % self._every:
            return 0
        if self._watched >= self._most:
            return 0
        self._watched += 1
        return self._every

    def _turn(self, now: float) -> None:
        """A second is over: as many are watched in the next as keep within the bound at this pace."""
        pace = self._seen / (now - self._since)
        if pace > self._most * self._every and self._every < _SPARSEST:
            self._every *= _STEP
        elif self._every > 1 and pace < self._most * self._every / _STEP / 2:
            self._every //= _STEP
        self._since, self._seen, self._watched = now, 0, 0
