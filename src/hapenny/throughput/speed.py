"""How fast one place answers now, from its own calls: time to the first token and per further token.

Theory of operation. The last `KEPT` samples count, each half as much after every half-life: what a place did a minute
ago says little of what it does now. Quantiles are of these weights. A place that has not been called for `STALE_S` is
not known any more; one request in that time is sent there to see (`due`). Prompts differ in length and in what of them
a provider has cached, which the quantiles hold as scatter; answers differ in length, which the time per token takes
account of.
"""

from __future__ import annotations

from collections import deque

KEPT = 64
HALF_LIFE_S = 30.0
STALE_S = 30.0
"""After so long without a sample nothing is known."""
SURE = 0.75
"""The quantile that is reckoned with: three of four calls are at least as fast."""
_AGAIN_S = 0.1
"""For how long a quantile is not looked for again."""


class Recent:
    """The last samples of one measure, newer ones weighing more."""

    __slots__ = ("_asked", "_samples", "_until")

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self._asked: dict[float, float] = {}
        self._until = 0.0

    def add(self, now: float, value: float) -> None:
        """Takes a sample."""
        self._samples.append((now, value))

    def age(self, now: float) -> float:
        """Seconds since the last sample; `inf` without one."""
        return now - self._samples[-1][0] if self._samples else float("inf")

    def quantile(self, q: float, now: float) -> float | None:
        """The `q`th quantile (0 to 1) by weight; None without a sample."""
        if not self._samples:
            return None
        if now >= self._until:
            self._asked.clear()
            self._until = now + _AGAIN_S
        known = self._asked.get(q)
        if known is None:
            known = self._asked[q] = self._quantile(q, now)
        return known

    def _quantile(self, q: float, now: float) -> float:
        weighed = sorted((value, 0.5 ** ((now - at) / HALF_LIFE_S)) for at, value in self._samples)
        wanted = q * sum(weight for _, weight in weighed)
        for value, weight in weighed:
            wanted -= weight
            if wanted <= 0:
                return value
        return weighed[-1][0]


class Speed:
    """Of one place where a model is called: a region, a service tier, a server."""

    __slots__ = ("_probed", "first", "token", "whole")

    def __init__(self) -> None:
        self.first = Recent()
        """Seconds to the first token of streams."""
        self.token = Recent()
        """Seconds for each further token."""
        self.whole = Recent()
        """Seconds of answers that come whole."""
        self._probed = float("-inf")

    def began(self, now: float, seconds: float) -> None:
        """A stream began, so long after it was asked for."""
        self.first.add(now, seconds)

    def ended(self, now: float, seconds: float, after_first: float | None, tokens: int) -> None:
        """An answer ended: `seconds` after it was asked for, and where it was streamed `after_first` after it began."""
        if after_first is None:
            self.whole.add(now, seconds)
        elif tokens > 1:
            self.token.add(now, after_first / (tokens - 1))

    def known(self, now: float) -> bool:
        """Whether it was measured of late."""
        return min(self.first.age(now), self.whole.age(now)) <= STALE_S

    def due(self, now: float) -> bool:
        """Whether it is time to see how fast it is; then that is done."""
        if self.known(now) or now - self._probed < STALE_S:
            return False
        self._probed = now
        return True

    def predicted(self, now: float, tokens: int | None, *, streamed: bool = True, q: float = SURE) -> float | None:
        """Seconds until an answer of so many tokens (None: not known) would be there; None while the place is not
        known. For streams of unknown length it is the time to the first token."""
        if not self.known(now):
            return None
        first = self.first.quantile(q, now)
        if not streamed or first is None:
            return self.whole.quantile(q, now) or first
        pace = self.token.quantile(q, now)
        return first + (pace or 0.0) * max(0, (tokens or 1) - 1)
