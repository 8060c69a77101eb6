"""What answering ahead knows, in memory: it outlives a reload as it is, and nobody copies it."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict

import msgspec
from msgspec import structs

from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange
from hapenny.prefetch.budget import DayBudget
from hapenny.prefetch.contract import PrefetchStats, SeenRequest
from hapenny.prefetch.forecast import Demand, Load
from hapenny.prefetch.options import PrefetchOptions
from hapenny.telemetry.rows import Row

_LARGEST, _ALL = 32_768, 64_000_000
"""Bytes of the largest request that is remembered, and of all."""


class SeenRequests:
    """Requests that may be asked again, by what they ask (`Keys.question`, hex): bounded in number and in bytes, those
    asked last kept longest."""

    def __init__(self) -> None:
        self._most = 0
        self._seen: OrderedDict[str, SeenRequest] = OrderedDict()
        self._bytes = 0

    def bound(self, most: int) -> None:
        """Remembers at most so many from now on."""
        self._most = most
        self._trim()

    def see(self, question: str, key: bytes, exchange: Exchange, row: Row) -> bool:
        """Remembers a finished request; False for one that is too large."""
        seen = self._seen.pop(question, None)
        if seen is None:
            context = structs.replace(exchange.context, cache_control=(), priority=-1)
            request = structs.replace(exchange.original, stream=False, stream_usage=False)
            size = len(msgspec.msgpack.encode(request))
            if size > _LARGEST:
                return False
            seen = SeenRequest(question, request, context, row.route, size=size)
            self._bytes += size
        seen.key, seen.uses, seen.last = key, seen.uses + 1, row.wall
        seen.output = max(seen.output, row.output_tokens, row.tokens.output if row.tokens is not None else 0)
        seen.prompt = max(seen.prompt, row.tokens.prompt if row.tokens is not None else 0)
        self._seen[question] = seen
        self._trim()
        return True

    def take(self, seen: SeenRequest) -> None:
        """Takes one over whose key is not known."""
        self._seen[seen.question] = structs.replace(seen, key=b"")
        self._bytes += seen.size
        self._trim()

    def forget(self, question: str) -> None:
        """Drops one, if it is there."""
        seen = self._seen.pop(question, None)
        if seen is not None:
            self._bytes -= seen.size

    def forget_keys(self) -> bool:
        """The keys of answers are found anew, as after a change of policy; whether there are any."""
        for seen in self._seen.values():
            seen.key = b""
        return bool(self._seen)

    def get(self, question: str) -> SeenRequest | None:
        """One of them."""
        return self._seen.get(question)

    def all(self) -> list[SeenRequest]:
        """All of them, those asked last at the end."""
        return list(self._seen.values())

    def __contains__(self, question: str) -> bool:
        return question in self._seen

    def __len__(self) -> int:
        return len(self._seen)

    def _trim(self) -> None:
        while len(self._seen) > self._most or self._bytes > _ALL:
            self._bytes -= self._seen.popitem(last=False)[1].size


class PrefetchMemory:
    """All that a planner goes by. `clock`: the day of the budget is its own."""

    def __init__(self, clock: Clock) -> None:
        self.requests = SeenRequests()
        self.demand = Demand()
        self.load = Load()
        self.budget = DayBudget(0, clock)
        self.unused: dict[bytes, tuple[str, int]] = {}
        """Answers by key that wait for their first request: their route, and what they cost."""
        self.under_way: set[str] = set()
        """Questions that are being answered."""
        self.counts = PrefetchStats()
        self.ways: Counter[str] = Counter()
        self.outdated = False
        """Whether keys have to be found anew: answers went with a change."""
        self.informed = False
        """Whether the ledger was read."""
        self.informing = asyncio.Lock()

    def serve(self, options: PrefetchOptions) -> None:
        """Goes by other options from now on; keys of answers are found anew."""
        self.requests.bound(options.most)
        self.demand.most = options.most
        self.budget.limit = int(options.budget_usd * 1e9)
        self.outdated |= self.requests.forget_keys()
