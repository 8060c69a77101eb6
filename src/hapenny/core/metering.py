"""The two transforms every answer has: one at the upstream that meters the call, one at the client that times it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from hapenny.core.answer import Answer, Outcome, Recorder, Transform
from hapenny.core.errors import Failure
from hapenny.core.events import Event, Started, Stopped, Tokens, Usage, merged
from hapenny.core.exchange import Call, Exchange, Target
from hapenny.core.log import get_logger

_log = get_logger("hapenny.calls")
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


class Metered(Recorder):
    """The recorder of a call: books when it began, what it generated, what the provider reported, how it ended.

    A stream that ends without `Stopped` is a truncated answer and is turned into a failure here, for every stage.
    """

    def __init__(
        self,
        call: Call,
        exchange: Exchange,
        head: Sequence[Event] = (),
        begun: Callable[[Exchange, Call], None] | None = None,
        plausible: Callable[[Call, Tokens], bool] | None = None,
    ) -> None:
        """`head`: what has come already. Whoever leaves without reading it pays for it all the same. `begun`: told when
        the first content of a call comes that was silent until now. `plausible`: whether a report of usage can be true;
        one that cannot is passed on to the client, and taken into account nowhere."""
        super().__init__(call.output)
        self._call = call
        self._exchange = exchange
        self._head = head
        self._plausible = plausible or (lambda call, tokens: True)
        if call.began is None:
            self.on_begun(partial(self._began, begun))

    def _began(self, begun: Callable[[Exchange, Call], None] | None) -> None:
        self._call.began = self._exchange.clock.now()
        if begun is not None:
            begun(self._exchange, self._call)

    def told(self, event: Event) -> None:
        """Books what the provider says of the call."""
        call = self._call
        if isinstance(event, Usage):
            if self._plausible(call, event.tokens):
                call.tokens = event.tokens
                call.provenance = "reported"
            else:
                self.tokens = call.tokens = None
                self.cached = None
            if event.extras:
                call.extras = merged(call.extras, event.extras)
            if ROUTER in call.target.model:
                unmask(self._exchange, call, behind(call.target, event))
        elif isinstance(event, Stopped):
            if event.extras and not event.choice:
                call.extras = merged(call.extras, event.extras)
        elif isinstance(event, Started):
            if event.tokens is None or self._plausible(call, event.tokens):
                call.accepted = event.tokens
            if event.extras:
                call.extras = merged(call.extras, event.extras)

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Settles, synchronously; raises on a truncated answer."""
        if self._head and not self.seen:  # paid, but nobody was handed anything
            try:
                self.unseen(self._head)
            except Exception as error:  # an event that cannot be taken in leaves the call to be settled all the same
                _log.error("the head of an answer could not be booked", call=self._call.id, error=error)
        if outcome == "complete" and self.stopped is None:
            failure = Failure("truncated", "the upstream answer ended before its closing event")
            self._exchange.end_call(self._call, "failed", failure)
            raise failure
        self._exchange.end_call(self._call, outcome)
        return super().end(outcome)


class Delivered(Transform):
    """Notes what reached the client and when. What that was is read from the answer's recorder."""

    watches = True

    def __init__(self, exchange: Exchange, recorder: Recorder) -> None:
        self._exchange = exchange
        self._recorder = recorder
        recorder.on_begun(partial(_first, exchange))

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Closes the client's side of the story."""
        _delivered(self._exchange, self._recorder, outcome)
        return ()


class _Delivering(Recorder):
    """The same for an answer that nothing else records (one that was stored, say)."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange
        self._hooks.append(partial(_first, exchange))

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Closes the client's side of the story."""
        _delivered(self._exchange, self, outcome)
        return super().end(outcome)


def _first(exchange: Exchange) -> None:
    if exchange.first_out is None:
        exchange.first_out = exchange.clock.now()


def _delivered(exchange: Exchange, recorder: Recorder, outcome: Outcome) -> None:
    """A client that left midway was delivered what it got."""
    if recorder.seen:
        exchange.stopped = recorder.stopped or exchange.stopped
        exchange.output = "".join(recorder.output)
        if recorder.calls:
            exchange.answer.calls = tuple(recorder.calls)
    exchange.finished = exchange.clock.now()
    exchange.delivered = outcome == "complete" or (outcome == "abandoned" and bool(exchange.output))


def deliver(answer: Answer, exchange: Exchange) -> Answer:
    """`answer`, on its way to the client of `exchange`."""
    recorder = answer.recorder
    return answer.through(_Delivering(exchange) if recorder is None else Delivered(exchange, recorder))
