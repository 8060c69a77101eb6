"""An answer under way: owns its upstream, is read once, and lets stages watch or rewrite the flow.

Events travel in batches (what one network read brought), so that the server can write them with one call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from hapenny.core.errors import Failure
from hapenny.core.events import Collector, Completion, Event, begins
from hapenny.core.log import get_logger
from hapenny.core.recording import Recorder
from hapenny.core.timeout import within
from hapenny.core.transform import EventTransform, Outcome, Transform

if TYPE_CHECKING:
    from hapenny.core.calls import Call
    from hapenny.core.clock import Clock

__all__ = ["Answer", "EventTransform", "Outcome", "Replay", "Source", "Transform", "begin"]


_log = get_logger("hapenny.answers")


class Source(Protocol):
    """Where events come from: a backend's stream, a stored answer, a flight's replay."""

    async def read(self) -> Sequence[Event] | None:
        """The next batch, never empty; None at the end. Raises `Failure` (also for a truncated stream).

        A read that is cancelled loses nothing and closes nothing: the next one goes on where it was."""

    def close(self) -> None:
        """Releases the upstream at once. Idempotent, synchronous."""


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

    __slots__ = (
        "_clock", "_flows", "_head", "_source", "_timed", "_transforms", "begun", "forms", "outcome",
        "recorder",
    )  # fmt: skip

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
        self._flows: list[Callable[[Sequence[Event]], Sequence[Event]]] = []
        """Of those transforms that look at events at all."""
        self.recorder: Recorder | None = None
        """The recorder behind which nothing is rewritten."""
        self._timed: Call | None = None
        self._clock: Clock | None = None
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
            self.forms = self.recorder = None
        elif isinstance(transform, Recorder):
            self.recorder = transform
        self._transforms.append(transform)
        if type(transform).flow is not Transform.flow:
            self._flows.append(transform.flow)
        return self

    def recorded(self) -> Recorder:
        """What the answer brings, kept by one recorder for all who ask; only before the first read."""
        recorder = self.recorder
        if recorder is None:
            recorder = Recorder()
            self.through(recorder)
        return recorder

    def timed(self, call: Call, clock: Clock) -> Answer:
        """Adds up in `call.waited` how long a reader waits for the source after the call's first content: a slow reader
        of ours does not make a model look slow."""
        self._timed, self._clock = call, clock
        return self

    async def read(self) -> Sequence[Event] | None:
        """The next batch after all transforms; None at the end."""
        while self.outcome is None:
            batch = self._head
            if batch is not None:
                self._head = None
            else:
                call, clock = self._timed, self._clock
                started = clock.now() if clock is not None else 0.0
                try:
                    batch = await self._source.read()
                except Exception:
                    self._finish("failed")
                    raise
                except BaseException:
                    self._finish("abandoned")
                    raise
                finally:
                    if call is not None and clock is not None and call.began is not None:
                        call.waited = (call.waited or 0.0) + clock.now() - started
            if batch is None:
                return self._finish("complete") or None
            try:
                for flow in self._flows:
                    batch = flow(batch)
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
        """Releases the upstream at once; what was not read is abandoned. Idempotent, and never raises: whoever closes
        has more to give back."""
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
        known = self.recorder
        if known is not None and known.collects:
            await self.drain()
            completion = known.completion or Completion(choices=[])
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

    def _finish(self, outcome: Outcome) -> list[Event]:
        """Ends every transform, also where one of them finds that the answer is not whole: those behind it are told
        that it failed, and what they hold is given back. Raises that only of an answer that was complete until then; of
        one that failed or was left, there is a better reason."""
        self.outcome, whole = outcome, outcome == "complete"
        self._head = None
        tail: list[Event] = []
        problem: BaseException | None = None
        try:
            for transform in self._transforms:
                try:
                    if tail:
                        tail = list(transform.flow(tail))
                    tail.extend(transform.end(outcome))
                except BaseException as error:
                    problem = problem or error
                    self.outcome = outcome = "failed"
                    tail = []
        finally:
            self._source.close()
        if problem is not None:
            if whole or not isinstance(problem, Exception):
                raise problem
            if not isinstance(problem, Failure):
                _log.error("the end of an answer failed for one of its observers", error=problem)
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
