"""The side of a connection that writes: heads, whole answers, back pressure."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Protocol

from hapenny.core.errors import Failure
from hapenny.protocols.http1.fields import written
from hapenny.protocols.http1.request import RequestParser
from hapenny.server.transport.limits import Limits
from hapenny.server.transport.messages import Response, Work

HIGH_WATER = 1 << 18
"""Bytes a slow reader may lag behind before whoever writes for it has to wait."""

_REASONS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}


class Host(Protocol):
    """The server as whoever writes sees it."""

    limits: Limits

    def date(self) -> str:
        """The `Date` line."""


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
            more += self._host.date()
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


def plain(status: int) -> Response:
    """An answer without a dialect."""
    body = b'{"error":{"message":"' + HTTPStatus(status).phrase.encode() + b'"}}'
    return Response(body, status=status, headers={"content-type": "application/json"})


def large(work: Work) -> Failure:
    """That a body is larger than may be."""
    size = f"{work.most / 1_000_000:g} MB"
    return Failure("too_large", f"the body is larger than {size}", fix="send less, or raise server.max_body_mb")
