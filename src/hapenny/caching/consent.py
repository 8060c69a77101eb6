"""What the exact layer would save if the route consented to temperatures above 0: it watches, whatever the mode.

Most clients send no temperature, and without the route's consent their answers are neither kept nor served. Only hashes
are kept, so that an operator reads what `cache_any_temperature` would bring before deciding on it.
"""

from __future__ import annotations

from collections import OrderedDict

from hapenny.caching.keys import Keys, uncacheable
from hapenny.core.exchange import Exchange
from hapenny.core.shape import WARM
from hapenny.core.stage import Ask, Decision, Stage
from hapenny.core.watching import Sampler

MOST = 50_000
"""Hashes that are kept."""
CONSENT = "consent"


class ConsentWatch(Stage):
    """Remembers which questions came before. `keys`: of the route; `ttl`: of its exact layer, seconds."""

    name = "consent"
    needs = WARM

    def __init__(self, keys: Keys, ttl: float, sampler: Sampler) -> None:
        self._keys, self._ttl, self._sampler = keys, ttl, sampler
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    async def decide(self, exchange: Exchange, ask: Ask) -> Decision | None:
        """None where consent would change nothing."""
        if exchange.background or exchange.context.cache_control:
            return None
        if uncacheable(exchange) != "temperature" or uncacheable(exchange, any_temperature=True):
            return None
        weight = self._sampler.weight(exchange.request.question)
        if not weight:
            return None
        key, now = self._keys.key(exchange), exchange.clock.wall()
        known = self._seen.get(key, 0.0) > now
        if not known:
            self._seen.pop(key, None)
            self._seen[key] = now + self._ttl
            if len(self._seen) > MOST:
                self._seen.popitem(last=False)
        return Decision(spared=known, weight=weight)
