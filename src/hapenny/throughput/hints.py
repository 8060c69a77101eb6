"""What gateways tell one another about providers: an endpoint that has just been given up, a pool that has to rest.

A hint is no verdict. Of an endpoint that another gateway has given up, the first failure of one's own is believed for
`WARNED_S`, where it takes several otherwise; a provider's own word of when to come back (`Retry-After`) is about the
account, so all of its gateways obey it, up to the same limit as that of their own refusals. Nothing else follows: a
gateway whose way to the provider works keeps using it.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from hapenny.core.clock import Clock
from hapenny.throughput.dispatchers import Dispatchers
from hapenny.throughput.endpoint import Endpoint

WARNED_S = 10.0
"""For how long another gateway's word counts."""
LEAST_S = 0.2
"""A shorter rest is over before anybody hears of it."""


class Hint(msgspec.Struct, frozen=True, array_like=True):
    """One message."""

    by: str
    model: str
    backend: str
    endpoint: str
    rest_s: float = 0.0
    """For how long the pool has to rest, by the provider's word; 0: the endpoint was given up."""


class Hints:
    """What this gateway tells, and what it takes in.

    Args:
        dispatchers: with the endpoints.
        clock: the deployment's.
    """

    def __init__(self, dispatchers: Dispatchers, clock: Clock) -> None:
        self._dispatchers = dispatchers
        self._clock = clock
        self._me = clock.new_id()
        self._told: dict[tuple[str, str, str], tuple[int, float]] = {}
        self.taken = 0
        """Hints of others that were about an endpoint of ours."""

    def news(self) -> list[Hint]:
        """What has happened since it was asked last."""
        now, news = self._clock.now(), []
        known: dict[tuple[str, str, str], tuple[int, float]] = {}
        for key, endpoint in self._endpoints():
            said = endpoint.quota.hold.said_until if endpoint.quota is not None else 0.0
            opened, told = self._told.get(key, (0, 0.0))
            if endpoint.breaker.opened > opened:
                news.append(Hint(self._me, *key))
            if said > told and said - now > LEAST_S:
                news.append(Hint(self._me, *key, said - now))
            known[key] = endpoint.breaker.opened, max(said, told)
        self._told = known
        return news

    def take(self, hint: Hint) -> None:
        """Takes in what another gateway says."""
        if hint.by == self._me:
            return
        for key, endpoint in self._endpoints():
            if key != (hint.model, hint.backend, hint.endpoint):
                continue
            self.taken += 1
            if hint.rest_s <= 0:
                endpoint.breaker.warn(WARNED_S)
            elif endpoint.quota is not None:
                endpoint.quota.hold.rest(hint.rest_s)

    def _endpoints(self) -> Iterator[tuple[tuple[str, str, str], Endpoint]]:
        for target, endpoint in self._dispatchers.endpoints():
            yield (target.model, target.backend, endpoint.name), endpoint
