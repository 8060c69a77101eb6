"""The two transforms every answer has: one at the upstream that meters the call, one at the client that times it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from hapenny.core.answer import Outcome, Transform
from hapenny.core.errors import Failure
from hapenny.core.events import (
    Event,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    begins,
    merged,
)
from hapenny.core.exchange import Call, Exchange, Target

ROUTER = "prompt-router/"
"""In the ARN of a Bedrock prompt router: a model that is another one each time."""


def behind(router: Target, usage: Usage) -> Target:
    """The model that a Bedrock prompt router says it chose (`trace.promptRouter.invokedModelId`), which is the one that
    is paid; the router itself where it does not say."""
    trace = usage.extras.get("bedrock.usage", {}).get("trace")
    chosen = trace.get("promptRouter") if isinstance(trace, dict) else None
    model = chosen.get("invokedModelId") if isinstance(chosen, dict) else None
    return msgspec.structs.replace(router, model=model) if isinstance(model, str) and model else router


def unmask(exchange: Exchange, call: Call, chosen: Target) -> None:
    """Names the model behind a router wherever the router stands in the exchange, so that its price is known."""
    router, call.target = call.target, chosen
    call.sent = chosen
    for index, step in enumerate(exchange.steps):
        if step.target.model == router.model:
            exchange.steps[index] = msgspec.structs.replace(step, target=chosen)
    if exchange.baseline.model == router.model:
        exchange.baseline = chosen


class Metered(Transform):
    """Books a call: when it began, what it generated, what the provider reported, how it ended.

    A stream that ends without `Stopped` is a truncated answer and is turned into a failure here, for every stage.
    """

    watches = True

    def __init__(
        self,
        call: Call,
        exchange: Exchange,
        head: Sequence[Event] = (),
        begun: Callable[[Exchange, Call], None] | None = None,
    ) -> None:
        """`head`: what has come already. Whoever leaves without reading it pays for it all the same. `begun`: told when
        the first content of a call comes that was silent until now."""
        self._call = call
        self._exchange = exchange
        self._begun = begun
        self._stopped = False
        self._head = head

    def feed(self, event: Event) -> Sequence[Event]:
        """Passes everything on."""
        return self.flow((event,))

    def flow(self, batch: Sequence[Event]) -> Sequence[Event]:
        """Passes everything on."""
        self._head = ()
        return self._booked(batch)

    def _booked(self, batch: Sequence[Event]) -> Sequence[Event]:
        call = self._call
        if call.began is None and any(begins(event) for event in batch):
            call.began = self._exchange.clock.now()
            if self._begun is not None:
                self._begun(self._exchange, call)
        for event in batch:
            if isinstance(event, (TextDelta, ThinkingDelta)):
                call.output.append(event.text)
            elif isinstance(event, ToolCallDelta):
                call.output.append(event.arguments)
            elif isinstance(event, Usage):
                call.tokens = event.tokens
                call.provenance = "reported"
                if event.extras:
                    call.extras = merged(call.extras, event.extras)
                if ROUTER in call.target.model:
                    unmask(self._exchange, call, behind(call.target, event))
            elif isinstance(event, Stopped):
                self._stopped = True
                if event.extras and not event.choice:
                    call.extras = merged(call.extras, event.extras)
            elif isinstance(event, Started):
                call.accepted = event.tokens
                if event.extras:
                    call.extras = merged(call.extras, event.extras)
        return batch

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Settles, synchronously; raises on a truncated answer."""
        if self._head:
            self._booked(self._head)
        if outcome == "complete" and not self._stopped:
            failure = Failure("truncated", "the upstream answer ended before its closing event")
            self._exchange.end_call(self._call, "failed", failure)
            raise failure
        self._exchange.end_call(self._call, outcome)
        return ()


class Delivered(Transform):
    """Notes what reached the client and when."""

    watches = True

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._parts: list[str] = []

    def feed(self, event: Event) -> Sequence[Event]:
        """Passes everything on."""
        return self.flow((event,))

    def flow(self, batch: Sequence[Event]) -> Sequence[Event]:
        """Passes everything on."""
        exchange = self._exchange
        for event in batch:
            if isinstance(event, (TextDelta, ThinkingDelta)):
                self._parts.append(event.text)
            elif isinstance(event, ToolCallDelta):
                self._parts.append(event.arguments)
            elif isinstance(event, Stopped):
                exchange.stopped = event.reason
            else:
                continue
            if exchange.first_out is None:
                exchange.first_out = exchange.clock.now()
        return batch

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Closes the client's side of the story. A client that left midway was delivered what it got."""
        exchange = self._exchange
        exchange.output = "".join(self._parts)
        exchange.finished = exchange.clock.now()
        exchange.delivered = outcome == "complete" or (outcome == "abandoned" and bool(self._parts))
        return ()
