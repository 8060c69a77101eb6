"""The requests that may be asked again, in memory: bounded in number and in bytes, those asked last kept longest."""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from msgspec import structs

from hapenny.core.exchange import Exchange
from hapenny.prefetch.forecast import SeenRequest
from hapenny.telemetry.rows import Row

_LARGEST, _ALL = 32_768, 64_000_000
"""Bytes of the largest request that is remembered, and of all."""


class Remembered:
    """Requests by what they ask (`Keys.question`, hex)."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[str, SeenRequest] = OrderedDict()
        self._bytes = 0

    def see(self, question: str, key: bytes, exchange: Exchange, row: Row) -> bool:
        """Remembers a finished request; False for one that is too large."""
        known = self._known.pop(question, None)
        if known is None:
            context = structs.replace(exchange.context, cache_control=(), priority=-1)
            request = structs.replace(exchange.original, stream=False, stream_usage=False)
            size = len(msgspec.msgpack.encode(request))
            if size > _LARGEST:
                return False
            known = SeenRequest(question, request, context, row.route, size=size)
            self._bytes += size
        known.key, known.uses, known.last = key, known.uses + 1, row.wall
        known.output = max(known.output, row.output_tokens, row.tokens.output if row.tokens is not None else 0)
        known.prompt = max(known.prompt, row.tokens.prompt if row.tokens is not None else 0)
        self._known[question] = known
        self._bound()
        return True

    def take(self, known: SeenRequest) -> None:
        """Takes one over whose key is not known."""
        self._known[known.question] = structs.replace(known, key=b"")
        self._bytes += known.size
        self._bound()

    def forget(self, question: str) -> None:
        """Drops one, if it is there."""
        known = self._known.pop(question, None)
        if known is not None:
            self._bytes -= known.size

    def get(self, question: str) -> SeenRequest | None:
        """One of them."""
        return self._known.get(question)

    def all(self) -> list[SeenRequest]:
        """All of them, those asked last at the end."""
        return list(self._known.values())

    def __contains__(self, question: str) -> bool:
        return question in self._known

    def __len__(self) -> int:
        return len(self._known)

    def _bound(self) -> None:
        while len(self._known) > self._most or self._bytes > _ALL:
            self._bytes -= self._known.popitem(last=False)[1].size
