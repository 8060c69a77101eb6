"""A small HTTP/1.1 client connection (RFC 9112): one request at a time, the answer in pieces.

It does what calls to model providers need and nothing else, so that a call costs little CPU: the whole request is one
write, an answer is parsed where it arrives, and one future wakes the one reader. Answers end by length, by chunks or
by the end of the connection; anything ambiguous is an error and ends the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

HEAD_BYTES = 1 << 16
"""The longest head of an answer."""
BUFFER_BYTES = 1 << 18
"""What may wait for the reader before the connection is told to pause."""

USUAL = "user-agent: hapenny\r\naccept-encoding: identity\r\n"
"""Sent with every request: answers are passed on as they come, so they had better not be compressed."""

_HEAD, _LENGTH, _SIZE, _CHUNK, _CRLF, _TRAILER, _CLOSE, _DONE = range(8)
_HEX = frozenset(b"0123456789abcdefABCDEF")


class Broken(Exception):
    """The connection ended, or what came is no HTTP/1.1."""


def head(method: str, target: str, host: str, headers: Mapping[str, str], length: int | None) -> bytes:
    """The head of a request.

    Raises:
        ValueError: when a name, a value or the target could break out of its line.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    text = f"{method} {target} HTTP/1.1\r\nhost: {host}\r\n{USUAL}{lines}"
    if length is not None:
        text += f"content-length: {length}\r\n"
    breaks = len(headers) + (4 if length is None else 5)
    if text.count("\n") != breaks or text.count("\r") != breaks or " " in target or "\0" in text:
        raise ValueError("a line break or space where none may be")
    return (text + "\r\n").encode("latin-1")


class Connection(asyncio.Protocol):
    """One connection. `start` sends, `begun` waits for status and headers, `piece` gives the body."""

    __slots__ = (
        "_error",
        "_held",
        "_left",
        "_loop",
        "_out",
        "_paused",
        "_state",
        "_tail",
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
        self._state = _DONE
        self._tail = b""
        self._left = 0
        self._out: list[bytes] = []
        self._held = 0
        self._paused = False
        self._without_body = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    # -- what the pool and its leases do ---------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether a request may be sent."""
        return self._error is None and self._transport is not None and not self._transport.is_closing()

    def start(self, request: bytes, body: bytes, *, without_body: bool = False) -> None:
        """Sends a request. `without_body`: the answer has none (HEAD)."""
        transport = self._transport
        if transport is None or not self.open:
            raise Broken("closed")
        self._state, self._tail, self._without_body = _HEAD, b"", without_body
        self.status, self.headers, self.reusable, self.answered = 0, {}, False, False
        if len(body) > BUFFER_BYTES:
            transport.writelines((request, body))
        else:
            transport.write(request + body)

    async def begun(self) -> None:
        """Waits until status and headers are there. Raises what broke the connection."""
        while self._state == _HEAD:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def piece(self) -> bytes:
        """What has arrived of the body, at least one byte; b"" at its end. Raises what broke the connection."""
        while True:
            out = self._out
            if out:
                data = out[0] if len(out) == 1 else b"".join(out)
                out.clear()
                self._held = 0
                if self._paused:
                    self._paused = False
                    if self._transport is not None and not self._transport.is_closing():
                        self._transport.resume_reading()
                return data
            if self._state == _DONE:
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
        if self._state == _DONE:  # nothing was asked: never trust what follows
            self.fail(Broken("unexpected data"))
            return
        self.answered = True
        try:
            self._parse(self._tail + data if self._tail else data)
        except (ValueError, IndexError):
            self.fail(Broken("no valid HTTP/1.1 answer"))
            return
        if self._held > BUFFER_BYTES and not self._paused and self._state != _DONE and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The other side closed; so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.reusable = False
        if self._state == _CLOSE and exc is None and self._error is None:
            self._state = _DONE
        elif self._error is None:
            self._error = Broken("the connection was lost")
        self._wake()

    # -- parsing ---------------------------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> None:
        at, end = 0, len(data)
        self._tail = b""
        while at < end:
            state = self._state
            if state in (_CHUNK, _LENGTH):
                part = data[at : at + self._left] if at or self._left < end else data
                self._take(part)
                at += len(part)
                self._left -= len(part)
                if not self._left:
                    if state == _LENGTH:
                        self._finish()
                    else:
                        self._state = _CRLF
            elif state == _SIZE:
                line = data.find(b"\r\n", at)
                if line < 0:
                    if end - at > 1024:
                        raise ValueError("a chunk's size has no end")
                    break
                size = data[at:line].partition(b";")[0].strip(b" \t")
                if not size or len(size) > 15 or not _HEX.issuperset(size):
                    raise ValueError("no chunk size")
                self._left = int(size, 16)
                self._state = _CHUNK if self._left else _TRAILER
                at = line + 2
            elif state == _CRLF:
                if end - at < 2:
                    break
                if data[at : at + 2] != b"\r\n":
                    raise ValueError("a chunk is longer than its size")
                self._state = _SIZE
                at += 2
            elif state == _HEAD:
                stop = data.find(b"\r\n\r\n", at)
                if stop < 0:
                    if end - at > HEAD_BYTES:
                        raise ValueError("the head is too long")
                    break
                self._begin(data[at:stop])
                at = stop + 4
            elif state == _TRAILER:
                line = data.find(b"\r\n", at)
                if line < 0:
                    if end - at > HEAD_BYTES:
                        raise ValueError("the trailer is too long")
                    break
                if line == at:
                    self._finish()
                at = line + 2
            elif state == _CLOSE:
                self._take(data[at:] if at else data)
                at = end
            else:  # more than one answer to one request
                self.reusable = False
                return
        if at < end:
            self._tail = data[at:] if at else data

    def _take(self, part: bytes) -> None:
        self._out.append(part)
        self._held += len(part)

    def _begin(self, text: bytes) -> None:
        lines = text.decode("latin-1").split("\r\n")
        first = lines[0]
        if not first.startswith("HTTP/1.") or first[8:9] != " " or not first[9:12].isdecimal() or len(first) < 12:
            raise ValueError("no status line")
        status = int(first[9:12])
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name or name[0] in " \t" or name[-1] in " \t":
                raise ValueError("no header")
            name, value = name.lower(), value.strip(" \t")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        if status < 200:
            if status == 101:
                raise ValueError("nobody asked for an upgrade")
            return  # informational: the answer is still to come
        self.status, self.headers = status, headers
        connection = headers.get("connection", "").lower()
        self.reusable = "close" not in connection if first[7] == "1" else "keep-alive" in connection
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if self._without_body or status in (204, 304):
            self._finish()
        elif coding is not None:
            if coding.lower() != "chunked":
                raise ValueError("an unknown transfer coding")
            if length is not None:
                self.reusable = False  # RFC 9112 §6.3: ambiguous, so nothing may follow
            self._state = _SIZE
        elif length is not None:
            if not (length.isascii() and length.isdigit()) or len(length) > 15:
                raise ValueError("no length")
            self._left = int(length)
            if self._left:
                self._state = _LENGTH
            else:
                self._finish()
        else:
            self.reusable = False
            self._state = _CLOSE

    def _finish(self) -> None:
        self._state = _DONE
