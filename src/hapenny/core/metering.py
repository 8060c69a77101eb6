"""The two transforms every answer has: one at the upstream that meters the call, one at the client that times it."""

from __future__ import annotations

from collections.abc import Sequence

from hapenny.core.answer import Outcome, Transform
from hapenny.core.errors import Failure
from hapenny.core.events import Event, Stopped, TextDelta, ThinkingDelta, ToolCallDelta, Usage
from hapenny.core.exchange import Call, Exchange


class Metered(Transform):
    """Books a call: when it began, what it generated, what the provider reported, how it ended.

    A stream that ends without `Stopped` is a truncated answer and is turned into a failure here, for every stage.
    """

    watches = True

    def __init__(self, call: Call, exchange: Exchange) -> None:
        self._call = call
        self._exchange = exchange
        self._stopped = False

    def feed(self, event: Event) -> Sequence[Event]:
        """Passes everything on."""
        return self.flow((event,))

    def flow(self, batch: Sequence[Event]) -> Sequence[Event]:
        """Passes everything on."""
        call = self._call
        for event in batch:
            if isinstance(event, (TextDelta, ThinkingDelta)):
                call.output.append(event.text)
            elif isinstance(event, ToolCallDelta):
                call.output.append(event.arguments)
            elif isinstance(event, Usage):
                call.tokens = event.tokens
                call.provenance = "reported"
            elif isinstance(event, Stopped):
                self._stopped = True
        return batch

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Settles, synchronously; raises on a truncated answer."""
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
