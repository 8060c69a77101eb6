"""A coalesced call: one upstream, many readers.

Its own task pumps the upstream into a bounded replay buffer; readers follow at their own pace. It ends with its last
reader, and a failure fails all of them, once each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.events import Event
from hapenny.core.exchange import Exchange

MAX_EVENTS = 65_536
"""How many events the replay buffer holds before late readers are refused and a lagging one fails."""


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
        self._buffer: list[Event] = []
        self._done = False
        self._failure: BaseException | None = None
        self._readers = 0
        self._began = False
        self._waiters: list[asyncio.Future[None]] = []
        exchange.hold()
        self._task = asyncio.get_running_loop().create_task(self._pump())

    @property
    def open(self) -> bool:
        """Whether another reader may still join."""
        return not self._done and len(self._buffer) < MAX_EVENTS

    @property
    def readers(self) -> int:
        """How many follow now."""
        return self._readers

    async def join(self, exchange: Exchange) -> Answer:
        """A reader's own answer; returns when the flight has begun. Raises the flight's failure."""
        if exchange is not self.exchange:
            self.exchange.limits.extend(exchange.limits)
            context = self.exchange.context
            context.priority = max(context.priority, exchange.context.priority)
        reader = _Reader(self)
        self._readers += 1
        try:
            if not self._began and not self._done:
                await self.news()
            if not self._began:
                raise self._reason()
        except BaseException:
            reader.close()
            raise
        return Answer(reader)

    async def _pump(self) -> None:
        answer: Answer | None = None
        try:
            answer = await self._start()
            self._began = True
            self._wake()
            while (batch := await answer.read()) is not None:
                if len(self._buffer) + len(batch) > MAX_EVENTS:
                    raise Failure("too_large", "the answer outgrew the replay buffer of coalesced calls")
                self._buffer.extend(batch)
                self._wake()
        except BaseException as error:
            self._failure = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._done = True
            if answer is not None:
                answer.close()
            self._wake()
            self._landed(self)
            self.exchange.release()

    def _reason(self) -> BaseException:
        if isinstance(self._failure, Exception):
            return self._failure
        return Failure("unavailable", "the coalesced call was cancelled")

    async def news(self) -> None:
        """Waits until the flight has begun, brought events or ended; who gives up waiting takes nobody along."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _leave(self) -> None:
        self._readers -= 1
        if self._readers <= 0 and not self._done:
            self._task.cancel()


class _Reader:
    """A source that follows the flight."""

    def __init__(self, flight: Flight) -> None:
        self._flight: Flight | None = flight
        self._at = 0

    async def read(self) -> Sequence[Event] | None:
        flight = self._flight
        while flight is not None:
            if self._at < len(flight._buffer):
                batch = flight._buffer[self._at :]
                self._at += len(batch)
                return batch
            if flight._done:
                if flight._failure is not None:
                    raise flight._reason()
                return None
            await flight.news()
            flight = self._flight
        return None

    def close(self) -> None:
        flight, self._flight = self._flight, None
        if flight is not None:
            flight._leave()
