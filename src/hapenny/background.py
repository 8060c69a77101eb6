"""Work of the gateway's own, off anybody's path: refreshes of stale answers and audits, each in a row of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

import msgspec

from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange, Taken, Target
from hapenny.core.log import get_logger
from hapenny.core.messages import Context, Request
from hapenny.core.metering import Delivered
from hapenny.evidence.watching import Verdict
from hapenny.telemetry.ledger import Ledger
from hapenny.telemetry.rows import verdict

_log = get_logger("hapenny.gateway")


class Running(Protocol):
    """What background work needs of the gateway it works for."""

    @property
    def ledger(self) -> Ledger | None:
        """Where the books are kept."""

    def again(self, exchange: Exchange, background: str) -> Exchange:
        """A fresh exchange of the same request."""

    def bare(self, request: Request, context: Context, target: Target, route: str, background: str) -> Exchange:
        """An exchange of one call, that nothing is decided about."""

    async def answer(self, exchange: Exchange) -> Answer:
        """Through the pipeline of its route."""

    async def plain(self, exchange: Exchange) -> Answer:
        """Through the pipeline of its route with everything off."""

    def close(self, exchange: Exchange) -> None:
        """Ends it; its row is written."""

    def spawn(self, coro: Coroutine[Any, Any, None]) -> None:
        """Runs work that ends with the gateway."""


class Background:
    """What `gateway` does on its own behalf."""

    def __init__(self, gateway: Running) -> None:
        self._gateway = gateway

    def refresh(self, stale: Exchange, done: Callable[[], None]) -> None:
        """Answers a stale request again, then calls back."""
        self._gateway.spawn(self._refresh(stale, done))

    async def _refresh(self, stale: Exchange, done: Callable[[], None]) -> None:
        gateway = self._gateway
        exchange = gateway.again(stale, "refresh")
        try:
            await (await gateway.answer(exchange)).collect()
        except Failure as failure:
            _log.info("refresh failed", kind=failure.kind, route=exchange.route)
        finally:
            gateway.close(exchange)
            done()

    async def audit(
        self, audited: Exchange, request: Request, target: Target, judged: Callable[[str], Awaitable[float]]
    ) -> tuple[str, int]:
        """Asks what the baseline would have answered, everything off; the judge's verdict stands in that row, and as
        the quality of the audited request. Returns the answer and what it cost, in nano-dollars.

        Raises:
            Failure: the baseline did not answer.
        """
        gateway = self._gateway
        context = msgspec.structs.replace(audited.context, tags={**audited.context.tags, "audited": audited.id})
        exchange = gateway.bare(request, context, target, audited.route, "audit")
        exchange.intent, exchange.purpose, exchange.payer = audited.intent, "audit", "audit"
        try:
            answer = await gateway.plain(exchange)
            reference = (await answer.through(Delivered(exchange)).collect()).text
            quality = 1.0 - await judged(reference)
            exchange.decisions.append(Taken("audit", "on", Verdict(score=quality), 0.0))
            if gateway.ledger is not None:
                gateway.ledger.book(verdict(audited.id, quality, "audit", exchange.clock.wall()))
        except Failure as failure:
            exchange.failure = failure
            raise
        finally:
            gateway.close(exchange)
        return reference, sum(call.cost or 0 for call in exchange.calls)
