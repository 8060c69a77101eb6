"""Work off the path of any request, each piece in a background row of its own, so that its cost is in the ledger."""

from __future__ import annotations

from typing import Protocol

import msgspec

from hapenny.catalog import Catalog
from hapenny.core.answer import Answer
from hapenny.core.calls import Purpose
from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Context, Message, Parameters, Request, Text


class Asked(Protocol):
    """What is needed of a gateway."""

    catalog: Catalog

    def open(self, request: Request, context: Context, *, background: str = "") -> Exchange:
        """The exchange of a request."""

    async def answer(self, exchange: Exchange) -> Answer:
        """Its answer, begun."""

    def close(self, exchange: Exchange) -> None:
        """Ends it."""


async def aside(
    gateway: Asked, model: str, prompt: str, context: Context, *, purpose: Purpose, payer: str, route: str
) -> tuple[str, int]:
    """The model's answer and what it cost, in nano-dollars (0 where its price is unknown).

    Args:
        gateway: whose backends, books and ledger are used.
        model: a name the deployment knows that stands for one model.
        prompt: what it is asked.
        context: who caused the question: its tenant and tags go into the row.
        purpose: of the call, and the row's kind of background work.
        payer: the technique that pays.
        route: the route the row belongs to.

    Raises:
        Failure: the model is not known or did not answer.
    """
    request = Request(
        protocol="openai",
        model=model,
        messages=(Message("user", (Text(prompt),)),),
        parameters=Parameters(temperature=0.0, max_tokens=64),
    )
    exchange = gateway.open(request, context, background=purpose)
    exchange.route, exchange.holdout = route, True
    exchange.purpose, exchange.payer = purpose, payer
    try:
        answer = await (await gateway.answer(exchange)).collect()
    finally:
        gateway.close(exchange)
    return answer.text, sum(call.cost or 0 for call in exchange.calls)


async def repeat(gateway: Asked, request: Request, context: Context, route: str) -> int:
    """Answers a client's request again in a background row, so that its answer is stored; what it cost in nano-dollars,
    -1 if it failed. A model with a flex tier is asked in it: nobody waits.

    Args:
        gateway: as in `aside`.
        request: as the client sent it.
        context: the client's.
        route: the request's route.
    """
    try:
        exchange = gateway.open(request, context, background="precompute")
    except Failure:
        return -1
    exchange.route, exchange.purpose, exchange.payer = route, "precompute", "precompute"
    card = gateway.catalog.resolve(exchange.target.model)
    if card is not None and card.rates("flex") is not None:
        exchange.target = msgspec.structs.replace(exchange.target, service_tier="flex")
    try:
        await (await gateway.answer(exchange)).collect()
    except Failure:
        return -1
    finally:
        gateway.close(exchange)
    return sum(call.cost or 0 for call in exchange.calls)
