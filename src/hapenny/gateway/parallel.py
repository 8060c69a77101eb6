"""Parts of a request as requests of a gateway: each with a row, a route, limits and budgets of its own.

async with Gateway(load("hapenny.yaml")) as gateway:
    joined = await parallel(gateway, by_rule("Which is longer, A or B? And who wrote them?"))
    print(joined.text, joined.cost)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from hapenny.admission.keys import OPEN, Identity
from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.events import TextDelta
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.responsive.parallel import Joined, Orchestrator, Part, Said, Tell, silent

if TYPE_CHECKING:
    from hapenny.gateway.gateway import Gateway

TAG = "parallel"
"""The tag of a part's row: the id that all parts of one request have in common."""
SPLIT = (
    "Split the request into the questions that can be answered independently of one another. Answer with a JSON list "
    "of strings and nothing else; each string has all it needs to be understood alone. At most {most}.\n\n{text}"
)
JOIN = (
    "These are the answers to the parts of one request. Make one answer of them, without repeating anything and "
    "without adding anything; say it where a part could not be answered.\n\nThe request:\n{text}\n\n{parts}"
)


class Workers:
    """Answers parts through a gateway.

    Args:
        gateway: started.
        context: who asks.
        identity: whose key it is.
        system: instructions that all parts share.
        model: of parts that name none.
        parameters: of all parts.
        group: id that the rows of all parts bear.
        admit: whether limits and budgets of the key hold.
    """

    def __init__(
        self,
        gateway: Gateway,
        context: Context,
        identity: Identity = OPEN,
        *,
        system: str = "",
        model: str = "auto",
        parameters: Parameters | None = None,
        group: str = "",
        admit: bool = False,
    ) -> None:
        self._gateway = gateway
        self._identity = identity
        self._context = msgspec.structs.replace(context, tags={**context.tags, TAG: group}) if group else context
        self._system = (Text(system),) if system else ()
        self._model = model
        self._parameters = parameters or Parameters()
        self._admit = admit

    async def __call__(self, part: Part) -> _Worker:
        """Begins to answer a part. Raises `Failure`."""
        request = Request(
            protocol="openai", model=part.model or self._model, system=self._system,
            messages=(Message("user", (Text(part.question),)),), parameters=self._parameters, stream=True,
        )  # fmt: skip
        gateway = self._gateway
        exchange = gateway.open(request, self._context, self._identity)
        try:
            if self._admit:
                await gateway.admit(exchange)
            answer = await gateway.answer(exchange)
        except BaseException as error:
            if isinstance(error, Failure):
                exchange.failure = error
            gateway.close(exchange)
            raise
        return _Worker(gateway, exchange, answer)


class _Worker:
    """An answer under way."""

    def __init__(self, gateway: Gateway, exchange: Exchange, answer: Answer) -> None:
        self._gateway = gateway
        self._exchange = exchange
        self._answer = answer

    async def read(self) -> str | None:
        """The next piece of text; None at the end. Raises `Failure`."""
        try:
            while (batch := await self._answer.read()) is not None:
                text = "".join(event.text for event in batch if isinstance(event, TextDelta) and not event.choice)
                if text:
                    return text
        except Failure as failure:
            self._exchange.failure = failure
            raise
        return None

    def close(self) -> tuple[int | None, str, str]:
        """Ends it: what it cost so far, its request's id, and who answered."""
        self._answer.close()
        exchange, gateway = self._exchange, self._gateway
        totals = gateway.totals(exchange)
        model = exchange.adopted.target.model if exchange.adopted is not None else exchange.answer.model
        gateway.close(exchange)
        return totals.actual if totals is not None else None, exchange.id, model


async def parallel(
    gateway: Gateway,
    parts: Sequence[Part],
    *,
    context: Context | None = None,
    identity: Identity = OPEN,
    system: str = "",
    model: str = "auto",
    join_model: str = "",
    text: str = "",
    split_model: str = "",
    parameters: Parameters | None = None,
    width: int = 8,
    group: str = "",
    admit: bool = False,
    tell: Tell = silent,
) -> Joined:
    """Answers the parts of a request side by side, and makes one answer of them.

    Args:
        gateway: started.
        parts: what is asked.
        context: who asks.
        identity: whose key it is.
        system: instructions that all parts share.
        model: of parts that name none.
        join_model: makes one answer of the parts'; empty: they stand below one another.
        text: the request as it was before it was split, for models that split or join.
        split_model: splits `text`; `parts` are what is asked where it does not.
        parameters: of all parts.
        width: parts that are answered at once.
        group: id that all rows bear as the tag `parallel`.
        admit: whether limits and budgets of the key hold, as for a client's request.
        tell: what happens, as it happens.

    Raises:
        Failure: where no part could be answered, or there are none or too many.
    """
    workers = Workers(
        gateway, context or Context(), identity, system=system, model=model, parameters=parameters, group=group,
        admit=admit,
    )  # fmt: skip

    def join(said: Sequence[Said]) -> Part:
        told = "\n\n".join(
            f"Part: {each.part.question}\nAnswer: {each.text or f'(not answered: {each.failure})'}" for each in said
        )
        return Part(question=JOIN.format(text=text, parts=told), model=join_model)

    split = Part(question=SPLIT.format(most=width * 2, text=text), model=split_model) if split_model else None
    orchestrator = Orchestrator(workers, gateway.clock, width)
    return await orchestrator.run(parts, join=join if join_model else None, split=split, tell=tell)
