"""An answer under way: owns its upstream, is read once, lets stages watch or rewrite the flow, and has one recorder.

Events travel in batches (what one network read brought), so that the server can write them with one call.

The recorder stands behind an answer's last rewriting transform; `Answer.recorded` hands it out, and attaches one where
there is none. It looks at each batch once: pieces of text are noted as they come, usage and the way it stopped as they
are told; who wants the whole completion says so before the first read. Whoever needs it (the books, the caches,
throughput, delivery) reads the recorder when the answer has ended, instead of watching the flow itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from hapenny.core.clock import Clock, within
from hapenny.core.errors import Failure
from hapenny.core.events import (
    BlockStarted,
    CitationDelta,
    Collector,
    Completion,
    Event,
    Started,
    Stopped,
    StopReason,
    TextDelta,
    ThinkingDelta,
    Tokens,
    ToolCallDelta,
    Usage,
    begins,
)
from hapenny.core.log import get_logger
from hapenny.core.transform import EventTransform, Outcome, Transform

if TYPE_CHECKING:
    from hapenny.core.calls import Call

__all__ = ["Answer", "EventTransform", "Heard", "Outcome", "Recorder", "Replay", "Source", "Transform", "begin"]


_log = get_logger("hapenny.answers")


class Source(Protocol):
    """Where events come from: a backend's stream, a stored answer, a flight's replay."""

    async def read(self) -> Sequence[Event] | None:
        """The next batch, never empty; None at the end. Raises `Failure` (also for a truncated stream).

        A read that is cancelled loses nothing and closes nothing: the next one goes on where it was."""

    def close(self) -> None:
        """Releases the upstream at once. Idempotent, synchronous."""


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


Begun: TypeAlias = Callable[[], None]


class Heard(NamedTuple):
    """What a recorder knows of a whole answer that says the same each time it is replayed."""

    output: list[str]
    calls: list[str]
    tokens: Tokens | None
    cached: int | None
    stopped: StopReason | None


class Recorder(Transform):
    """Text, usage and end of one answer.

    Args:
        output: where the pieces of text, reasoning and arguments are appended in the order in which they came.
    """

    watches = True

    def __init__(self, output: list[str] | None = None) -> None:
        self.output: list[str] = output if output is not None else []
        self.seen = False
        """Whether anything has passed."""
        self.begun = False
        """Whether its first content, or its end, has come."""
        self.tokens: Tokens | None = None
        """What the provider reported last."""
        self.cached: int | None = None
        """The most tokens any report said were read from the provider's prompt cache."""
        self.stopped: StopReason | None = None
        self.calls: list[str] = []
        """Names of the tools it calls."""
        self.completion: Completion | None = None
        """The whole answer, once it is complete; only where `whole` was asked for."""
        self._collector: Collector | None = None
        self._parts: list[str] = []
        """The pieces of the text block that was written to last."""
        self._place = (-1, -1)
        self._hooks: list[Begun] = []

    @property
    def characters(self) -> int:
        """Length of the output so far."""
        return sum(map(len, self.output))

    @property
    def collects(self) -> bool:
        """Whether there will be a `completion`."""
        return self._collector is not None

    def whole(self) -> None:
        """Asks for the `completion`; only before the first read."""
        if self._collector is None:
            self._collector = Collector()

    def on_begun(self, hook: Begun) -> None:
        """Runs `hook` when the answer's first content, or its end, passes."""
        self._hooks.append(hook)

    def recall(self, heard: Heard) -> None:
        """Takes a whole answer that was heard before, as if its events passed."""
        self.seen = self.begun = True
        for hook in self._hooks:
            hook()
        self.output, self.calls = heard.output, heard.calls
        self.tokens, self.cached, self.stopped = heard.tokens, heard.cached, heard.stopped

    @property
    def recalls(self) -> bool:
        """Whether nobody asks for more than `recall` tells: no completion, no events of their own."""
        return self._collector is None and type(self).told is Recorder.told and type(self).flow is Recorder.flow

    def told(self, event: Event) -> None:
        """Takes an event that is no content: how it started, stopped, what it used."""

    def flow(self, batch: Sequence[Event]) -> Sequence[Event]:
        """Passes everything on."""
        self.seen = True
        if not self.begun:
            for event in batch:
                if isinstance(event, (TextDelta, ThinkingDelta, ToolCallDelta, Stopped, CitationDelta)):
                    self.begun = True
                    for hook in self._hooks:
                        hook()
                    break
        collector, output = self._collector, self.output
        if collector is not None and collector.take(batch):
            collector = None
        (choice, block), parts = self._place, self._parts
        for event in batch:
            if type(event) is TextDelta:
                output.append(event.text)
                if collector is not None:
                    if event.block != block or event.choice != choice:
                        choice, block = self._place = (event.choice, event.block)
                        parts = self._parts = collector.text(choice, block)
                    parts.append(event.text)
                continue
            if collector is not None:
                collector.feed(event)
            if isinstance(event, ThinkingDelta):
                output.append(event.text)
            elif isinstance(event, ToolCallDelta):
                output.append(event.arguments)
            elif isinstance(event, BlockStarted):
                if event.kind == "tool_use":
                    self.calls.append(event.name)
            elif isinstance(event, (Started, Stopped, Usage)):
                if isinstance(event, Usage):
                    self.tokens = event.tokens
                    self.cached = max(self.cached or 0, event.tokens.cache_read)
                elif isinstance(event, Stopped):
                    self.stopped = event.reason
                self.told(event)
        return batch

    def unseen(self, batch: Sequence[Event]) -> None:
        """Takes what came but was handed to nobody."""
        self._hooks = []
        self.flow(batch)
        self.seen = False

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Makes the completion of a complete answer."""
        if outcome == "complete" and self._collector is not None:
            self.completion = self._collector.finish()
        return ()


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
