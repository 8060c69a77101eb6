"""A coalesced call: one upstream, many readers.

Its own task begins the call, so that whoever asked first may leave. From then on whichever reader is ahead reads the
upstream for all, into a replay buffer; the others follow at their own pace. The buffer is bounded in bytes, and nothing
is read that nobody waits for: an upstream is as slow as the fastest of its readers. It ends with its last reader, and a
failure fails all of them, once each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.events import Event, TextDelta, ThinkingDelta, ToolCallDelta, begins
from hapenny.core.exchange import Exchange
from hapenny.core.source import Sink

MAX_BYTES = 64_000_000
"""What the replay buffer holds; a longer answer fails."""
PIECE_BYTES = 1 << 16
"""About how much a reader that is behind is given at once."""
_EVENT = 200
"""An event without its text."""


class _Batch(NamedTuple):
    """What one read of the upstream brought; `until` is where it ends, in bytes from the beginning."""

    events: Sequence[Event]
    until: int


class Flight:
    """One call under way for everybody who asked the same.

    Args:
        exchange: the starter's: its limits are extended to the latest, its priority raised to the highest of the
            readers; its row pays.
        start: makes the call; runs in the flight's own task, so that the starter may leave.
        landed: called once when the flight is over, whatever its end.
    """

    def __init__(
        self, exchange: Exchange, start: Callable[[], Awaitable[Answer]], landed: Callable[[Flight], None]
    ) -> None:
        self.exchange = exchange
        self._start = start
        self._landed = landed
        self._answer: Answer | None = None
        """The upstream, once it has begun."""
        self._buffer: list[_Batch] = []
        self.batches = 0
        """How many batches have come."""
        self.over = False
        """Whether none will follow."""
        self.reading = False
        """Whether a reader waits for the upstream, for all, or the flight listens to it."""
        self._size = 0
        """Where the last batch ends, in bytes."""
        self._failure: BaseException | None = None
        self._readers = 0
        self._content = False
        """Whether the first content has come."""
        self._waiters: list[asyncio.Future[None]] = []
        """Those of readers that wait for news."""
        self._sinks: dict[_Reader, Sink] = {}
        """Those of readers that listen; as long as there are any, the flight listens to its upstream."""
        exchange.hold()
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._begin())

    @property
    def open(self) -> bool:
        """Whether another reader may still join."""
        return not self.over and self._size < MAX_BYTES

    @property
    def readers(self) -> int:
        """How many follow now."""
        return self._readers

    @property
    def broken(self) -> BaseException | None:
        """What ended it that is no failure of the upstream's, nor the last reader's leaving."""
        failure = self._failure
        if failure is None or isinstance(failure, Failure):
            return None
        return failure if isinstance(failure, Exception) or self._readers > 0 else None

    async def join(self, exchange: Exchange) -> Answer:
        """A reader's own answer; returns when the flight has begun. Raises the flight's failure."""
        if exchange is not self.exchange:
            self.exchange.limits.extend(exchange.limits)
            context = self.exchange.context
            context.priority = max(context.priority, exchange.context.priority)
        reader = _Reader(self)
        self._readers += 1
        try:
            if self._answer is None and not self.over:
                await self.news()
            if self._answer is None:
                raise self._reason()
        except BaseException:
            reader.close()
            raise
        return Answer(reader, forms=self._answer.forms, begun=self._content)

    async def _begin(self) -> None:
        try:
            answer = await self._start()
        except BaseException as error:
            self._end(error)
            if not isinstance(error, Exception):
                raise
        else:
            self._content = answer.begun
            self._answer = answer
            self._wake()

    async def pull(self, reader: _Reader) -> Sequence[Event] | None:
        """Reads the upstream on for all, by a reader that has read all there is. Whoever gives that up takes nobody
        along: another goes on.

        Raises:
            Failure: the flight's.
        """
        answer = self._answer
        assert answer is not None
        self.reading = True
        try:
            batch = await answer.read()
            if batch is None:
                self._end(None)
                return None
            self._keep(batch)
            reader.at = self.batches
            return batch
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._end(error)
            raise
        finally:
            self.reading = False
            if self._waiters:
                self._wake_waiters()

    def _keep(self, batch: Sequence[Event]) -> None:
        """Adds what came to the buffer."""
        size = self._size + _size_of(batch)
        if size > MAX_BYTES:
            raise Failure("too_large", f"the answer is longer than {MAX_BYTES // 1_000_000} MB")
        if not self._content:
            self._content = any(begins(event) for event in batch)
        self._buffer.append(_Batch(batch, size))
        self._size = size
        self.batches += 1

    def listen(self, reader: _Reader, sink: Sink | None) -> bool:
        """Hands what comes to the `sink` of a reader that has read all there is, as long as the upstream can do so and
        nobody reads it; None: it wants none for now. False: the reader has to read."""
        answer, sinks = self._answer, self._sinks
        if sink is None:
            if sinks.pop(reader, None) is not None and not sinks:
                self.reading = False
                if answer is not None:
                    answer.listen(None)
                self._wake()  # who reads goes on by himself
            return False
        if reader.at < self.batches or self.over or answer is None:
            return False
        if not sinks:
            if self.reading or not answer.listen(self._came):
                return False
            self.reading = True
        sinks[reader] = sink
        return True

    def _came(self, batch: Sequence[Event] | None) -> None:
        """Takes what the upstream hands on."""
        if batch is None:
            self.reading = False
            self._wake()
            return
        try:
            self._keep(batch)
        except Failure as failure:
            self._end(failure)
            return
        for reader, sink in list(self._sinks.items()):
            if reader in self._sinks:
                reader.at = self.batches
                sink(batch)
        if self._waiters:
            self._wake_waiters()

    def _end(self, failure: BaseException | None) -> None:
        """The flight is over: its upstream is released, and its readers learn why."""
        if self.over:
            return
        self.over, self._failure = True, failure
        if self._answer is not None:
            self._answer.close()
        self._wake()
        self._landed(self)
        self.exchange.release()

    def _reason(self) -> BaseException:
        if isinstance(self._failure, Exception):
            return self._failure
        return Failure("unavailable", "the coalesced call was cancelled")

    def news(self) -> asyncio.Future[None]:
        """Done when the flight has begun, brought events, lost whoever read it, or ended; who gives up waiting for it
        takes nobody along."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        return waiter

    def _wake(self) -> None:
        """Has all readers look for themselves."""
        sinks, self._sinks = self._sinks, {}
        for sink in sinks.values():
            sink(None)
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def follow(self, reader: _Reader) -> Sequence[Event] | None:
        """What has come behind what a reader has read, or comes next; None at the end.

        Raises:
            Failure: the flight's, once its events are read.
        """
        while (events := self.next(reader)) is not None and not events:
            if not self.reading:  # whoever read for all has given up
                return await self.pull(reader)
            await self.news()
        return events

    def next(self, reader: _Reader) -> Sequence[Event] | None:
        """What has come behind what a reader has read; empty: nothing yet; None at the end.

        Raises:
            Failure: the flight's, once its events are read.
        """
        at = reader.at
        if at >= self.batches:
            if not self.over:
                return ()
            if self._failure is not None:
                raise self._reason()
            return None
        first = self._buffer[at]
        events, size, at = first.events, 0, at + 1
        if at < self.batches:  # behind: several at once
            together = list(events)
            while at < self.batches and size < PIECE_BYTES:
                size = self._buffer[at].until - first.until
                together.extend(self._buffer[at].events)
                at += 1
            events = together
        reader.at = at
        return events

    def leave(self) -> None:
        """A reader goes; with the last one the flight ends."""
        self._readers -= 1
        if self._readers <= 0 and not self.over:
            if self._answer is None:
                self._task.cancel()
            else:
                self._end(asyncio.CancelledError())


