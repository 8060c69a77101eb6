"""A small HTTP/1.1 client connection (RFC 9112): one request at a time, the answer in pieces.

It does what calls to model providers need and nothing else, so that a call costs little CPU: the whole request is one
write, an answer is parsed where it arrives, and one future wakes the one reader. Answers end by length, by chunks or
by the end of the connection; anything ambiguous is an error and ends the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

from hapenny.protocols.http1 import framing
from hapenny.protocols.http1.answer import AnswerParser
from hapenny.protocols.http1.fields import Malformed, written

BUFFER_BYTES = 1 << 18
"""What may wait for the reader before the connection is told to pause."""

USUAL = "user-agent: hapenny\r\naccept-encoding: identity\r\n"
"""Sent with every request: answers are passed on as they come, so they had better not be compressed."""


class Broken(Exception):
    """The connection ended, or what came is no HTTP/1.1."""


def head(method: str, target: str, host: str, headers: Mapping[str, str], length: int | None) -> bytes:
    """The head of a request.

    Raises:
        ValueError: when a name, a value or the target could break out of its line.
    """
    if " " in target:
        raise ValueError("a space in the request's target")
    more = USUAL if length is None else f"{USUAL}content-length: {length}\r\n"
    return written(f"{method} {target} HTTP/1.1", headers, f"host: {host}\r\n{more}")


class Connection(AnswerParser, asyncio.Protocol):
    """One connection. `start` sends, `begun` waits for status and headers, `piece` gives the body."""

    __slots__ = ("_error", "_loop", "_slices", "_transport", "_waiter", "answered", "paused", "reader", "until")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.answered = False
        """Whether any byte came since the last request."""
        self.until = 0.0
        """When the connection is too old, for the pool."""
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self.paused = False
        """Whether the other side waits, since enough is here."""
        self._slices = False
        """Whether more of what came is read at the loop's next turn."""
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.reader: Callable[[], object] | None = None
        """Called whenever there is more of the body, its end, or a failure, instead of waking who waits."""

    # -- what the pool and its leases do ---------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether a request may be sent."""
        return self._error is None and self._transport is not None and not self._transport.is_closing()

    @property
    def whole(self) -> bool:
        """Whether the rest of the answer has come, and may be taken at once."""
        return self.state == framing.DONE and not self.paused and bool(self.out)

    def start(self, request: bytes, body: bytes, *, without_body: bool = False) -> None:
        """Sends a request. `without_body`: the answer has none (HEAD)."""
        transport = self._transport
        if transport is None or not self.open:
            raise Broken("closed")
        self.ask(without_body=without_body)
        self.answered = False
        if len(body) > BUFFER_BYTES:
            transport.writelines((request, body))
        else:
            transport.write(request + body)

    async def begun(self) -> None:
        """Waits until status and headers are there. Raises what broke the connection."""
        while self.state == framing.HEAD:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def piece(self) -> bytes:
        """What has arrived of the body, at least one byte; b"" at its end. Raises what broke the connection.

        A wait that is cancelled loses nothing: what arrives meanwhile is there for the next."""
        while (waiter := self.arrival()) is not None:
            await waiter
        return self.arrived()

    def arrival(self) -> asyncio.Future[None] | None:
        """What to wait for before there may be more of the body; None: some is there, or its end. Raises what broke the
        connection. One reader waits at a time; a wait that is given up loses nothing."""
        if self.out or self.state == framing.DONE:
            return None
        if self._error is not None:
            raise self._error
        waiter = self._waiter = self._loop.create_future()
        return waiter

    @property
    def ready(self) -> bool:
        """Whether there is something to be read: more of the body, its end, or what broke the connection."""
        return bool(self.out) or self.state == framing.DONE or self._error is not None

    def arrived(self) -> bytes:
        """What has arrived of the body; b"" where nothing has."""
        out = self.out
        if not out:
            return b""
        if len(out) == 1 and type(out[0]) is bytes:
            data = out.pop()
            self.held = 0
        else:
            data = self.take()
        if self.paused:
            self._pace()
        return bytes(data)

    def fail(self, error: BaseException) -> None:
        """Ends the connection; whoever waits gets `error`."""
        if self._error is None:
            self._error = error
        self.reusable = False
        self._wake()
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Ends an idle connection."""
        self.reusable = False
        if self._transport is not None:
            self._transport.close()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self.reader is not None:  # at the loop's next turn: whoever breaks the connection is not called back by it
            self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        if self.reader is not None:
            self.reader()

    # -- what the loop does ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Bytes came, or (none) the rest of what came is read on: a long run of small chunks is read in slices, so that
        others have their turn between them."""
        if data and self.state == framing.DONE:  # nothing was asked: never trust what follows
            self.fail(Broken("unexpected data"))
            return
        self.answered = True
        if self._error is not None:
            return
        try:
            self._slices = self.feed(data)
        except Malformed:
            self.fail(Broken("no valid HTTP/1.1 answer"))
            return
        if self._slices:
            self._loop.call_soon(self.data_received, b"")
        elif self.state == framing.DONE and self.behind:
            self.reusable = False  # more than one answer to one request
        if self.paused or self._slices or self.held > BUFFER_BYTES:
            self._pace()
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self.reader is not None:
            self.reader()

    def _pace(self) -> None:
        """Lets the other side wait while enough is here."""
        full = self._slices or (self.held > BUFFER_BYTES and self.state != framing.DONE)
        transport = self._transport
        if full != self.paused and transport is not None and not transport.is_closing():
            self.paused = full
            if full:
                transport.pause_reading()
            else:
                transport.resume_reading()

    def eof_received(self) -> bool:
        """The other side closed; so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        while self._slices and self._error is None:
            self.data_received(b"")
        self.reusable = False
        if self.state == framing.CLOSE and exc is None and self._error is None:
            self.state = framing.DONE
        elif self._error is None:
            self._error = Broken("the connection was lost")
        self._wake()
