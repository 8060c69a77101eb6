"""Work of the gateway's own, off anybody's path: refreshes of stale answers, audits and verdicts, each in a row of its
own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from hapenny.core.answer import Answer
from hapenny.core.calls import Purpose
from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange, Taken, Target
from hapenny.core.log import get_logger
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.core.metering import Delivered
from hapenny.evidence.live_audit import Judged, Judging, Verdict
from hapenny.evidence.llm import compare, loss
from hapenny.telemetry.content import Rival
from hapenny.telemetry.ledger import Ledger
from hapenny.telemetry.recorder import Recorder
from hapenny.telemetry.rows import verdict

_log = get_logger("hapenny.gateway")
_FINISH_S = 10.0
"""How long work under way may go on when the gateway ends: what a provider bills for a call that is cut off is not
known."""
_VERDICT_TOKENS = 256
"""Room for a judge's one line; some models put a word before it."""


class Running(Protocol):
    """What background work needs of the gateway it works for."""

    @property
    def ledger(self) -> Ledger | None:
        """Where the books are kept."""

    @property
    def desk(self) -> Recorder:
        """Where texts are kept, if any are."""

    def open(self, request: Request, context: Context, *, background: str = "") -> Exchange:
        """The exchange of a request. Raises `Failure` for a name nobody knows."""

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


class BackgroundCalls:
    """What `gateway` does on its own behalf."""

    def __init__(self, gateway: Running) -> None:
        self._gateway = gateway
        self._open = 0
        self._idle = asyncio.Event()

    async def finish(self, seconds: float = _FINISH_S) -> None:
        """Waits until what is under way has ended, but not longer than `seconds`."""
        await asyncio.sleep(0)  # what was only just begun is under way then
        if self._open:
            self._idle.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), seconds)

    def own(self, exchange: Exchange) -> None:
        """Takes note of an exchange of the gateway's own that has made a call, until it ends."""
        self._open += 1
        exchange.on_end(self._ended)

    def _ended(self) -> None:
        self._open -= 1
        if not self._open:
            self._idle.set()

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

    async def same(self, of: Exchange, target: Target, prompt: str) -> tuple[str, int]:
        """What a model says of two answers, for the semantic cache, which pays; and what that cost, in nano-dollars.

        Raises:
            Failure: the model did not answer.
        """
        request = Request(
            protocol="openai",
            model=target.model,
            messages=(Message("user", (Text(prompt),)),),
            parameters=Parameters(max_tokens=_VERDICT_TOKENS),
        )
        exchange = self._gateway.bare(request, of.context, target, of.route, "judge")
        exchange.purpose, exchange.payer = "judge", "semantic"
        try:
            said = (await (await self._gateway.plain(exchange)).through(Delivered(exchange)).collect()).text
        except Failure as failure:
            exchange.failure = failure
            raise
        finally:
            self._gateway.close(exchange)
        return said, _cost(exchange)

    async def audit(
        self, audited: Exchange, request: Request, target: Target, judged: Judged, *, probe: bool = False
    ) -> tuple[str, int]:
        """Asks what the baseline would have answered, everything off; the judge's verdict stands in that row, and as
        the quality of the audited request. A `probe` asks the weak model, and the verdict is on its answer alone.
        Returns the answer and what it cost, in nano-dollars.

        Raises:
            Failure: the model did not answer.
        """
        gateway = self._gateway
        exchange = self._bare(audited, request, target, "probe" if probe else "audit", "audit")
        try:
            answer = await gateway.plain(exchange)
            told = (await answer.through(Delivered(exchange)).collect()).text
            quality = 1.0 - await judged(told)
            exchange.decisions.append(Taken("audit", "on", Verdict(score=quality), 0.0))
            if gateway.ledger is not None and not probe:
                gateway.ledger.book(verdict(audited.id, quality, "audit", exchange.clock.wall()))
            content = gateway.desk.content
            if content is not None:
                await content.beside(audited, Rival(told, exchange.id if probe else audited.id, target.model, probe))
        except Failure as failure:
            exchange.failure = failure
            raise
        finally:
            gateway.close(exchange)
        return told, _cost(exchange)

    def judging(self, target: Target) -> Judging:
        """A model as the judge of audits: asked twice with places swapped, each time in a row of its own (`judge`)."""

        async def judge(audited: Exchange, candidate: str, reference: str) -> tuple[float, int]:
            costs: list[int] = []

            async def ask(prompt: str) -> str:
                request = Request(
                    protocol="openai",
                    model=target.model,
                    messages=(Message("user", (Text(prompt),)),),
                    parameters=Parameters(max_tokens=_VERDICT_TOKENS),
                )
                exchange = self._bare(audited, request, target, "judge", "judge")
                try:
                    return (await (await self._gateway.plain(exchange)).through(Delivered(exchange)).collect()).text
                except Failure as failure:
                    exchange.failure = failure
                    raise
                finally:
                    self._gateway.close(exchange)
                    costs.append(_cost(exchange))

            found = await compare(ask, audited.original.question, candidate, reference)
            return loss(found), sum(costs)

        return judge

    def _bare(self, audited: Exchange, request: Request, target: Target, background: str, purpose: Purpose) -> Exchange:
        context = msgspec.structs.replace(audited.context, tags={**audited.context.tags, "audited": audited.id})
        exchange = self._gateway.bare(request, context, target, audited.route, background)
        exchange.intent, exchange.purpose, exchange.payer = audited.intent, purpose, "audit"
        return exchange


def _cost(exchange: Exchange) -> int:
    return sum(call.cost or 0 for call in exchange.calls)
