"""A forecast of a rate, one step ahead: last value, moved by what yesterday says, only as far as that has helped.

Theory of operation. Traffic of LLM fleets is close to a random walk from one ten minutes to the next: the last value is
hard to beat, and a forecast that is always believed does harm. So a few cautious guesses are kept side by side: the
last value smoothed with the one before; the last value plus part of yesterday's change at this hour; the last value
drawn a little towards yesterday's level at the next hour (both smoothed over an hour). Each is judged by its error over
the past day. `next` answers only while the best of them has erred clearly less than the last value by itself; else
there is no forecast, and the last value stands.
"""

from __future__ import annotations

import math
from collections import deque

SURE = 2.0
"""Standard errors by which a guess must have erred less than the last value over the past day, or it is luck."""
_SIDE = 3
"""Steps on each side over which yesterday is smoothed."""


class DayForecast:
    """Call `observe` with each step's value in order, then `next` for the value of the step to come.

    Args:
        step_s: seconds of a step.
        day_s: seconds after which traffic repeats.
    """

    def __init__(self, step_s: float = 600.0, day_s: float = 86_400.0) -> None:
        self._day = max(2 * _SIDE + 2, round(day_s / step_s))
        self._values: deque[float] = deque(maxlen=self._day + _SIDE + 1)
        self._smooth: float | None = None
        self._guesses: tuple[float, ...] = ()
        self._gains: deque[tuple[float, ...]] = deque(maxlen=self._day)

    def observe(self, value: float) -> None:
        """A step is over: what it came to."""
        if self._guesses:
            last = abs(self._guesses[0] - value)
            self._gains.append(tuple(last - abs(guess - value) for guess in self._guesses[1:]))
        self._values.append(value)
        self._smooth = value if self._smooth is None else self._smooth + 0.8 * (value - self._smooth)
        self._guesses = self._ahead(value, self._smooth)

    def _best(self) -> tuple[float, int]:
        """By how many standard errors the best guess erred less than the last value over the past day, and which."""
        if len(self._gains) < self._day:
            return 0.0, 0
        best, which = 0.0, 0
        for place in range(len(self._gains[0])):
            gains = [each[place] for each in self._gains]
            mean = sum(gains) / len(gains)
            spread = math.sqrt(sum((gain - mean) ** 2 for gain in gains)) / len(gains)
            if spread > 0 and mean / spread > best:
                best, which = mean / spread, place
        return best, which

    @property
    def beats_last(self) -> bool:
        """Whether the best guess has erred clearly less than the last value over the past day."""
        return self._best()[0] > SURE

    def next(self) -> float | None:
        """The forecast; None as long as it would be no better than the last value."""
        sure, which = self._best()
        return max(0.0, self._guesses[1 + which]) if sure > SURE else None

    def _ahead(self, last: float, smooth: float) -> tuple[float, ...]:
        """The last value and the guesses; nothing before a day has been seen."""
        if len(self._values) < self._day + _SIDE + 1:
            return ()
        known, width = self._values, 2 * _SIDE + 1
        # `known[_SIDE]` is this hour of yesterday.
        now = sum(known[place] for place in range(width)) / width
        then = sum(known[place] for place in range(1, width + 1)) / width
        change = then - now
        return (last, smooth, last + 0.3 * change, last + 0.1 * (then - last), last + 0.2 * (then - last))
