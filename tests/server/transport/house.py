"""The server on a port, with a service of the test's own behind it; and a client that says bytes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.server.transport.limits import Limits
from hapenny.server.transport.listener import Server
from hapenny.server.transport.messages import Request, Response

Answer = Callable[[Request, bytes], Awaitable[Response]]


class Work:
    """A request that was let in."""

    def __init__(self, service: Service, request: Request) -> None:
        self.most = service.most
        self._service = service
        self._request = request

    async def answer(self, body: bytes) -> Response:
        self._service.under_way += 1
        return await self._service.answers(self._request, body)

    def refuse(self, failure: Failure) -> Response:
        return Response(failure.message.encode(), status=failure.status)

    def done(self) -> None:
        self._service.under_way -= 1


class Service:
    """Lets everybody in but those without the right `x-key`, where one is wanted."""

    def __init__(self, answers: Answer, most: int = 1_000, key: str = "") -> None:
        self.answers = answers
        self.most = most
        self.key = key
        self.heads: list[str] = []
        self.under_way = 0

    def accept(self, request: Request) -> Work | Response:
        self.heads.append(f"{request.method} {request.target.raw}")
        if self.key and request.headers.get("x-key") != self.key:
            return Response(b"no", status=401)
        return Work(self, request)


async def echo(request: Request, body: bytes) -> Response:
    shown = f"{request.method} {request.target.raw} ".encode() + body
    return Response(shown, headers={"content-type": "text/plain", "x-a": request.headers.get("X-A", "")})


@asynccontextmanager
async def serving(answers: Answer = echo, *, most: int = 1_000, key: str = "", **limits: Any) -> AsyncIterator[Any]:
    """(server, port, service)."""
    service = Service(answers, most, key)
    server = Server(service, RealClock(), Limits(**limits))
    port = await server.start("127.0.0.1", 0)
    try:
        yield server, port, service
    finally:
        await server.close()


class Client:
    """A connection, and everything that came on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.came = bytearray()

    @classmethod
    async def to(cls, port: int, *, small: bool = False) -> Client:
        if not small:
            return cls(*await asyncio.open_connection("127.0.0.1", port))
        plug = socket.socket()
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        plug.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plug, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=plug, limit=4_096))

    def say(self, *parts: bytes) -> Client:
        for part in parts:
            self.writer.write(part)
        return self

    async def until(self, mark: bytes, times: int = 1) -> bytes:
        """Everything that came, once `mark` came that often."""
        seen, at = self.came.count(mark), max(0, len(self.came) - len(mark) + 1)
        async with asyncio.timeout(10):
            while seen < times:
                data = await self.reader.read(65_536)
                assert data, f"the connection ended without {mark!r}: {self.came[-300:]!r}"
                self.came += data
                seen += self.came.count(mark, at)
                at = max(0, len(self.came) - len(mark) + 1)
        return bytes(self.came)

    async def end(self) -> bytes:
        """Everything that came until the server closed."""
        async with asyncio.timeout(10):
            try:
                while data := await self.reader.read(65_536):
                    self.came += data
            except ConnectionError:
                pass
        self.writer.close()
        return bytes(self.came)

    def leave(self) -> None:
        self.writer.transport.abort()


async def ask(port: int, *parts: bytes) -> bytes:
    """All that comes for `parts` until the server closes, which it is asked to do."""
    return await (await Client.to(port)).say(*parts).end()


def get(path: str = "/p", *more: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in more)
    return f"GET {path} HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode()


def post(body: bytes, *more: str, path: str = "/p") -> bytes:
    lines = "".join(f"{line}\r\n" for line in more)
    return f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


CLOSE = "Connection: close"
