"""The part of a wait that helps nobody: a queue that has stood for a whole window is no burst that passes.

Where more is asked than a quota gives for minutes, whoever may wait until the deadline does so: the queue fills up to
it, everybody waits that long, and no request more is served than with a short queue. So the wait that is worth starting
is shortened by what stands. Controlled delay (Nichols and Jacobson, ACM Queue 10(5), 2012) tells the two apart in the
same way: the least wait within a window is what a burst did not cause. Here a request is turned away on arrival, before
it has waited, and not from the queue's head.
"""

from __future__ import annotations

import math

TARGET_S = 2.0
"""A standing wait that is left alone: it keeps the quota in use between arrivals."""
WINDOW_S = 60.0
"""The shortest window: quotas are counted by the minute."""
PASSES = 2.0
"""A window is at least so many of the longest waits: a burst that may be served in time has then passed."""


class StandingWait:
    """Learns the standing wait of one class of requests from the waits that arrivals are told.

    `excess` are the seconds by which the longest wait is shortened; 0 while bursts pass within a window.
    """

    __slots__ = ("_least", "_longest", "_until", "excess")

    def __init__(self) -> None:
        self.excess = 0.0
        self._least = math.inf
        self._longest = 0.0
        self._until = -math.inf

    def seen(self, now: float, wait_s: float, longest_s: float) -> None:
        """A request arrived that would wait `wait_s`, and may wait `longest_s`."""
        if now >= self._until:
            self._close(now)
        if wait_s < self._least:
            self._least = wait_s
        if self._longest < longest_s < math.inf:
            self._longest = longest_s

    def within(self, longest_s: float) -> float:
        """The longest wait worth starting of a request that may wait `longest_s`."""
        return longest_s if not self.excess else max(min(longest_s, TARGET_S), longest_s - self.excess)

    def _close(self, now: float) -> None:
        """Ends a window: what its least wait has beyond the target is excess; one in which nobody waited halves it."""
        window = max(WINDOW_S, PASSES * self._longest)
        if now - self._until > window or self.excess + self._least <= TARGET_S:  # nobody came, or no more stands
            self.excess = 0.0
        elif self._least <= 0:
            self.excess /= 2
        else:
            self.excess = min(max(0.0, self._longest - TARGET_S), max(0.0, self.excess + self._least - TARGET_S))
        self._least, self._until, self._longest = math.inf, now + window, 0.0
