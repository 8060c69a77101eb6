"""An application with its customers: sends a workload's messages to a gateway and notes what came of each.

Works in either clock, through the gateway's public API alone; tools are run by the shop, answers graded by the truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from msgspec import Struct

from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.events import Collector, TextDelta
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Request
from hapenny.gateway.gateway import Gateway
from hapenny.simulation.provider import SimulatedProvider
from hapenny.simulation.workload.requests import answered, context, request
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Message
from hapenny.studies import arrivals

_ROUNDS = 3
"""Tool calls that an application answers before it gives up."""
_REFUSED = ("guardrail", "refused", "blocked", "permission")

Hook = Callable[[SimulatedProvider], None]
"""Called when a message is about to be sent, to change the provider."""


class Record(Struct, frozen=True, kw_only=True):
    """One message and what came of it. Nano-dollars, seconds."""

    number: int
    question: str
    """The identity of the question: intervals are over distinct ones."""
    intent: str
    language: str
    how: str
    at: float
    """Seconds from the start of the workload's day 0."""
    right: bool
    failure: str = ""
    """Kind of the failure the customer saw, "" for none; a failed message is not right."""
    first_s: float | None = None
    whole_s: float | None = None
    actual: int | None = 0
    """What the serving calls of the message cost; None: a price was unknown."""
    saved: int | None = 0
    """By the gateway's own books, against the baseline model."""
    savings: dict[str, int] = {}
    requests: int = 0
    """One, and one more for each tool result."""
    calls: int = 0
    models: tuple[str, ...] = ()
    """Who answered each request; "" where nobody was called."""
    holdout: bool = False


class Player:
    """An application with its customers: sends each message at its time, a follow-up after the answer it follows.

    Args:
        gateway: whom it asks, started.
        messages: by time.
        shop: runs the tools.
        provider: whose truth is filled as messages are sent; None leaves that to the caller.
        model: what is asked for.
        hooks: see `run`.
        label: see `run`.
        shape: how the application writes a message's request, where it is not as usual.
    """

    def __init__(
        self,
        gateway: Gateway,
        messages: Sequence[Message],
        shop: Shop,
        provider: SimulatedProvider | None,
        *,
        model: str = "auto",
        hooks: Mapping[int, Hook] | None = None,
        label: bool = True,
        shape: Callable[[Message, Request], Request] | None = None,
    ) -> None:
        self._gateway = gateway
        self._messages = messages
        self._shop = shop
        self._provider = provider
        self._model = model
        self._hooks = hooks or {}
        self._label = label
        self._shape = shape
        self._place = {message.number: index for index, message in enumerate(messages)}
        self._answers: dict[int, asyncio.Future[str | None]] = {}
        """By number; None: declined, which an application keeps out of what it sends again."""

    async def play(self) -> list[Record]:
        """Sends everything; records in the order of the messages."""
        running = asyncio.get_running_loop()
        tasks: list[asyncio.Task[Record]] = []
        async for message in in_time(self._gateway.clock, self._messages):
            hook = self._hooks.get(message.number)
            if hook is not None and self._provider is not None:
                hook(self._provider)
            self._answers[message.number] = running.create_future()
            tasks.append(running.create_task(self._one(message)))
        return list(await asyncio.gather(*tasks))

    async def _one(self, message: Message) -> Record:
        history: list[tuple[str, str]] = []
        for number in message.earlier:
            pending = self._answers.get(number)
            answer = await pending if pending is not None else None
            if answer is not None:
                history.append((self._messages[self._place[number]].text, answer))
        if self._provider is not None:
            self._provider.truth.add(message.text, message.item, message.follows)
        asked = request(message, history, model=self._model)
        record, text = await self._converse(message, asked if self._shape is None else self._shape(message, asked))
        self._answers[message.number].set_result(text)
        return record

    async def _converse(self, message: Message, asked: Request) -> tuple[Record, str | None]:
        clock = self._gateway.clock
        began = clock.now()
        first: float | None = None
        text, failure = "", ""
        exchanges: list[Exchange] = []
        for _ in range(_ROUNDS):
            exchange: Exchange | None = None
            collector = Collector()
            try:
                exchange = self._gateway.open(asked, context(message, label=self._label))
                exchanges.append(exchange)
                answer = await self._gateway.answer(exchange)
                async for event in answer:
                    if first is None and isinstance(event, TextDelta):
                        first = clock.now() - began
                    collector.feed(event)
                completion = collector.finish()
            except Failure as error:
                failure = error.kind
                break
            finally:
                if exchange is not None:
                    self._gateway.close(exchange)
            if completion.reason == "guardrail":
                failure = completion.reason
                break
            text, call = completion.text, completion.tool_use
            if call is None:
                break
            result = self._shop.run(call.name, call.decoded(), message.day)
            asked = answered(asked, call.id, call.name, call.arguments, result)
        whole = clock.now() - began
        said = None if failure in _REFUSED else text or "(no answer)"
        return self._record(message, exchanges, text, failure, first, whole), said

    def _record(
        self, message: Message, exchanges: Sequence[Exchange], text: str, failed: str, first: float | None, whole: float
    ) -> Record:
        failure, right = judged(message, text, failed)
        totals = self._gateway.spent(exchanges)
        return Record(
            number=message.number,
            question=message.item.id,
            intent=message.intent,
            language=message.language,
            how=message.how,
            at=message.at,
            right=right,
            failure=failure,
            first_s=first,
            whole_s=whole if not failure else None,
            actual=totals.actual,
            saved=totals.saved,
            savings=totals.savings,
            requests=len(exchanges),
            calls=sum(len(exchange.calls) for exchange in exchanges),
            models=tuple(exchange.calls[-1].target.model if exchange.calls else "" for exchange in exchanges),
            holdout=any(exchange.holdout for exchange in exchanges),
        )


def judged(message: Message, text: str, failure: str) -> tuple[str, bool]:
    """The failure that counts ("" for none), and whether the customer got the right answer. Where refusing is right, a
    refusal is no failure."""
    if failure in _REFUSED and message.item.kind == "refusal":
        return "", True
    return failure, not failure and bool(text) and message.item.grade(text)


def in_time(clock: Clock, messages: Sequence[Message]) -> AsyncIterator[Message]:
    """Each message when it is its time; the first one at once."""
    first = messages[0].at if messages else 0.0
    return arrivals.in_time(clock, ((message.at, message) for message in messages), first)
