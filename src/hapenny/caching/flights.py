"""Coalescing: identical calls under way share one upstream."""

from __future__ import annotations

from hapenny.caching.keys import Keys, uncacheable
from hapenny.core.answer import Answer
from hapenny.core.exchange import CacheFact, Exchange
from hapenny.core.flight import Flight
from hapenny.core.stage import Ask, Decision, Onward, Stage

_SHARED = ("evidence", "cache_tags", "citations")
"""What a follower's answer rests on as well, and can be invalidated by."""


class Boarding(Decision):
    """Which flight to take."""

    key: bytes


class FlightStage(Stage):
    """Lets the first request of a kind call and the others follow its answer. Only what the cache may serve is
    coalesced; followers save their full price, the starter's row pays."""

    name = "flights"

    def __init__(self, keys: Keys, *, any_temperature: bool = False, max_flights: int = 10_000) -> None:
        self._keys = keys
        self._any_temperature = any_temperature
        self._max = max_flights
        self._flights: dict[bytes, Flight] = {}

    @property
    def under_way(self) -> int:
        """How many flights there are now."""
        return len(self._flights)

    async def decide(self, exchange: Exchange, ask: Ask) -> Boarding | None:
        """None for what may not be shared, or when too many flights are under way."""
        if uncacheable(exchange, any_temperature=self._any_temperature) or exchange.background:
            return None
        key = self._keys.key(exchange)
        if key not in self._flights and len(self._flights) >= self._max:
            return None
        return Boarding(key=key)

    async def apply(self, decision: Boarding, exchange: Exchange, onward: Onward) -> Answer:
        """Joins the flight of this key, or starts it."""
        key = decision.key
        flight = self._flights.get(key)
        if flight is not None and flight.open:
            exchange.cache = CacheFact(layer="flights", hit=True, collapsed=True, key=key[:8].hex())
            answer = await flight.join(exchange)
            facts = flight.exchange.facts
            exchange.facts["model"] = flight.exchange.target.model
            exchange.facts.update({name: facts[name] for name in _SHARED if name in facts})
            return answer

        def landed(over: Flight) -> None:
            if self._flights.get(key) is over:
                del self._flights[key]

        flight = Flight(exchange, lambda: onward(exchange), landed)
        self._flights[key] = flight
        return await flight.join(exchange)
