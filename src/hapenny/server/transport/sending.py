"""A streamed answer on its way: framing, back pressure, keep-alives, a proper end or none."""

from __future__ import annotations

import asyncio
from typing import Protocol

from hapenny.core.errors import Failure
from hapenny.server.transport.messages import Pieces


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

    __slots__ = ("_chunked", "_head", "_loop", "_pieces", "_silence_s", "_since", "_timer", "_wire", "finished")

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
            data = await pieces.read()
            self._since = None
            if data and not self._head and self._chunked and not pieces.last:
                wire.send(b"%x\r\n%b\r\n" % (len(data), data))
            elif data is None:
                self._write(b"", end=True)
            else:
                self._write(data, end=pieces.last)
            if wire.waits:
                await wire.drain()

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
