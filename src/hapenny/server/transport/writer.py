"""The side of a connection that writes: heads, whole answers, streamed ones with keep-alives, back pressure."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol

from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.protocols.http1.fields import written
from hapenny.protocols.http1.request import RequestParser
from hapenny.server.transport.limits import Limits
from hapenny.server.transport.messages import Pieces, Response, Work, listen

HIGH_WATER = 1 << 18
"""Bytes a slow reader may lag behind before whoever writes for it has to wait."""

_REASONS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}


class Host(Protocol):
    """The server as whoever writes sees it."""

    clock: Clock
    limits: Limits
    date: str
    """The `Date` line, made once a second;"""
    second: int
    """in that one of the epoch."""


class Writer(RequestParser, asyncio.Protocol):
    """A connection as whoever answers sees it. One object with its parser: a request costs few calls."""

    __slots__ = ("_drained", "_host", "_loop", "peer", "transport", "until", "waits")

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.transport: asyncio.Transport | None = None
        self.peer = ""
        """Address of the client."""
        self.waits = False
        """Whether the client reads too slowly."""
        self.until: float | None = None
        """When the connection is late, on the loop's clock."""
        self._host = host
        self._loop = loop
        self._drained: asyncio.Future[None] | None = None

    def abort(self) -> None:
        """Ends the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def send(self, data: bytes) -> None:
        """Writes; raises `ConnectionResetError` when the client is gone."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        transport.write(data)

    async def drain(self) -> None:
        """Waits until the client has caught up; one that takes nothing at all for too long is let go."""
        if self.waits:
            self.until = self._loop.time() + self._host.limits.stalled_s
        while self.waits:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)
        self.until = None
        if self.transport is None:
            raise ConnectionResetError("the client is gone")

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self.waits = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.waits = False
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def opening(self, response: Response, more: str) -> bytes:
        """The head of an answer."""
        headers = response.headers
        if "date" not in headers:
            more += dated(self._host)
        if not self.keep:
            more += "connection: close\r\n"
        elif not self.modern:
            more += "connection: keep-alive\r\n"
        return written(_REASONS.get(response.status) or f"HTTP/1.1 {response.status} ", headers, more)

    def write(self, response: Response) -> None:
        """Writes a whole answer, in one go. 204, 304 and answers to HEAD have no body (RFC 9112 §6.3)."""
        pieces, status = response.pieces, response.status
        if pieces is not None:  # whose body nobody may have
            pieces.close()
        bare = status in (204, 304) or status < 200
        stated = bare or pieces is not None or "content-length" in response.headers
        head = self.opening(response, "" if stated else f"content-length: {len(response.body)}\r\n")
        self.send(head if bare or self.bodiless or not response.body else head + response.body)


def dated(host: Host) -> str:
    """The `Date` line."""
    now = int(host.clock.wall())
    if now != host.second:
        host.second, host.date = now, f"date: {formatdate(now, usegmt=True)}\r\n"
    return host.date


def plain(status: int) -> Response:
    """An answer without a dialect."""
    body = b'{"error":{"message":"' + HTTPStatus(status).phrase.encode() + b'"}}'
    return Response(body, status=status, headers={"content-type": "application/json"})


def large(work: Work) -> Failure:
    """That a body is larger than may be."""
    size = f"{work.most / 1_000_000:g} MB"
    return Failure("too_large", f"the body is larger than {size}", fix="send less, or raise server.max_body_mb")


class Wire(Protocol):
    """The connection that a streamed answer leaves by."""

    @property
    def waits(self) -> bool:
        """Whether the client reads too slowly."""

    def send(self, data: bytes) -> None:
        """Writes. Raises `ConnectionResetError` when the client is gone."""

    async def drain(self) -> None:
        """Waits until the client has caught up."""


class Sending:
    """One streamed answer.

    The head leaves with the first piece, unless the pieces are late. In a silence of `silence_s` seconds the pieces
    are asked for a keep-alive, which leaves between two of them; one timer an answer looks after that.

    Args:
        wire: where it goes.
        head: of the answer.
        pieces: its body.
        chunked: whether pieces are framed as chunks; else the body ends with the connection.
        silence_s: after how long a keep-alive leaves.
    """

    __slots__ = (
        "_chunked", "_head", "_loop", "_pieces", "_silence_s", "_since", "_stopped", "_timer", "_wire", "finished",
    )  # fmt: skip

    def __init__(self, wire: Wire, head: bytes, pieces: Pieces, chunked: bool, silence_s: float) -> None:
        self.finished = False
        """Whether the answer's proper end was written."""
        self._wire = wire
        self._head = head
        self._pieces = pieces
        self._chunked = chunked
        self._silence_s = silence_s
        self._since: float | None = None
        """Since when the next piece is waited for."""
        self._stopped: asyncio.Future[None] | None = None
        """Done when pieces are no longer written where they come."""
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(silence_s, self._look)

    async def run(self) -> None:
        """Writes the whole answer.

        Raises:
            Failure: the source broke; the answer has no proper end.
            ConnectionResetError: the client is gone.
        """
        wire, pieces, loop = self._wire, self._pieces, self._loop
        if pieces.late:
            self._write(b"")
        while not self.finished:
            self._since = loop.time()
            if listen(pieces, self._came):
                await self._listening()
            else:
                data = await pieces.read()
                self._write(data or b"", end=data is None or pieces.last)
            self._since = None
            if wire.waits:
                await wire.drain()

    async def _listening(self) -> None:
        """Waits while pieces are written where they come, in the callback of the network: until one has to be read, or
        the client reads too slowly."""
        stopped = self._stopped = self._loop.create_future()
        try:
            await stopped
        finally:
            listen(self._pieces, None)
            if stopped.done() and not stopped.cancelled():
                stopped.exception()  # whoever is cancelled at the same time does not ask for it

    def _came(self, data: bytes | None) -> None:
        """Writes a piece."""
        stopped = self._stopped
        if stopped is None or stopped.done():
            return
        if data is not None:
            try:
                self._write(data)
            except Exception as error:
                stopped.set_exception(error)
                return
            self._since = self._loop.time()  # bytes that say nothing to the client are no sign of life to it
            if not self._wire.waits:
                return
            listen(self._pieces, None)
        stopped.set_result(None)

    def cut(self, failure: Failure) -> None:
        """Ends the answer here, with words if its format has some: only then is its end a proper one."""
        data = self._pieces.cut(failure)
        self._write(data, end=bool(data))

    def close(self) -> None:
        """Stops looking at the clock and lets go of the source."""
        self._timer.cancel()
        self._pieces.close()

    def probe(self) -> bytes:
        """A byte that changes nothing: the first digit of the next chunk's size is zero."""
        return b"0" if self._chunked and not self._head and not self.finished else b""

    def _write(self, data: bytes, *, end: bool = False) -> None:
        if self._chunked:
            if data:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            if end:
                data += b"0\r\n\r\n"
        self.finished = end
        head = self._head
        if head:
            self._head, data = b"", head + data
        if data:
            self._wire.send(data)

    def _look(self) -> None:
        left, since = self._silence_s, self._since
        if since is not None:
            now = self._loop.time()
            left = since + self._silence_s - now
            if left <= 0.0:
                self._since, left = now, self._silence_s
                if not self._wire.waits:
                    try:
                        self._write(self._pieces.silence())
                    except ConnectionError:
                        return
        self._timer = self._loop.call_later(max(0.001, left), self._look)
