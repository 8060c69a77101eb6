"""The gateway: a whole deployment as a library. A server drives the same over HTTP.

    async with Gateway(load("hapenny.yaml")) as gateway:
        print(await gateway.chat("What is a halfpenny bridge?"))

How its parts are made is in `assembly`; what happens to a request between `open` and `close` is in the stages, in the
order in which the pipeline of its route holds them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hapenny.admission.keys import OPEN, Identity
from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.events import Completion
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.core.metering import deliver
from hapenny.core.money import Totals, summed
from hapenny.gateway.deployment import Deployment

PAUSED = "saving stages are paused"
"""What answers say while they are."""


class Gateway(Deployment):
    """A deployment that answers requests; see `Deployment` for how it is made, started and ended."""

    async def complete(self, request: Request, context: Context | None = None) -> tuple[Completion, Exchange]:
        """Asks and waits for the whole answer: the life of a request on one screen.

        Raises:
            Failure: in words every protocol can map.
        """
        exchange = self.open(request, context if context is not None else Context())
        # The exchange knows its route, its limits, what its model's name means, and what it would cost without us.
        try:
            answer = await self.answer(exchange)
            # Stage by stage it was decided whether a store has the answer, which model is asked what, and when; then
            # `call` asked the provider. The answer has begun: nothing is retried any more. Whoever reads it drives it:
            # events pass through what the stages attached, caches are filled, tokens and times are noted.
            return await answer.collect(), exchange
        finally:
            self.close(exchange)
            # Once its last call is settled the books make its row: ledger, metrics, what each cache earned, audits.

    def open(
        self,
        request: Request,
        context: Context,
        identity: Identity = OPEN,
        *,
        id: str = "",
        background: str = "",
        route: str = "",
    ) -> Exchange:
        """The exchange of a request: route (where it is not known already), names, limits, baseline.

        Raises:
            Failure: `not_found` for an unknown model, `permission` for one the key may not ask for.
        """
        return self._exchanges.open(request, context, identity, id=id, background=background, route=route)

    async def admit(self, exchange: Exchange) -> None:
        """Holds a client's request against the limits a minute and the budgets of its key and tenant.

        Raises:
            Failure: `rate_limited` with the time to wait, or `budget`.
        """
        gate = self.gate
        if not (gate.keyed or gate.registry.limits):
            return
        try:
            await gate.admit(exchange, lambda: self._size(exchange))
        except Failure as failure:
            exchange.failure = failure
            raise

    def _size(self, exchange: Exchange) -> int:
        """Tokens that a request may be expected to use."""
        prices, request = self.books.prices, exchange.request
        return prices.prompt(request, exchange.target) + prices.place(exchange.target).longest(request)

    async def answer(self, exchange: Exchange) -> Answer:
        """Runs the exchange through the stages of its route, down to `call`; returns when the answer has begun. The
        caller must read the answer to the end or close it, and then call `close`.

        Raises:
            Failure: in words every protocol can map.
        """
        pipelines = self._pipelines[exchange.holdout]
        if self.registry.pause.paused:
            pipelines = self.parts.paused
            exchange.note(PAUSED)
        try:
            answer = await pipelines[exchange.route](exchange)
        except Failure as failure:
            exchange.failure = failure
            exchange.finished = self.clock.now()
            raise
        return deliver(answer, exchange)

    async def call(self, exchange: Exchange) -> Answer:
        """The end of every pipeline: one paid attempt at the exchange's target."""
        return await self.parts.calls.call(exchange)

    def close(self, exchange: Exchange) -> None:
        """Ends the client's part. The row is written when the last call is settled."""
        self._exchanges.close(exchange)

    def plays(self, exchange: Exchange) -> bool:
        """Whether the answer of an exchange comes from a simulated model."""
        call = exchange.adopted
        return (exchange.target if call is None else call.target).backend in self.simulated

    def totals(self, exchange: Exchange) -> Totals | None:
        """The money of an exchange whose calls are all settled; None while a call is still open."""
        for call in exchange.calls:
            if call.outcome == "open":
                return None
        return self.books.totals(exchange)

    def spent(self, exchanges: Iterable[Exchange]) -> Totals:
        """The money of several exchanges in sum, as of a message with its tool rounds; amounts are None where one is
        not known, or a call is still open."""
        return summed(self.totals(exchange) for exchange in exchanges)

    async def chat(self, text: str, model: str = "auto", **parameters: Any) -> str:
        """Asks one question; for a first try."""
        messages = (Message("user", (Text(text),)),)
        request = Request(protocol="openai", model=model, messages=messages, parameters=Parameters(**parameters))
        return (await self.complete(request))[0].text
