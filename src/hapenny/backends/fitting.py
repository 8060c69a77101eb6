"""Requests made fit for the service they go to, and answers freed of what that took: for every backend alike.

The rules run here, at the last step before the wire, so that they hold whatever stages a route has, in shadow and for
the holdout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from hapenny.catalog import Card, resolve
from hapenny.core.answer import Source
from hapenny.core.events import Event
from hapenny.core.exchange import Target
from hapenny.core.messages import Request
from hapenny.protocols.codec import Codec
from hapenny.protocols.rules import HOME, Fitted, Undo, fit

Find: TypeAlias = Callable[[str], Card | None]
"""The card of a model's name."""


class Fitting:
    """`fit` for one backend. Remembers the request it saw last: its notes are asked for just before it is sent."""

    __slots__ = ("_find", "_known")

    def __init__(self, find: Find | None = None) -> None:
        self._find = find or resolve
        self._known: tuple[Request, Target, Codec, Fitted] | None = None

    def look(self, request: Request, target: Target, codec: Codec) -> Fitted:
        """What will be sent, for who only wants to know. Raises `Failure` for what cannot be sent."""
        known = self._known
        if known is None or known[0] is not request or known[1] is not target or known[2] is not codec:
            fitted = fit(request, HOME[codec.name], target.model, self._find(target.model))
            known = self._known = (request, target, codec, fitted)
        return known[3]

    def take(self, request: Request, target: Target, codec: Codec) -> Fitted:
        """What is sent now; its `undo` is for this answer alone."""
        fitted = self.look(request, target, codec)
        self._known = None
        return fitted

    def notes(self, request: Request, target: Target, codec: Codec) -> list[str]:
        """What is changed and what is left out, for the answer's headers."""
        fitted = self.look(request, target, codec)
        lost = [] if request.protocol in codec.dialects else codec.lost(fitted.request)
        return [*fitted.notes, f"not sent={','.join(lost)}"] if lost else list(fitted.notes)


def restored(source: Source, undo: Undo | None) -> Source:
    """`source`, freed of what `undo` knows."""
    return source if undo is None else _Restored(source, undo)


class _Restored:
    """A source whose events go through an `Undo`."""

    __slots__ = ("_source", "_undo")

    def __init__(self, source: Source, undo: Undo) -> None:
        self._source = source
        self._undo = undo

    async def read(self) -> Sequence[Event] | None:
        """The next batch that holds something for the client; None at the end."""
        try:
            while (batch := await self._source.read()) is not None:
                events = self._undo.flow(batch)
                if events:
                    return events
        except BaseException:
            self._source.close()
            raise
        return None

    def close(self) -> None:
        """Releases the upstream at once."""
        self._source.close()