def _size_of(batch: Sequence[Event]) -> int:
    """About how many bytes events take: their texts, and the frames they came in."""
    size = 0
    for event in batch:
        raw = event.raw
        size += _EVENT if raw is None else _EVENT + len(raw)
        if type(event) is TextDelta or type(event) is ThinkingDelta:
            size += len(event.text)
        elif type(event) is ToolCallDelta:
            size += len(event.arguments)
    return size


async def _nothing() -> None:
    return None


class _Reader:
    """A source that follows the flight, and reads its upstream where it is ahead of all others."""

    __slots__ = ("_flight", "at")

    def __init__(self, flight: Flight) -> None:
        self._flight: Flight | None = flight
        self.at = 0
        """How many batches it has read."""

    def read(self) -> Coroutine[Any, Any, Sequence[Event] | None]:
        """The next batch."""
        flight = self._flight
        if flight is None:
            return _nothing()
        if self.at < flight.batches or flight.over or flight.reading:
            return flight.follow(self)
        return flight.pull(self)

    def listen(self, sink: Sink | None) -> bool:
        """Hands what comes to `sink` (`core.source`); False: it has to be read."""
        return self._flight is not None and self._flight.listen(self, sink)

    def close(self) -> None:
        """Leaves the flight."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.listen(self, None)
            flight.leave()
