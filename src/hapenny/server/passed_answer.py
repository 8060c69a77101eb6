"""A raw answer of a provider on its way to the client, and what it turns out to have cost."""

from __future__ import annotations

from hapenny.backends.contract import Raw
from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.exchange import Call, Exchange
from hapenny.gateway.gateway import Gateway
from hapenny.protocols.gauge import Gauge
from hapenny.server.made_object import Made


class Passed:
    """Pieces of a response (`server.transport.messages`)."""

    __slots__ = (
        "_exchange",
        "_gateway",
        "_gauge",
        "_made",
        "_makes",
        "_paid",
        "_queries",
        "_raw",
        "_whole",
        "last",
        "late",
    )

    def __init__(
        self,
        gateway: Gateway,
        exchange: Exchange,
        paid: Call,
        raw: Raw,
        method: str,
        made: Made | None,
        queries: Tokens | None = None,
    ) -> None:
        self.last = self.late = False
        self._gateway = gateway
        self._exchange = exchange
        self._paid = paid
        self._raw = raw
        self._gauge = Gauge(raw.headers)
        self._makes = method == "POST"
        self._made = made
        self._queries = queries
        """What a reranking model bills, which reports nothing."""
        self._whole = raw.status in (204, 304) or method == "HEAD"
        """Whether the answer has come to its end."""

    async def read(self) -> bytes | None:
        """The next piece, as it came."""
        data = await self._raw.body.read()
        if data is None:
            self._whole = True
            if self._made is not None:
                self._made.end()
            return None
        if self._paid.began is None:
            self._paid.began = self._exchange.first_out = self._gateway.clock.now()
        self._gauge.feed(data)
        if self._made is not None:
            self._made.feed(data)
        return data

    def silence(self) -> bytes:
        """Nothing: nobody knows what the format allows."""
        return b""

    def cut(self, failure: Failure) -> bytes:
        """Nothing, likewise."""
        self._exchange.failure = failure
        return b""

    def close(self) -> None:
        """Settles: providers bill nothing for what they refuse."""
        exchange, paid = self._exchange, self._paid
        self._raw.body.close()
        if self._whole:
            exchange.delivered = self._raw.status < 400
            exchange.stopped = "end_turn" if exchange.delivered else None
            # Only what makes something is billed: looking an answer up again repeats its usage, not its bill.
            billed = exchange.delivered and self._makes
            tokens = (self._gauge.end() or self._queries) if billed else Tokens()
            paid.tokens = tokens if tokens is None or self._gateway.books.plausible(paid, tokens) else None
            paid.extras = self._gauge.extras if billed else {}
            exchange.end_call(paid, "complete" if exchange.delivered else "failed")
        exchange.end_call(paid, "abandoned")
        self._gateway.close(exchange)
