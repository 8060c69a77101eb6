"""The pooled HTTP client that all backends share.

A pool opens at most `limit` connections and queues callers beyond them in order, with a warning; the limit of a model
pool follows the concurrency limit that throughput finds (`pool.limit = n`). Connections are kept between calls, and
closed after `lifetime_s` so that DNS changes and rebalancing reach us. There are no redirects, cookies, proxies from
the environment or decompression: the bytes that come in are the bytes that go on.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any

from hapenny.backends.http1 import Broken, Connection, head
from hapenny.backends.opening import Opener, Opening
from hapenny.backends.proxy import Proxy
from hapenny.backends.url import Url
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.core.permit import PERMIT, look

MODEL_CONNECTIONS = 4096
CONTROL_CONNECTIONS = 16
"""Control-plane and store pools: ten to twenty connections are enough."""
WARN_EVERY_S = 60.0
IDLE_S = 60.0
"""How long a connection is kept unused."""

_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that do the same when they are done twice (RFC 9110 §9.2.2)."""

_STATED = re.compile(r"\btimeout=(\d{1,6})\b")
_Key = tuple[bool, str, int]
_log = get_logger("hapenny.backends")


class Pool:
    """One HTTP client. Made without a running loop; belongs to the loop of its first request.

    Args:
        clock: the deployment's clock.
        connections: the most connections at once; None is `MODEL_CONNECTIONS`.
        connect_s: seconds to open a connection.
        idle_s: the most seconds between two pieces of a stream; a call's own limit may be shorter.
        lifetime_s: seconds after which a connection is not used again, 60 to 300.
        name: for the log.
        trust: certificates to trust; None are the system's.
        answer_bytes: the longest answer that is read.
        proxy: a forward proxy that all connections go through.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        connections: int | None = None,
        connect_s: float = 5.0,
        idle_s: float = 60.0,
        lifetime_s: float = 180.0,
        name: str = "models",
        trust: ssl.SSLContext | None = None,
        answer_bytes: int = 32_000_000,
        proxy: Proxy | None = None,
    ) -> None:
        self._proxy = proxy
        self.answer_bytes = answer_bytes
        self.name = name
        self.idle_s = idle_s
        self.busy = 0
        """Connections in use now."""
        self.queued = 0
        """How often a caller had to wait for a connection."""
        self._clock = clock
        self._limit = connections or MODEL_CONNECTIONS
        self._connect_s = connect_s
        self._lifetime_s = lifetime_s
        self._trust = trust
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._warned = float("-inf")
        self._idle: dict[_Key, deque[tuple[Connection, float]]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._using: set[Connection] = set()
        self._closed = False
        self._opener = Opener(clock)
        self.reused = 0
        """Requests that went out on a kept connection."""

    @classmethod
    def control(cls, clock: Clock, **rest: Any) -> Pool:
        """A small pool for control planes, credentials and stores."""
        return cls(clock, connections=CONTROL_CONNECTIONS, name="control", **rest)

    @property
    def limit(self) -> int:
        """The most connections at once. Setting it wakes callers that now fit."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = max(1, limit)
        self._wake()

    def health(self) -> dict[str, float | int | str]:
        """How its connections fare: seconds are means of an opening."""
        opened, spent = self._opener.count, self._opener.spent
        return {
            "limit": self._limit, "busy": self.busy, "idle": sum(map(len, self._idle.values())), "opened": opened,
            "reused": self.reused, "queued": self.queued, "name_s": spent.name / opened if opened else 0.0,
            "connect_s": spent.connect / opened if opened else 0.0, "tls_s": spent.tls / opened if opened else 0.0,
            "connect_limit_s": self._connect_s, "idle_limit_s": self.idle_s, "lifetime_s": self._lifetime_s,
        }  # fmt: skip

    async def send(self, method: str, url: Url, headers: Mapping[str, str], body: bytes) -> Lease:
        """Sends a request; returns when the answer's headers are there.

        A request goes out once. On a kept connection that ends without a byte of an answer the provider may have
        worked on it, or never have seen it; only what does no harm twice (RFC 9110 §9.2.2, or a request with an
        idempotency key) is sent again, on a fresh connection. Everything else is a failure, which whoever keeps the
        books may try again as a call of its own.

        Raises:
            Failure: `unavailable` when no connection opens, `upstream` when it breaks.
        """
        if self._closed:
            raise Failure("unavailable", "the gateway is shutting down")
        place, target = url
        key, host = (place.secure, place.host, place.port), place.authority
        if self.busy >= self._limit or self._waiting:
            await self._queue()
        else:
            self.busy += 1
        try:
            length = len(body) if body or method in ("POST", "PUT", "PATCH") else None
            if self._proxy is not None and not place.secure:
                target = self._proxy.prefix(host) + target
                if self._proxy.authorization:
                    headers = {**headers, "proxy-authorization": self._proxy.authorization}
            request = head(method, target, host, headers, length)
            connection = self._kept(key)
            if connection is not None:
                try:
                    await self._begin(connection, request, body, method)
                    self.reused += 1
                    return Lease(self, connection, key)
                except Broken:
                    again = method in _HARMLESS or "idempotency-key" in headers
                    if connection.answered or self._closed or not again:
                        raise
            connection = await self._connect(key)
            await self._begin(connection, request, body, method)
        except BaseException as error:
            self.free()
            if isinstance(error, Broken):
                raise broken(error, key[1]) from None
            if isinstance(error, (ValueError, UnicodeError)):
                raise Failure("invalid_request", f"a header cannot be sent: {error}") from None
            raise
        return Lease(self, connection, key)

    async def _begin(self, connection: Connection, request: bytes, body: bytes, method: str) -> None:
        self._using.add(connection)
        try:
            if PERMIT.get() is not None:
                look()
            connection.start(request, body, without_body=method == "HEAD")
            await connection.begun()
        except BaseException:
            connection.fail(Broken("given up"))
            self._using.discard(connection)
            raise

    async def aclose(self) -> None:
        """Closes all connections; whoever waits for one is refused."""
        self._closed = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(Failure("unavailable", "the gateway is shutting down"))
        for connection in list(self._using):
            connection.fail(Failure("unavailable", "the gateway is shutting down"))
        for kept in self._idle.values():
            for connection, _ in kept:
                connection.close()
        self._idle.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        await asyncio.sleep(0)  # lets the loop close the sockets

    def _kept(self, key: _Key) -> Connection | None:
        kept = self._idle.get(key)
        now = self._clock.now()
        while kept:
            connection, since = kept.pop()  # the one used last: the others may grow old and go
            if connection.open and now < connection.until and now - since < IDLE_S:
                return connection
            connection.close()
        return None

    async def _connect(self, key: _Key) -> Connection:
        secure, host, port = key
        context = self._context() if secure else None
        try:
            async with asyncio.timeout(self._connect_s):
                if self._proxy is not None:
                    began = self._clock.now()
                    connection = await self._proxy.connect(host, port, context)
                    self._opener.note(Opening(0.0, self._clock.now() - began, 0.0))
                else:
                    connection = await self._opener.open(host, port, context)
        except TimeoutError:
            raise Failure(
                "unavailable", f"no connection to {host} in {self._connect_s:g} s", upstream_type="ConnectTimeout"
            ) from None
        except ssl.SSLError as error:
            raise Failure("unavailable", f"no secure connection to {host}: {error.reason}") from None
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise Failure("unavailable", f"no connection to {host}: {why}", upstream_type="ConnectError") from None
        # Spread over a fifth of the lifetime, so that connections opened together do not all end together.
        connection.until = self._clock.now() + self._lifetime_s * (1 - 0.2 * self._clock.random.random())
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._trust is None:
            self._trust = ssl.create_default_context()
            self._trust.set_alpn_protocols(["http/1.1"])
        return self._trust

    def take_back(self, connection: Connection, key: _Key) -> None:
        """Keeps a connection for the next request, if it may be used again."""
        self._using.discard(connection)
        if self._closed or not connection.reusable or not connection.open or self._clock.now() >= connection.until:
            connection.close()
            return
        now = self._clock.now()
        kept = _STATED.search(connection.headers.get("keep-alive", ""))
        if kept is not None:  # a second before the other side: a request sent just then is lost
            connection.until = min(connection.until, now + int(kept[1]) - 1)
        self._idle.setdefault(key, deque()).append((connection, now))
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_S / 2, self._sweep)

    def _sweep(self) -> None:
        now = self._clock.now()
        for key, kept in list(self._idle.items()):
            while kept and (now - kept[0][1] >= IDLE_S or not kept[0][0].open):
                kept.popleft()[0].close()
            if not kept:
                del self._idle[key]
        self._sweeper = asyncio.get_running_loop().call_later(IDLE_S / 2, self._sweep) if self._idle else None

    async def _queue(self) -> None:
        self.queued += 1
        now = self._clock.now()
        if now - self._warned >= WARN_EVERY_S:
            self._warned = now
            _log.warning("calls wait for a connection", name=self.name, limit=self._limit, count=len(self._waiting) + 1)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._wake()
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.free()  # the turn came and nobody takes it
            raise

    def free(self) -> None:
        """A connection is no longer in use: who waits is next."""
        self.busy -= 1
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        while self._waiting and self.busy < self._limit:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self.busy += 1
                waiter.set_result(None)


