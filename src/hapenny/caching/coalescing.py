"""Coalescing: identical calls under way share one upstream."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hapenny.caching.keys import Keys, uncacheable
from hapenny.caching.options import FLIGHTS_STAGE
from hapenny.core.answer import Answer, Outcome, Transform
from hapenny.core.errors import Failure
from hapenny.core.events import Event
from hapenny.core.exchange import CacheFact, Exchange
from hapenny.core.flight import Flight
from hapenny.core.guard import Guard
from hapenny.core.stage import Ask, Decision, Onward, Stage


class Boarding(Decision):
    """Which flight to take."""

    key: bytes


class _Told(Transform):
    """Tells a follower what is known of the answer it got: who gave it, and what else decides whether it may be kept.

    Said when the answer has begun (the model stands in the headers) and again at its end, before the caches outside
    look at it: the starter may have left by then, so that they have nobody else to ask.
    """

    watches = True

    def __init__(self, starter: Exchange, follower: Exchange) -> None:
        self._starter, self._follower = starter, follower
        self._tell()

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Says it again."""
        self._tell()
        return ()

    def _tell(self) -> None:
        starter = self._starter
        model, replayed = starter.target.model, starter.answer.replayed
        if starter.adopted is not None:
            model = starter.adopted.target.model
        elif starter.cache is not None and starter.cache.hit:
            replayed = True
            model = starter.answer.model or model
        own = self._follower.answer.guarded  # of the follower's own answer, on its way out
        self._follower.answer = msgspec.structs.replace(
            starter.answer, model=model, replayed=replayed, guarded=starter.answer.guarded or own
        )


class FlightStage(Stage, spec=FLIGHTS_STAGE):
    """Lets the first request of a kind call and the others follow its answer. Only what the cache may serve is
    coalesced; followers save their full price, the starter's row pays."""

    def __init__(
        self, keys: Keys, *, any_temperature: bool = False, max_flights: int = 10_000, guard: Guard | None = None
    ) -> None:
        """`guard`: is told of flights that ended by no fault of an upstream's."""
        self._keys = keys
        self._any_temperature = any_temperature
        self._max = max_flights
        self.flights: dict[bytes, Flight] = {}
        self._guard = guard

    @property
    def under_way(self) -> int:
        """How many flights there are now."""
        return len(self.flights)

    async def decide(self, exchange: Exchange, ask: Ask) -> Boarding | None:
        """None for what may not be shared, or when too many flights are under way."""
        if uncacheable(exchange, any_temperature=self._any_temperature) or exchange.background:
            return None
        key = self._keys.key(exchange)
        if key not in self.flights and len(self.flights) >= self._max:
            return None
        return Boarding(key=key)

    async def apply(self, decision: Boarding, exchange: Exchange, onward: Onward) -> Answer:
        """Joins the flight of this key, or starts it."""
        key = decision.key
        flight = self.flights.get(key)
        if flight is not None and flight.open:
            exchange.cache = CacheFact(layer=self.name, hit=True, collapsed=True, key=key[:8].hex())
            try:
                answer = await flight.join(exchange)
            except Failure as failure:
                if not failure.personal:
                    raise
                exchange.cache = None  # whoever began it may not go on; that says nothing of this request
                return await onward(exchange)
            return answer.through(_Told(flight.exchange, exchange))

        def landed(over: Flight) -> None:
            if self.flights.get(key) is over:
                del self.flights[key]
            if (broken := over.broken) is not None and self._guard is not None:
                self._guard.note(broken)

        flight = Flight(exchange, lambda: onward(exchange), landed)
        self.flights[key] = flight
        return await flight.join(exchange)
