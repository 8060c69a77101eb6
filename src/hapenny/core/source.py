"""Where the events of an answer come from, batch by batch: waited for, or taken as they come.

Whoever reads waits in a task for each batch. A source that is `prompt` can do without: whoever wants its batches says
once what is to be called (`wake`), is called where the bytes arrive, in the callback of the network, and takes what has
come (`take`): no task is woken, no future is made, nothing is queued between bytes that come and bytes that go. Each
wrapper hands both through, so that one chain of plain calls decodes, watches and writes a piece of a stream; a wrapper
that has to wait inside the flow is not prompt, and is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, cast

from hapenny.core.events import Event

Wake: TypeAlias = Callable[[], None]


class Source(Protocol):
    """Where events come from: a backend's stream, a stored answer, a flight's replay."""

    async def read(self) -> Sequence[Event] | None:
        """The next batch, never empty; None at the end. Raises `Failure` (also for a truncated stream).

        A read that is cancelled loses nothing and closes nothing: the next one goes on where it was."""

    def close(self) -> None:
        """Releases the upstream at once. Idempotent, synchronous."""


class PromptSource(Source, Protocol):
    """One that can be taken from without waiting. Between `wake(call)` and `wake(None)` it is not read."""

    @property
    def prompt(self) -> bool:
        """Whether it can be taken from now."""

    def wake(self, call: Wake | None) -> None:
        """Has `call` run whenever more may be taken, from now on; what is there already is taken without being told.
        None: nobody wants any for now, which is no fault of the provider's."""

    def take(self) -> Sequence[Event] | None:
        """The next batch of what has come; empty: nothing for now; None at the end. Whoever takes goes on until one of
        both. Raises as `read` does."""


def as_prompt(source: Source) -> PromptSource | None:
    """`source`, where it can be taken from now."""
    return cast(PromptSource, source) if getattr(source, "prompt", False) else None