class Lease:
    """An answer whose headers are there, and the connection it comes by. Read to the end or close it."""

    __slots__ = ("_key", "_pool", "connection", "headers", "status")

    def __init__(self, pool: Pool, connection: Connection, key: _Key) -> None:
        self._pool: Pool | None = pool
        self.connection = connection
        self._key = key
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers
        """By lower-case names."""

    async def piece(self) -> bytes:
        """What has arrived, at least one byte; b"" at the end. Raises `Failure` when the connection breaks."""
        if self._pool is None:
            return b""
        try:
            data = await self.connection.piece()
        except Broken as error:
            raise self.lost(error) from None
        if not data:
            self.done()
        return data

    def lost(self, error: Broken) -> Failure:
        """Closes, because the connection broke; what to say of it."""
        self.close()
        return broken(error, self._key[1])

    async def whole(self, most: int | None = None) -> bytes:
        """The whole body; `Failure` above `most` bytes, or above what the pool allows."""
        if most is None:
            most = self._pool.answer_bytes if self._pool is not None else 0
        announced = self.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > most:
            self.close()
            raise long(most)
        if self._pool is not None and self.connection.whole and self.connection.held <= most:
            data = self.connection.take()  # it has all come already: nothing to wait for
            self.done()
            return data
        pieces, size = [], 0
        while data := await self.piece():
            pieces.append(data)
            size += len(data)
            if size > most:
                self.close()
                raise long(most)
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]

    async def beginning(self, most: int) -> bytes:
        """The body, or its first `most` bytes: for what only has to be said."""
        pieces, size = [], 0
        while size < most and (data := await self.piece()):
            pieces.append(data)
            size += len(data)
        self.close()
        return b"".join(pieces)[:most]

    def fail(self, error: BaseException) -> None:
        """Ends a pending `piece` with `error`, and the connection."""
        if self._pool is not None:
            self.connection.fail(error)
            self.done()

    def close(self) -> None:
        """Ends the answer at once; a connection with unread bytes is closed. Idempotent."""
        self.fail(Broken("closed"))

    def done(self) -> None:
        """The answer was read to its end: the connection goes back."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.take_back(self.connection, self._key)
            pool.free()


def long(most: int) -> Failure:
    """An answer beyond the bound: the provider would give it again."""
    return Failure(
        "upstream", f"the provider's answer is longer than {most / 1_000_000:g} MB", fix="raise max_answer_mb",
        retryable=False,
    )  # fmt: skip


def broken(error: BaseException, host: str) -> Failure:
    """A lost connection in our words."""
    return Failure("upstream", f"the connection to {host} broke: {error}", upstream_type="ConnectionError")
