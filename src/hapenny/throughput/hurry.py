"""A call that has to be in time: where it goes, and when a second one has to race it.

Theory of operation. Places are what they are predicted to take (`speed`). The operator's first place of the cheapest
class keeps a call while it is in time and not clearly slower than its equals, since a provider's prompt cache is one
place's own. Else the fastest of the cheapest class that is in time answers; where none is, the fastest of all. A place
that nobody has called of late is tried once in a while, where what is known is too slow or the place is no dearer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hapenny.core.latency import Haste
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.speed import SURE

CLEARLY = 1.25
"""How much slower the first place may be than the best of its class."""


class Hurry:
    """What a deadline means for one call.

    Args:
        due: when the whole answer has to be there, `clock.now()` seconds.
        tokens: the usual length of such an answer; None: not known.
        streamed: whether the answer is streamed.
        may: whether a reaction is allowed.
        note: writes a reaction down.
    """

    __slots__ = ("due", "may", "note", "streamed", "tokens")

    def __init__(
        self,
        due: float,
        tokens: int | None,
        *,
        streamed: bool = True,
        may: Callable[[str], bool] = lambda reaction: True,
        note: Callable[[Haste], None] = lambda reaction: None,
    ) -> None:
        self.due = due
        self.tokens = tokens
        self.streamed = streamed
        self.may = may
        self.note = note

    def order(self, places: Sequence[Endpoint], now: float) -> list[Endpoint]:
        """Places that may take the call now, best first. The first of `places` is the operator's own first."""
        least = min(place.cost_factor for place in places)
        within = [place for place in places if place.cost_factor <= least or self.may("faster_tier")]
        times = {place.name: self.predicted(place, now) for place in within}
        left = self.due - now
        slow = all(time is None or time > left for time in times.values())
        for place in within:
            if times[place.name] is None and (slow or place.cost_factor <= least) and place.speed.due(now):
                return [place, *(other for other in places if other is not place)]
        known = [(time, place) for place in within if (time := times[place.name]) is not None]
        first = self._chosen(known, left) if known else places[0]
        if first is not places[0] and first.cost_factor <= places[0].cost_factor and not self.may("other_region"):
            first = places[0]
        rest = sorted((p for p in places if p is not first), key=lambda p: times.get(p.name) or float("inf"))
        return [first, *rest]

    def _chosen(self, known: list[tuple[float, Endpoint]], left: float) -> Endpoint:
        for factor in sorted({place.cost_factor for _, place in known}):
            group = [(time, place) for time, place in known if place.cost_factor == factor]
            best = min(time for time, _ in group)
            if best <= left:
                return next(place for time, place in group if time <= min(left, CLEARLY * best))
        return min(known, key=lambda pair: pair[0])[1]

    def predicted(self, place: Endpoint, now: float, q: float = SURE) -> float | None:
        """Seconds until the whole answer would be there; None: not known."""
        return place.speed.predicted(now, self.tokens, streamed=self.streamed, q=q)

    def race_in(self, places: Sequence[Endpoint], now: float) -> float | None:
        """Seconds after which a second call has to be made, if the first has not begun: later it would miss the
        deadline, too. None: nothing is known, or it would miss it already."""
        if not self.may("hedge"):
            return None
        times = [time for place in places if (time := self.predicted(place, now, 0.5)) is not None]
        wait = self.due - now - min(times) if times else -1.0
        return wait if wait > 0 else None
