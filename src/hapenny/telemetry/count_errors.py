"""By how much token counts are wrong: the errors of the newest, and the margin that follows from them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

NEWEST = 64
"""Errors, and sizes of answers, that a bound rests on: older ones are those of counts that have learnt since."""
_SURE = 0.01
"""The mean error from which on samples are lessons enough, and how many of the last counts it is taken over."""
LOOKS = 32
ENOUGH = 12
"""Errors, or sizes, from which on the newest say where a bound is."""
_COVERED = 0.95


class Misses:
    """By how much counts fell short of what was reported then: the bound of those that nothing is reported of.

    The margin is an empirical quantile of the last relative errors, words and all; before there are enough of them the
    estimator's own bound holds, which is wider.
    """

    __slots__ = ("_known", "_newest")

    def __init__(self) -> None:
        self._newest: deque[float] = deque(maxlen=NEWEST)
        self._known: float | None = None

    def note(self, reported: float, counted: float) -> None:
        """Takes a reported count and what we had counted before we learnt of it."""
        if counted >= 1:
            self._newest.append(reported / round(counted) - 1.0)  # both are whole tokens
            self._known = None

    @property
    def small(self) -> bool:
        """Whether counts have been good for long enough."""
        newest = self._newest
        return len(newest) >= LOOKS and sum(map(abs, newest)) <= _SURE * len(newest)

    def margin(self, before: Callable[[], float]) -> float:
        """What to add to a count, as a share of it; `before` gives it while little is known."""
        if len(self._newest) < ENOUGH:
            return before()
        if self._known is None:
            ranked = sorted(self._newest)
            self._known = max(0.0, ranked[min(len(ranked) - 1, int(_COVERED * len(ranked)))])
        return self._known
