"""A coalesced call: one upstream, many readers.

Its own task pumps the upstream into a replay buffer; readers follow at their own pace. The buffer is bounded in bytes,
and the pump waits when nobody has read what it brought: an upstream is as slow as the fastest of its readers. It ends
with its last reader, and a failure fails all of them, once each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.events import Event, TextDelta, ThinkingDelta, ToolCallDelta, begins
from hapenny.core.exchange import Exchange

MAX_BYTES = 64_000_000
"""What the replay buffer holds; a longer answer fails."""
AHEAD_BYTES = 1 << 20
"""How far the upstream may be ahead of the fastest reader."""
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
        self._buffer: list[_Batch] = []
        self.batches = 0
        """How many batches have come."""
        self.over = False
        """Whether none will follow."""
        self._size = 0
        """Where the last batch ends, in bytes."""
        self._front = 0
        """Where the fastest reader is, in bytes."""
        self._failure: BaseException | None = None
        self._readers = 0
        self._accepted = False
        self._content = False
        """Whether the first content has come."""
        self.waiters: list[asyncio.Future[None]] = []
        """Those of readers that wait for news."""
        self._room: asyncio.Future[None] | None = None
        exchange.hold()
        self.loop = asyncio.get_running_loop()
        self._task = self.loop.create_task(self._pump())

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
            if not self._accepted and not self.over:
                await self.news()
            if not self._accepted:
                raise self._reason()
        except BaseException:
            reader.close()
            raise
        return Answer(reader, begun=self._content)

    async def _pump(self) -> None:
        answer: Answer | None = None
        try:
            answer = await self._start()
            self._content = answer.begun
            self._accepted = True
            self._wake()
            while (batch := await answer.read()) is not None:
                if not self._content:
                    self._content = any(begins(event) for event in batch)
                until = self._size + _bytes(batch)
                if until > MAX_BYTES:
                    raise Failure("too_large", f"the answer is longer than {MAX_BYTES // 1_000_000} MB")
                self._buffer.append(_Batch(batch, until))
                self._size = until
                self.batches += 1
                waiters, self.waiters = self.waiters, []
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(None)
                while self._size - self._front > AHEAD_BYTES:
                    self._room = self.loop.create_future()
                    await self._room
        except BaseException as error:
            self._failure = error
            if not isinstance(error, Exception):
                raise
        finally:
            self.over = True
            if answer is not None:
                answer.close()
            self._wake()
            self._landed(self)
            self.exchange.release()

    def _reason(self) -> BaseException:
        if isinstance(self._failure, Exception):
            return self._failure
        return Failure("unavailable", "the coalesced call was cancelled")

    def news(self) -> asyncio.Future[None]:
        """Done when the flight has begun, brought events or ended; who gives up waiting for it takes nobody along."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        self.waiters.append(waiter)
        return waiter

    def _wake(self) -> None:
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def after(self, at: int) -> tuple[Sequence[Event] | None, int]:
        """What has come behind the first `at` batches, and up to which it goes; None where nothing has.

        Raises:
            Failure: the flight's, once its events are read.
        """
        if at >= self.batches:
            if self.over and self._failure is not None:
                raise self._reason()
            return None, at
        first = self._buffer[at]
        events, size, at = first.events, 0, at + 1
        if at < len(self._buffer):  # behind: several at once
            together = list(events)
            while at < len(self._buffer) and size < PIECE_BYTES:
                size = self._buffer[at].until - first.until
                together.extend(self._buffer[at].events)
                at += 1
            events = together
        self._front = max(self._front, self._buffer[at - 1].until)
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)
        return events, at

    def leave(self) -> None:
        """A reader goes; with the last one the flight ends."""
        self._readers -= 1
        if self._readers <= 0 and not self.over:
            self._task.cancel()


class _Reader:
    """A source that follows the flight."""

    __slots__ = ("_at", "_flight")

    def __init__(self, flight: Flight) -> None:
        self._flight: Flight | None = flight
        self._at = 0

    async def read(self) -> Sequence[Event] | None:
        """The next batch."""
        while (flight := self._flight) is not None:
            if self._at >= flight.batches and not flight.over:
                waiter: asyncio.Future[None] = flight.loop.create_future()
                flight.waiters.append(waiter)
                await waiter
                continue
            events, self._at = flight.after(self._at)
            return events
        return None

    def close(self) -> None:
        """Leaves the flight."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.leave()


def _bytes(batch: Sequence[Event]) -> int:
    """About how much events take: their texts, and the frames they came in."""
    size = 0
    for event in batch:
        raw = event.raw
        size += _EVENT + (len(raw) if raw is not None else 0)
        if isinstance(event, (TextDelta, ThinkingDelta)):
            size += len(event.text)
        elif isinstance(event, ToolCallDelta):
            size += len(event.arguments)
    return size
