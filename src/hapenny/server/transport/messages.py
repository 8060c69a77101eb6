"""Requests and answers of the near bank: a whole body before the handler runs, whole or chunked answers after."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, overload
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from hapenny.server.transport.connection import Connection


class HTTPRequestEntityTooLarge(Exception):
    """The request's body is larger than the server takes."""


class Headers(dict[str, str]):
    """Header fields by lower-case names, looked up without regard to case."""

    __slots__ = ()

    @overload  # type: ignore[override]
    def get(self, name: str, default: None = None, /) -> str | None: ...

    @overload
    def get(self, name: str, default: str, /) -> str: ...

    def get(self, name: str, default: str | None = None, /) -> str | None:
        """The field `name`, or `default`."""
        return dict.get(self, name.lower(), default)

    def __getitem__(self, name: str) -> str:
        return dict.__getitem__(self, name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and dict.__contains__(self, name.lower())


class BaseRequest:
    """A request whose body is there. `raw_path` is the target as it was sent."""

    __slots__ = ("_body", "_connection", "_large", "headers", "method", "raw_path")

    def __init__(self, connection: Connection, method: str, raw_path: str, headers: Headers) -> None:
        self.method = method
        self.raw_path = raw_path
        self.headers = headers
        self._connection = connection
        self._body = b""
        self._large = False

    async def read(self) -> bytes:
        """The body. Raises `HTTPRequestEntityTooLarge`."""
        if self._large:
            raise HTTPRequestEntityTooLarge
        return self._body

    @property
    def query(self) -> dict[str, str]:
        """The target's query, the last value of each name; blank values are left out."""
        return dict(parse_qsl(self.raw_path.partition("?")[2]))

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection; None once it is gone."""
        return self._connection.transport


class StreamResponse:
    """An answer in pieces: `prepare`, `write` …, `write_eof`."""

    __slots__ = ("_chunked", "_connection", "_pending", "_sent", "content_length", "headers", "status")

    def __init__(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers if headers is not None else {}
        self.content_length: int | None = None
        """Set before `prepare` where it is known; otherwise the answer comes in chunks."""
        self._connection: Connection | None = None
        self._pending = b""
        self._chunked = False
        self._sent = 0

    @property
    def prepared(self) -> bool:
        """Whether the head is fixed."""
        return self._connection is not None

    async def prepare(self, request: BaseRequest) -> None:
        """Fixes the head; it leaves with the first piece."""
        connection = self._connection = request._connection
        if self.content_length is not None:
            more = f"content-length: {self.content_length}\r\n"
        elif connection.modern:
            self._chunked, more = True, "transfer-encoding: chunked\r\n"
        else:
            connection.keep, more = False, ""
        self._pending = connection.opening(self.status, self.headers, more)

    async def write(self, data: bytes) -> None:
        """Sends a piece; waits while the client reads too slowly. Raises `ConnectionResetError` when it is gone."""
        connection = self._connection
        assert connection is not None, "prepare comes first"
        if not data:
            return
        self._sent += len(data)
        if connection.bodiless:
            data = b""
        elif self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        head, self._pending = self._pending, b""
        connection.send(head + data if head else data)
        if connection.waits:
            await connection.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Ends the answer, with a last piece in the same write."""
        connection = self._connection
        assert connection is not None, "prepare comes first"
        last = self._pending
        self._pending = b""
        self._sent += len(data)
        if not connection.bodiless:
            if data:
                last += b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
            if self._chunked:
                last += b"0\r\n\r\n"
        if self.content_length is not None and self._sent != self.content_length:
            connection.keep = False
        if last:
            connection.send(last)


class Response(StreamResponse):
    """A whole answer."""

    __slots__ = ("body",)

    def __init__(self, *, body: bytes = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, headers)
        self.body = body
