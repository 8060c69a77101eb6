"""Where the events of an answer come from, batch by batch: read by who waits, or handed on where they come.

Whoever reads waits in a task for each batch. A source that can do without is given a sink (`listen`) and calls it where
bytes arrive, in the callback of the network: no task is woken, no future is made, nothing is queued between bytes that
come and bytes that go. Each wrapper hands its own sink to what it wraps, so that one chain of plain calls decodes,
watches and writes a piece of a stream. Ends and failures are found by reading, as ever: a source that comes to one says
None to its sink, and is read on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from hapenny.core.events import Event

Sink: TypeAlias = Callable[[Sequence[Event] | None], None]
"""Takes a batch, never empty; None: there is something that has to be read, and no more is said. Raises nothing."""


class Source(Protocol):
    """Where events come from: a backend's stream, a stored answer, a flight's replay."""

    async def read(self) -> Sequence[Event] | None:
        """The next batch, never empty; None at the end. Raises `Failure` (also for a truncated stream).

        A read that is cancelled loses nothing and closes nothing: the next one goes on where it was."""

    def close(self) -> None:
        """Releases the upstream at once. Idempotent, synchronous."""


class PushSource(Source, Protocol):
    """One that can hand on what comes."""

    def listen(self, sink: Sink | None) -> bool:
        """Hands each batch that comes to `sink`, from the loop's next callback on, until it says None; it is not read
        meanwhile. False: something is there already, or has to be waited for: it is read, and `sink` is told nothing.
        Without a `sink` it goes on saying nothing: nobody wants any for now, which is no fault of the provider's."""


def unheard(sink: Sink | None) -> bool:
    """The `listen` of a source that has none: it has to be read."""
    return False
