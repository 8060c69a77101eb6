"""An answer under way: owns its upstream, is read once, lets stages watch or rewrite the flow, and has one recorder.

Events travel in batches (what one network read brought), so that the server can write them with one call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

from hapenny.core.clock import Clock, within
from hapenny.core.errors import Failure
from hapenny.core.events import Collector, Completion, Event, begins
from hapenny.core.log import get_logger
from hapenny.core.recorder import Heard, Recorder
from hapenny.core.source import Sink, Source, unheard
from hapenny.core.transform import EventTransform, Outcome, Transform

if TYPE_CHECKING:
    from hapenny.core.calls import Call

__all__ = ["Answer", "EventTransform", "Heard", "Outcome", "Recorder", "Replay", "Source", "Transform", "begin"]


_log = get_logger("hapenny.answers")


class Replay:
    """A source of events that are already there.

    `forms`: the whole answer as it may be written, by protocol (`Answer.forms`). `heard`: what a recorder made of the
    events before, or will have made (`Answer.drain`)."""

    __slots__ = ("_events", "forms", "heard")

    def __init__(
        self,
        events: Sequence[Event],
        forms: dict[str, tuple[bytes, dict[str, str]]] | None = None,
        heard: list[Heard] | None = None,
    ) -> None:
        self._events: Sequence[Event] | None = events
        self.forms = forms
        self.heard = heard

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
        "_clock", "_failure", "_flows", "_head", "_listen", "_since", "_sink", "_source", "_timed", "_transforms",
        "begun", "forms", "outcome", "recorder",
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
        self._listen: Callable[[Sink | None], bool] = getattr(source, "listen", unheard)
        self._head: Sequence[Event] | None = head or None
        self._transforms: list[Transform] = []
        self._flows: list[Callable[[Sequence[Event]], Sequence[Event]]] = []
        """Of those transforms that look at events at all."""
        self.recorder: Recorder | None = None
        """The recorder behind which nothing is rewritten."""
        self._timed: Call | None = None
        self._clock: Clock | None = None
        self._since: float | None = None
        """Since when somebody listens."""
        self._sink: Sink | None = None
        """Who does."""
        self._failure: Exception | None = None
        """What broke meanwhile."""
        self.outcome: Outcome | None = None
        self.forms = forms
        """Body and headers by protocol, as the whole answer was written before, or came: it goes out like that. None
        where what goes out is another one each time."""

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
        """The next batch after all transforms; None at the end. As with any source, a read that is cancelled loses
        nothing and closes nothing."""
        while self.outcome is None:
            batch = self._head
            if batch is not None:
                self._head = None
            else:
                call, clock = self._timed, self._clock
                started = clock.now() if clock is not None else 0.0
                try:
                    batch = await self._source.read()
                except asyncio.CancelledError:  # nothing is lost: whoever holds the answer reads on, or closes it
                    raise
                except BaseException as error:
                    self._finish("failed" if isinstance(error, Exception) else "abandoned")
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
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return None

    def listen(self, sink: Sink | None) -> bool:
        """Hands what comes, after all transforms, to `sink` (`core.source`); False: it has to be read."""
        self._note_wait()
        if sink is None:
            if self._sink is not None:
                self._sink = None
                self._listen(None)
            return False
        if self._head is not None or self.outcome is not None or not self._listen(self._came):
            return False
        self._sink = sink
        if self._clock is not None:
            self._since = self._clock.now()
        return True

    def _came(self, batch: Sequence[Event] | None) -> None:
        """Takes what the source hands on."""
        sink = self._sink
        if sink is None:
            return
        if batch is not None:
            try:
                for flow in self._flows:
                    batch = flow(batch)
            except Exception as error:  # raised to whoever reads on
                self._failure = error
                self._finish("failed")
            else:
                if batch:
                    sink(batch)
                return
        self._note_wait()
        self._sink = None
        sink(None)

    def _note_wait(self) -> None:
        """Counts what was waited for a model while somebody listened."""
        call, clock, since = self._timed, self._clock, self._since
        self._since = None
        if since is not None and call is not None and clock is not None and call.began is not None:
            call.waited = (call.waited or 0.0) + clock.now() - max(since, call.began)

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
        """Reads to the end for what the transforms make of it. What a recorder that alone looks at a stored answer
        makes of it is known from the first time on."""
        source, recorder = self._source, self.recorder
        heard: list[Heard] | None = None
        untouched = self._head is None and self.outcome is None and len(self._flows) == 1
        if type(source) is Replay and untouched and recorder is not None and recorder.recalls:
            heard = source.heard
        if recorder is not None and heard:
            recorder.recall(heard[0])
            self._finish("complete")
            return
        try:
            while await self.read() is not None:
                pass
        finally:
            self.close()
        if recorder is not None and heard is not None and self.outcome == "complete" and recorder.begun:
            heard.append(Heard(recorder.output, recorder.calls, recorder.tokens, recorder.cached, recorder.stopped))

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
        self._note_wait()
        self.outcome, whole = outcome, outcome == "complete"
        self._head = self._sink = None
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
        return Answer(source, head, source.forms if type(source) is Replay else None)
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
