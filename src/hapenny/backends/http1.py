"""A small HTTP/1.1 client connection (RFC 9112): one request at a time, the answer in pieces.

It does what calls to model providers need and nothing else, so that a call costs little CPU: the whole request is one
write, an answer is parsed where it arrives, and one future wakes the one reader. Answers end by length, by chunks or
by the end of the connection; anything ambiguous is an error and ends the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

from hapenny.protocols import http1

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
    return http1.written(f"{method} {target} HTTP/1.1", headers, f"host: {host}\r\n{more}")


class Connection(http1.Parser, asyncio.Protocol):
    """One connection. `start` sends, `begun` waits for status and headers, `piece` gives the body."""

    __slots__ = (
        "_error",
        "_loop",
        "_paused",
        "_transport",
        "_waiter",
        "_without_body",
        "answered",
        "headers",
        "reusable",
        "status",
        "until",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.status = 0
        self.headers: dict[str, str] = {}
        """Of the answer, by lower-case names."""
        self.answered = False
        """Whether any byte came since the last request."""
        self.reusable = False
        """Whether another request may follow."""
        self.until = 0.0
        """When the connection is too old, for the pool."""
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._without_body = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    # -- what the pool and its leases do ---------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether a request may be sent."""
        return self._error is None and self._transport is not None and not self._transport.is_closing()

    @property
    def whole(self) -> bool:
        """Whether the rest of the answer has come, and may be taken at once."""
        return self.state == http1.DONE and not self._paused and bool(self.out)

    def start(self, request: bytes, body: bytes, *, without_body: bool = False) -> None:
        """Sends a request. `without_body`: the answer has none (HEAD)."""
        transport = self._transport
        if transport is None or not self.open:
            raise Broken("closed")
        self.state, self._without_body = http1.HEAD, without_body
        self.status, self.headers, self.reusable, self.answered = 0, {}, False, False
        if len(body) > BUFFER_BYTES:
            transport.writelines((request, body))
        else:
            transport.write(request + body)

    async def begun(self) -> None:
        """Waits until status and headers are there. Raises what broke the connection."""
        while self.state == http1.HEAD:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def piece(self) -> bytes:
        """What has arrived of the body, at least one byte; b"" at its end. Raises what broke the connection."""
        while True:
            if self.out:
                data = self.take()
                if self._paused:
                    self._paused = False
                    if self._transport is not None and not self._transport.is_closing():
                        self._transport.resume_reading()
                return data
            if self.state == http1.DONE:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait()

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

    # -- what the loop does ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self.state == http1.DONE:  # nothing was asked: never trust what follows
            self.fail(Broken("unexpected data"))
            return
        self.answered = True
        try:
            if self.feed(data):
                self.reusable = False  # more than one answer to one request
        except (ValueError, IndexError):
            self.fail(Broken("no valid HTTP/1.1 answer"))
            return
        if self.held > BUFFER_BYTES and not self._paused and self.state != http1.DONE and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The other side closed; so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.reusable = False
        if self.state == http1.CLOSE and exc is None and self._error is None:
            self.state = http1.DONE
        elif self._error is None:
            self._error = Broken("the connection was lost")
        self._wake()

    # -- parsing ---------------------------------------------------------------------------------------------------

    def head(self, text: str) -> None:
        """Reads status and headers, and how the body ends."""
        lines = text.split("\r\n")
        first = lines[0]
        if not first.startswith("HTTP/1.") or first[8:9] != " " or not first[9:12].isdecimal() or len(first) < 12:
            raise ValueError("no status line")
        status = int(first[9:12])
        headers = http1.fields(lines[1:])
        if status < 200:
            if status == 101:
                raise ValueError("nobody asked for an upgrade")
            return  # informational: the answer is still to come
        self.status, self.headers = status, headers
        connection = headers.get("connection", "").lower()
        self.reusable = "close" not in connection if first[7] == "1" else "keep-alive" in connection
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if self._without_body or status in (204, 304):
            self.no_body()
        elif coding is not None:
            self.chunks(coding)
            if length is not None:
                self.reusable = False  # RFC 9112 §6.3: ambiguous, so nothing may follow
        elif length is not None:
            self.length(length)
        else:
            self.reusable = False
            self.until_close()
