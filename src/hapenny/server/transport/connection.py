"""A small HTTP/1.1 server (RFC 9110, 9112): one task a request, cancelled when its client leaves.

It knows what the gateway needs and nothing else: a reader's back pressure, limits on size and time. A whole answer is
one write. Anything ambiguous in a request is refused and ends its connection.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

from hapenny.core.clock import Clock
from hapenny.core.log import get_logger
from hapenny.protocols import http1
from hapenny.server.transport.messages import BaseRequest, Headers, Response, StreamResponse

KEEP_S = 75.0
"""How long an unused connection is kept."""
ARRIVE_S = 60.0
"""The longest pause within a request that arrives."""
LINGER_S = 5.0
"""How long a refused client may go on sending before the connection ends under it."""
PIPELINE_BYTES = 1 << 16

_log = get_logger("hapenny.server")
_REASONS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}


Handler = Callable[[BaseRequest], Awaitable[StreamResponse]]


class Server:
    """Listens, and hands requests to `handler`.

    Args:
        handler: answers a request, or fills a stream and returns it.
        clock: dates answers.
        limit: the largest body in bytes.
        stalled_s: how long a client may take nothing of what is written for it.
    """

    def __init__(self, handler: Handler, clock: Clock, limit: int, stalled_s: float = 60.0) -> None:
        self.handler = handler
        self.limit = limit
        self.stalled_s = stalled_s
        self.connections: set[Connection] = set()
        self._clock = clock
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._second = -1
        self._date = ""

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listens; returns the port."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self, loop), host, port, backlog=4096, ssl=tls)
        self._sweeper = loop.call_later(LINGER_S, self._sweep)
        return int(self._listener.sockets[0].getsockname()[1])

    def refuse(self) -> None:
        """Takes no further connections, and closes those that wait for a request."""
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.retire()

    async def close(self) -> None:
        """Ends all connections and what runs on them."""
        self.refuse()
        if self._sweeper is not None:
            self._sweeper.cancel()
        tasks = [connection.task for connection in self.connections if connection.task is not None]
        for connection in list(self.connections):
            connection.abort()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def date(self) -> str:
        """The `Date` line, made once a second."""
        now = int(self._clock.wall())
        if now != self._second:
            self._second, self._date = now, f"date: {formatdate(now, usegmt=True)}\r\n"
        return self._date

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self.connections):
            since = connection.idle_since
            if since is not None and not connection.moved(now) and now - since > connection.patience:
                connection.abort()
        self._sweeper = loop.call_later(LINGER_S, self._sweep)


class Connection(http1.Parser, asyncio.Protocol):
    """One client connection: requests one after the other, pipelined ones wait."""

    __slots__ = (
        "_drained",
        "_loop",
        "_over",
        "_request",
        "_rest",
        "_server",
        "_unsent",
        "bodiless",
        "idle_since",
        "keep",
        "modern",
        "patience",
        "task",
        "transport",
        "waits",
    )

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.state = http1.HEAD
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None
        self.keep = True
        """Whether another request may follow the one that is answered."""
        self.modern = True
        """Whether the client speaks HTTP/1.1 and not 1.0."""
        self.bodiless = False
        """Whether answers have no body (HEAD)."""
        self.waits = False
        """Whether the client reads too slowly."""
        self.idle_since: float | None = None
        """Since when nothing arrives although something should; None while a request is answered."""
        self.patience = KEEP_S
        self._server = server
        self._loop = loop
        self._over = False
        """Whether what still comes is thrown away."""
        self._request: BaseRequest | None = None
        self._rest = b""
        self._drained: asyncio.Future[None] | None = None
        self._unsent = 0

    # -- what answers use ------------------------------------------------------------------------------------------

    def opening(self, status: int, headers: Mapping[str, str], more: str) -> bytes:
        """The head of an answer."""
        if "date" not in headers and "Date" not in headers:
            more += self._server.date()
        if not self.keep:
            more += "connection: close\r\n"
        elif not self.modern:
            more += "connection: keep-alive\r\n"
        return http1.written(_REASONS.get(status) or f"HTTP/1.1 {status} ", headers, more)

    def send(self, data: bytes) -> None:
        """Writes; raises `ConnectionResetError` when the client is gone."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        transport.write(data)

    async def drain(self) -> None:
        """Waits until the client has caught up; one that takes nothing at all for too long is let go."""
        if self.waits:
            self.idle_since, self.patience = self._loop.time(), self._server.stalled_s
        while self.waits:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)
        self.idle_since = None
        if self.transport is None:
            raise ConnectionResetError("the client is gone")

    def moved(self, now: float) -> bool:
        """Whether a slow client has taken something since it was last looked at."""
        if not self.waits or self.transport is None:
            return False
        before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        if before != self._unsent:
            self.idle_since = now
        return before != self._unsent

    def abort(self) -> None:
        """Ends the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def retire(self) -> None:
        """Ends the connection when nothing is under way on it, else after the answer."""
        self.keep = False
        if self.task is None and self.transport is not None:
            self.transport.close()

    # -- what the loop does ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self.transport = cast(asyncio.Transport, transport)
        self.idle_since = self._loop.time()
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left: so does its request."""
        self.transport = None
        self._server.connections.discard(self)
        self.resume_writing()
        if self.task is not None:
            self.task.cancel()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self.waits = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.waits = False
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._over:
            return
        if self.task is not None:  # pipelined behind the request that is being answered
            self._rest += data
            if len(self._rest) > PIPELINE_BYTES and self.transport is not None:
                self.transport.pause_reading()
            return
        self.idle_since = self._loop.time()
        self.patience = ARRIVE_S
        try:
            rest = self.feed(data)
        except (ValueError, IndexError):
            self._refuse(400)
            return
        request = self._request
        if request is None:
            return
        if self.held > self._server.limit:
            request._large = True
            self.out.clear()
        elif self.state != http1.DONE:
            return
        self._rest = rest
        self._answer(request)

    # -- requests --------------------------------------------------------------------------------------------------

    def head(self, text: str) -> None:
        """Reads a request's head."""
        lines = text.split("\r\n")
        while lines and not lines[0]:
            lines.pop(0)  # RFC 9112 §2.2: blank lines before a request
        first = lines[0].split(" ") if lines else []
        if len(first) != 3 or first[2] not in ("HTTP/1.1", "HTTP/1.0") or not first[0].isalpha() or not first[1]:
            raise ValueError("no request line")
        headers = Headers(http1.fields(lines[1:]))
        if "\n" in text.replace("\r\n", "") or "\0" in text:
            raise ValueError("a bare line break")
        self.modern = first[2] == "HTTP/1.1"
        if self.modern and "host" not in headers:
            raise ValueError("no host")
        connection = dict.get(headers, "connection", "").lower()
        self.keep = self.keep and ("close" not in connection if self.modern else "keep-alive" in connection)
        self.bodiless = first[0] == "HEAD"
        target = first[1]
        if not target.startswith("/"):
            target = "/" + target.partition("://")[2].partition("/")[2] if "://" in target else target
        request = self._request = BaseRequest(self, first[0], target, headers)
        coding, length = dict.get(headers, "transfer-encoding"), dict.get(headers, "content-length")
        if coding is not None:
            if length is not None:
                raise ValueError("two lengths")
            self.chunks(coding)
        elif length is not None:
            self.length(length)
            if self._left > self._server.limit:
                request._large = True
                self.held = self._server.limit + 1
                return
        else:
            self.no_body()
        if self.state != http1.DONE and dict.get(headers, "expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _answer(self, request: BaseRequest) -> None:
        if request._large:
            self.keep, self._over = False, True
        elif self.out:
            request._body = self.take()
        self._request = None
        self.idle_since = None
        task = self.task = self._loop.create_task(self._run(request))
        if task.done():  # an eager task factory
            self.task = None

    async def _run(self, request: BaseRequest) -> None:
        try:
            response = await self._server.handler(request)
            if not response.prepared:
                body = response.body if isinstance(response, Response) else b""
                empty = response.status in (204, 304)
                stated = empty or "content-length" in response.headers or "Content-Length" in response.headers
                more = "" if stated else f"content-length: {len(body)}\r\n"
                head = self.opening(response.status, response.headers, more)
                self.send(head if self.bodiless or empty else head + body)
                if self.waits:
                    await self.drain()
        except asyncio.CancelledError:
            if self.transport is not None:
                self.transport.abort()
            raise
        except ConnectionError:
            if self.transport is not None:
                self.transport.abort()
            return
        except Exception as error:
            _log.error("unexpected", error=type(error).__name__)
            self._refuse(500)
            return
        finally:
            self.task = None
        self._next(request)

    def _next(self, request: BaseRequest) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self.idle_since = self._loop.time()
        if request._large:
            self._linger()
        elif not self.keep:
            transport.close()
        else:
            self.state, self.patience = http1.HEAD, KEEP_S
            rest, self._rest = self._rest, b""
            if rest:
                if len(rest) > PIPELINE_BYTES:
                    transport.resume_reading()
                self.data_received(rest)

    def _refuse(self, status: int) -> None:
        """Answers what could not be read, or what broke, and ends the connection."""
        self.keep = False
        self._request = None
        try:
            body = b'{"error":{"message":"' + HTTPStatus(status).phrase.encode() + b'"}}'
            more = f"content-length: {len(body)}\r\ncontent-type: application/json\r\n"
            self.send(self.opening(status, {}, more) + body)
        except ConnectionError:
            return
        self._linger()

    def _linger(self) -> None:
        """Says that nothing more comes, and lets the client finish: else it might never read the refusal."""
        self._over, self.patience, self.idle_since = True, LINGER_S, self._loop.time()
        transport = self.transport
        if transport is None:
            return
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()
