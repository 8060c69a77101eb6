"""Requests made fit for the service they go to, and answers freed of what that took: for every backend alike.

The rules run here, at the last step before the wire, so that they hold whatever stages a route has, in shadow and for
the holdout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from hapenny.catalog import Card, resolve
from hapenny.core.answer import Source
from hapenny.core.events import Event
from hapenny.core.exchange import Target
from hapenny.core.messages import Parameters, Request, Text
from hapenny.core.source import Sink, unheard
from hapenny.protocols.codec import Codec
from hapenny.protocols.rules import HOME, Fitted, Undo, fit, reserved

Find: TypeAlias = Callable[[str], Card | None]
"""The card of a model's name."""
_REMEMBERED = 1_024
_SHORT = 1_024
"""Letters of the words among parameters that are remembered."""


def is_plain(request: Request) -> bool:
    """Whether a request is a text conversation that can break no rule but one about its parameters: instructions, then
    turns of text that begin and end with the user's, without tools, cache points or fields of one dialect."""
    if (
        request.tools or request.tool_choice is not None or request.checkpoint or request.extras or request.metadata
        or request.user is not None or request.store is not None or not request.messages
    ):  # fmt: skip
        return False
    if request.messages[0].role != "user" or request.messages[-1].role != "user":
        return False
    for block in request.system:
        if type(block) is not Text or not block.text or block.text.isspace() or block.checkpoint or block.extras:
            return False
        if reserved(block.text):
            return False
    before = ""
    for message in request.messages:
        if message.role == before or message.role not in ("user", "assistant") or message.extras or message.name:
            return False
        before = message.role
        if not message.content:
            return False
        for block in message.content:
            if type(block) is not Text or not block.text or block.text.isspace():
                return False
            if block.checkpoint or block.extras or block.citations:
                return False
    return True


def _in_parts(request: Request) -> bool:
    """Whether a content has several parts: some servers want one."""
    return len(request.system) > 1 or any(len(message.content) > 1 for message in request.messages)


def _is_short(parameters: Parameters) -> bool:
    """Whether the parameters may be remembered: what a client sends of them may be megabytes."""
    words = (*parameters.stop, parameters.effort or "", parameters.verbosity or "", parameters.service_tier or "")
    return sum(map(len, words)) <= _SHORT


class Fitting:
    """`fit` for one backend. Remembers the request it saw last: its notes are asked for just before it is sent."""

    __slots__ = ("_find", "_known", "_unchanged")

    def __init__(self, find: Find | None = None) -> None:
        self._find = find or resolve
        self._known: tuple[Request, Target, Codec, Fitted] | None = None
        self._unchanged: dict[tuple[str, str, str, Parameters], tuple[Card | None, tuple[str, ...]]] = {}
        """Parameters that need no change, by service, model and the client's dialect: for which card that was found,
        and what of them is not sent. Rules are decided here once; plain text then breaks none."""

    def look(self, request: Request, target: Target, codec: Codec) -> Fitted:
        """What will be sent, for who only wants to know. Raises `Failure` for what cannot be sent."""
        known = self._known
        if known is None or known[0] is not request or known[1] is not target or known[2] is not codec:
            card = self._find(target.model)
            fitted = self._plain(request, target, codec, card) or fit(request, HOME[codec.name], target.model, card)
            known = self._known = (request, target, codec, fitted)
        return known[3]

    def _plain(self, request: Request, target: Target, codec: Codec, card: Card | None) -> Fitted | None:
        """A plain text conversation whose parameters are known to need no change, as it is; None for any other, which
        the rules look at one by one."""
        parameters = request.parameters
        if parameters.format is not None or parameters.thinking is not None or not is_plain(request):
            return None
        if codec.name == "openai" and request.protocol != "openai" and _in_parts(request):
            return None
        key = (codec.name, target.model, request.protocol, parameters)
        known = self._unchanged.get(key)
        if known is None or known[0] is not card:
            fitted = fit(request, HOME[codec.name], target.model, card)
            if fitted.request is not request or fitted.notes or (card is not None and card.has("system") is False):
                return fitted
            if not _is_short(parameters):
                return fitted
            lost = () if request.protocol in codec.dialects else tuple(codec.lost(request))
            if len(self._unchanged) >= _REMEMBERED:
                self._unchanged.clear()
            known = self._unchanged[key] = (card, (f"not sent={','.join(lost)}",) if lost else ())
        return Fitted(request, known[1], plain=True)

    def take(self, request: Request, target: Target, codec: Codec) -> Fitted:
        """What is sent now; its `undo` is for this answer alone."""
        fitted = self.look(request, target, codec)
        self._known = None
        return fitted

    def notes(self, request: Request, target: Target, codec: Codec) -> list[str]:
        """What is changed and what is left out, for the answer's headers."""
        fitted = self.look(request, target, codec)
        if fitted.plain:
            return list(fitted.notes)
        lost = [] if request.protocol in codec.dialects else codec.lost(fitted.request)
        return [*fitted.notes, f"not sent={','.join(lost)}"] if lost else list(fitted.notes)


def restored(source: Source, undo: Undo | None) -> Source:
    """`source`, freed of what `undo` knows."""
    return source if undo is None else _Restored(source, undo)


class _Restored:
    """A source whose events go through an `Undo`."""

    __slots__ = ("_failure", "_listen", "_source", "_undo")

    def __init__(self, source: Source, undo: Undo) -> None:
        self._source = source
        self._listen: Callable[[Sink | None], bool] = getattr(source, "listen", unheard)
        self._undo = undo
        self._failure: Exception | None = None
        """What broke while somebody listened."""

    async def read(self) -> Sequence[Event] | None:
        """The next batch that holds something for the client; None at the end."""
        try:
            if self._failure is not None:
                raise self._failure
            while (batch := await self._source.read()) is not None:
                events = self._undo.flow(batch)
                if events:
                    return events
        except asyncio.CancelledError:  # nothing is lost: the next read goes on where this one was
            raise
        except BaseException:
            self._source.close()
            raise
        return None

    def listen(self, sink: Sink | None) -> bool:
        """Hands what holds something for the client to `sink` (`core.source`); False: it has to be read."""
        return self._listen(None if sink is None else partial(self._came, sink))

    def _came(self, sink: Sink, batch: Sequence[Event] | None) -> None:
        if batch is not None:
            try:
                batch = self._undo.flow(batch)
            except Exception as error:  # raised to whoever reads on
                self._failure = error
                self._listen(None)
                batch = None
            else:
                if not batch:
                    return
        sink(batch)

    def close(self) -> None:
        """Releases the upstream at once."""
        self._source.close()
