"""An answer under way: owns its upstream, is read once, and lets stages watch or rewrite the flow.

Events travel in batches (what one network read brought), so that the server can write them with one call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal, Protocol, TypeAlias

from hapenny.core.errors import Failure
from hapenny.core.events import Collector, Completion, Event, begins
from hapenny.core.timeout import within

Outcome: TypeAlias = Literal["complete", "failed", "abandoned"]


class Source(Protocol):
    """Where events come from: a backend's stream, a stored answer, a flight's replay."""

    async def read(self) -> Sequence[Event] | None:
        """The next batch, never empty; None at the end. Raises `Failure` (also for a truncated stream).

        A read that is cancelled loses nothing and closes nothing: the next one goes on where it was."""

    def close(self) -> None:
        """Releases the upstream at once. Idempotent, synchronous."""


class Transform:
    """Watches or rewrites the flow. Synchronous; one object for one answer."""

    watches = False
    """Whether it leaves all events as they are."""

    def feed(self, event: Event) -> Sequence[Event]:
        """What goes on in place of `event`."""
        return (event,)

    def flow(self, batch: Sequence[Event]) -> Sequence[Event]:
        """`feed` for a whole batch. One that only watches may do its work here at once and return `batch` itself."""
        return [out for event in batch for out in self.feed(event)]

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Called exactly once. What it returns is sent last, if the outcome is `complete`."""
        return ()


class Collecting(Transform):
    """Watches, and has the whole answer when it has ended."""

    watches = True

    def __init__(self) -> None:
        self.collector = Collector()
        self.collected: Completion | None = None

    def feed(self, event: Event) -> Sequence[Event]:
        """Passes everything on."""
        return self.flow((event,))

    def flow(self, batch: Sequence[Event]) -> Sequence[Event]:
        """Passes everything on."""
        for event in batch:
            self.collector.feed(event)
        return batch

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Makes the completion of a complete answer."""
        if outcome == "complete":
            self.collected = self.collector.finish()
        return ()


class Replay:
    """A source of events that are already there."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events: Sequence[Event] | None = events

    async def read(self) -> Sequence[Event] | None:
        """All events at once, then None."""
        events, self._events = self._events, None
        return events or None

    def close(self) -> None:
        """Drops what is left."""
        self._events = None


class Answer:
    """The flow of one answer. Whoever holds it reads it to the end or closes it.

    `head` are events that were read before the answer counted as begun; `begun` whether its first content is among
    them: if not, the provider has accepted the request and is silent.
    """

    __slots__ = ("_head", "_source", "_transforms", "begun", "forms", "outcome")

    def __init__(
        self,
        source: Source,
        head: Sequence[Event] = (),
        forms: dict[str, tuple[bytes, dict[str, str]]] | None = None,
        *,
        begun: bool = True,
    ) -> None:
        self.begun = begun
        self._source = source
        self._head: Sequence[Event] | None = head or None
        self._transforms: list[Transform] = []
        self.outcome: Outcome | None = None
        self.forms = forms
        """Body and headers by protocol, as the whole answer was written before: of one that is served again and again;
        None where it may be another one each time."""

    @property
    def head(self) -> Sequence[Event]:
        """What has come of it and nobody has read yet."""
        return self._head or ()

    def through(self, transform: Transform) -> Answer:
        """Attaches `transform` behind those already there; only before the first read."""
        if not transform.watches:
            self.forms = None
        self._transforms.append(transform)
        return self

    async def read(self) -> Sequence[Event] | None:
        """The next batch after all transforms; None at the end."""
        while self.outcome is None:
            batch = self._head
            if batch is not None:
                self._head = None
            else:
                try:
                    batch = await self._source.read()
                except Exception:
                    self._finish("failed")
                    raise
                except BaseException:
                    self._finish("abandoned")
                    raise
            if batch is None:
                return self._finish("complete") or None
            try:
                for transform in self._transforms:
                    batch = transform.flow(batch)
            except BaseException:
                self._finish("failed")
                raise
            if batch:
                return batch
        return None

    def __aiter__(self) -> AsyncIterator[Event]:
        """Single events, for people who use the library."""
        return self._events()

    async def _events(self) -> AsyncIterator[Event]:
        try:
            while (batch := await self.read()) is not None:
                for event in batch:
                    yield event
        finally:
            self.close()

    def close(self) -> None:
        """Releases the upstream at once; what was not read is abandoned. Idempotent."""
        if self.outcome is None:
            self._finish("abandoned")

    async def aclose(self) -> None:
        """`close`, for `async with` and friends."""
        self.close()

    async def drain(self) -> None:
        """Reads to the end for what the transforms make of it."""
        try:
            while await self.read() is not None:
                pass
        finally:
            self.close()

    async def collect(self) -> Completion:
        """Reads to the end. Raises `Failure('truncated')` when the answer has no closing event."""
        known = self._collecting()
        if known is not None:
            await self.drain()
            completion = known.collected or Completion(choices=[])
        else:
            collector = Collector()
            try:
                while (batch := await self.read()) is not None:
                    for event in batch:
                        collector.feed(event)
            finally:
                self.close()
            completion = collector.finish()
        if completion.reason is None:
            raise Failure("truncated", "the upstream answer ended before its closing event")
        return completion

    def _collecting(self) -> Collecting | None:
        """A transform that collects the whole answer anyway, with none behind it that would change it."""
        for transform in reversed(self._transforms):
            if not transform.watches:
                return None
            if isinstance(transform, Collecting):
                return transform
        return None

    def _finish(self, outcome: Outcome) -> list[Event]:
        self.outcome = outcome
        self._head = None
        tail: list[Event] = []
        try:
            for transform in self._transforms:
                if tail:
                    tail = list(transform.flow(tail))
                tail.extend(transform.end(outcome))
        finally:
            self._source.close()
        return tail if outcome == "complete" else []


async def begin(source: Source, patience: float = float("inf")) -> Answer:
    """Reads from `source` until the answer has begun: first content, or `Stopped`; or until it was silent for
    `patience` seconds from now on (real or simulated, as the loop's): then it counts as begun without either.

    Raises what the source raises, having closed it; an end before any content is a truncated answer.
    """
    head: list[Event] = []
    try:
        if patience == float("inf"):
            await _first(source, head)
        else:
            with within(patience):
                await _first(source, head)
        return Answer(source, head)
    except TimeoutError:
        return Answer(source, head, begun=False)
    except BaseException:
        source.close()
        raise


async def _first(source: Source, head: list[Event]) -> None:
    """Reads up to the first content."""
    while True:
        batch = await source.read()
        if batch is None:
            raise Failure("truncated", "the upstream answer ended before its first content")
        head.extend(batch)
        for event in batch:
            if begins(event):
                return
