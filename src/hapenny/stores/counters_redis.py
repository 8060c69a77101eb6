"""Counters in Redis or Valkey, shared by processes and hosts: one Lua script each to reserve, settle, correct, expire.

A script runs atomically and takes its time from the server, so that processes with different clocks agree. Each
counter is a hash, open tickets are hashes listed by expiry in a sorted set. Keys of one reservation must share a slot:
put what they have in common in braces (`{pool}:tpm`). `settle` never waits: settlements are sent in order in the
background, and wait for a server that is lost; what is lost for good is settled as reserved when its ticket expires.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from hapenny.core.clock import Clock
from hapenny.core.guard import Guard
from hapenny.stores.counters import Charge, Grant, Limit, Ticket
from hapenny.stores.counters_redis_scripts import CORRECT, EXPIRE, LEVEL, RESERVE, SETTLE
from hapenny.stores.redis_line import Command, RedisLine

MOST_RECENT = 10_000
"""Counters whose limits are remembered, for a server that comes back empty."""
EXPIRE_EVERY_S = 30.0
"""How often a process that reserves also settles the tickets of processes that died."""


class RedisCounters:
    """`Counters` in a Redis or Valkey.

    `url`: redis:// or rediss://. `prefix`: of all keys. `own_clock`: take times from `clock` instead of the server
    (tests; all processes must then agree). Tickets of charges that share a `{tag}` are kept under that tag. Methods
    that wait raise `ConnectionError` when the server cannot be reached, does not answer in time or refuses to write; a
    call that is cancelled while it waits has reserved nothing.
    """

    def __init__(self, url: str, clock: Clock, *, prefix: str = "hapenny:", own_clock: bool = False) -> None:
        self._clock = clock
        self._prefix = prefix
        self._own_clock = own_clock
        self._line = RedisLine(url, clock, "counter store", f"{prefix}probe")
        self._tags: dict[str, None] = {}
        self._expired_at = clock.now()
        self._recent: OrderedDict[str, Limit] = OrderedDict()
        self._line.emptied = self._begin_empty

    @property
    def guards(self) -> Sequence[Guard]:
        return (self._line.guard,)

    @property
    def lost(self) -> int:
        """Settlements that were given up: their tickets expire by themselves, settled as reserved."""
        return self._line.dropped

    async def reserve(self, charges: Sequence[Charge], ttl_s: float = 600.0) -> Grant:
        """One round trip; settlements that were not sent yet go first."""
        tag = _tag(charges[0].key) if charges else ""
        self._tags.setdefault(tag)
        if self._clock.now() - self._expired_at > EXPIRE_EVERY_S:
            self._expired_at = self._clock.now()
            for used in self._tags:
                self._line.post(Command(EXPIRE, (self._index(used),), (self._now(),)))
        ticket = Ticket(self._clock.new_id(), tuple(charges), tag)
        keys = (*self._ticket(ticket), *(self._prefix + c.key for c in charges))
        arguments: list[Any] = [self._now(), ttl_s]
        for charge in charges:
            limit = charge.limit
            if self._recent.get(charge.key) is not limit:
                self._recent[charge.key] = limit
                if len(self._recent) > MOST_RECENT:
                    self._recent.popitem(last=False)
            arguments += [limit.kind, limit.amount, limit.window_s, limit.capacity, charge.amount]
        undo = self._settlement(ticket, [0.0] * len(charges))
        granted, wait, level, taken = await self._line.ask(Command(RESERVE, keys, tuple(arguments)), undo)
        seconds = float(wait)
        if granted != b"1":
            return Grant(None, math.inf if seconds < 0 else seconds, float(level), float(taken))
        return Grant(ticket, 0.0, float(level), float(taken))

    def settle(self, ticket: Ticket, actual: Sequence[float]) -> None:
        self._line.post(self._settlement(ticket, actual))

    def correct(self, key: str, limit: Limit, at_most: float) -> None:
        arguments = (self._now(), limit.kind, limit.amount, limit.window_s, limit.capacity, at_most)
        self._line.post(Command(CORRECT, (self._prefix + key,), arguments))

    async def levels(self, charges: Sequence[Charge]) -> list[float]:
        levels = []
        for key, limit, _ in charges:
            arguments = (self._now(), limit.kind, limit.amount, limit.window_s, limit.capacity)
            levels.append(float(await self._line.ask(Command(LEVEL, (self._prefix + key,), arguments))))
        return levels

    async def expire(self) -> int:
        """For the pools this process has used."""
        count = 0
        for tag in list(self._tags):
            count += int(await self._line.ask(Command(EXPIRE, (self._index(tag),), (self._now(),))))
        return count

    async def aclose(self) -> None:
        await self._line.aclose()

    def _begin_empty(self) -> None:
        """The server has forgotten what was taken of late: its buckets fill up from nothing, so that a quota is not
        used twice. What is held and budgets of a period do not come back by time, and stay as they are there."""
        for key, limit in self._recent.items():
            if limit.kind in ("refill", "fixed"):
                self.correct(key, limit, 0.0)

    def _settlement(self, ticket: Ticket, actual: Sequence[float]) -> Command:
        return Command(SETTLE, self._ticket(ticket), (self._now(), *actual))

    def _ticket(self, ticket: Ticket) -> tuple[str, str]:
        return self._index(ticket.scope), f"{self._prefix}{ticket.scope}:ticket:{ticket.id}"

    def _index(self, tag: str) -> str:
        return f"{self._prefix}{tag}:tickets"

    def _now(self) -> Any:
        return repr(self._clock.wall()) if self._own_clock else ""


def _tag(key: str) -> str:
    """The part in braces, with them; a key without is its own tag."""
    start = key.find("{")
    end = key.find("}", start + 1)
    return key[start : end + 1] if 0 <= start < end else ""
