"""The pooled HTTP client that all backends share: aiohttp, tuned for many calls to few hosts.

A pool opens at most `limit` connections and queues callers beyond them in order, with a warning; the limit of a model
pool follows the concurrency limit that throughput finds (`pool.limit = n`). Connections are kept between calls, and
closed after `lifetime_s` so that DNS changes and rebalancing reach us. Redirects, cookies, proxies from the
environment and decompression are off: the bytes that come in are the bytes that go on.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import aiohttp
import structlog
from yarl import URL

from hapenny.core.clock import Clock
from hapenny.core.errors import Failure

MODEL_CONNECTIONS = 1000
CONTROL_CONNECTIONS = 16
"""Control-plane and store pools: ten to twenty connections are enough."""
WARN_EVERY_S = 60.0

_log = structlog.get_logger("hapenny.backends")


class Pool:
    """One HTTP client. Made without a running loop, opened by its first request.

    Args:
        clock: the deployment's clock.
        connections: the most connections at once; None is `MODEL_CONNECTIONS`.
        connect_s: seconds to open a connection.
        idle_s: seconds between two pieces of an answer, where a call has no limit of its own.
        lifetime_s: seconds after which a connection is not used again, 60 to 300.
        name: for the log.
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
    ) -> None:
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
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._warned = float("-inf")
        self._session: aiohttp.ClientSession | None = None

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

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Lease:
        """Sends a request; returns when the answer's headers are there.

        Raises:
            Failure: `unavailable` when no connection opens, `upstream` when it breaks.
        """
        if self.busy >= self._limit or self._waiting:
            await self._queue()
        else:
            self.busy += 1
        try:
            session = self._session or self._open()
            response = await session.request(
                method, _url(url), data=body or None, headers=headers, allow_redirects=False
            )
        except aiohttp.ClientConnectionError as error:
            self._free()
            raise _lost(error, _url(url).host or "") from None
        except TimeoutError:
            self._free()
            raise Failure("unavailable", f"no connection to {_url(url).host} in time") from None
        except (aiohttp.ClientError, ValueError) as error:
            self._free()
            raise Failure("upstream", f"{_url(url).host} sent no valid answer: {type(error).__name__}") from None
        except BaseException:
            self._free()
            raise
        return Lease(self, response)

    async def aclose(self) -> None:
        """Closes all connections; whoever waits for one is refused."""
        session, self._session = self._session, None
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(Failure("unavailable", "the gateway is shutting down"))
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=_Connector(self._clock, self._lifetime_s),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s, ceil_threshold=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
            headers={"User-Agent": "hapenny", "Accept-Encoding": "identity"},
        )
        return self._session

    async def _queue(self) -> None:
        self.queued += 1
        now = self._clock.now()
        if now - self._warned >= WARN_EVERY_S:
            self._warned = now
            _log.warning(
                "calls wait for a connection", pool=self.name, limit=self._limit, waiting=len(self._waiting) + 1
            )
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._wake()
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._free()  # the turn came and nobody takes it
            raise

    def _free(self) -> None:
        self.busy -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self.busy < self._limit:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self.busy += 1
                waiter.set_result(None)


class Lease:
    """An answer whose headers are there, and the connection it comes by. Read to the end or close it."""

    __slots__ = ("_pool", "headers", "response", "status")

    def __init__(self, pool: Pool, response: aiohttp.ClientResponse) -> None:
        self._pool: Pool | None = pool
        self.response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        """Looked up without regard to case."""

    async def piece(self) -> bytes:
        """What has arrived, at least one byte; b"" at the end. Raises `Failure` when the connection breaks."""
        try:
            data = await self.response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            self.close()
            raise _lost(error, self.response.url.host or "") from None
        if not data:
            self._done()
        return data

    async def whole(self, most: int = 1 << 30) -> bytes:
        """The whole body; `Failure` above `most` bytes."""
        pieces, size = [], 0
        while data := await self.piece():
            pieces.append(data)
            size += len(data)
            if size > most:
                self.close()
                raise Failure("upstream", f"the provider's answer is longer than {most} bytes")
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]

    def fail(self, error: BaseException) -> None:
        """Ends a pending `piece` with `error`, and the connection."""
        self.response.content.set_exception(error)
        self.close()

    def close(self) -> None:
        """Ends the answer at once; a connection with unread bytes is closed. Idempotent."""
        if self._pool is not None:
            self.response.close()
            self._done()

    def _done(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool._free()


class _Connector(aiohttp.TCPConnector):
    """Closes a connection that is given back after its lifetime."""

    def __init__(self, clock: Clock, lifetime_s: float) -> None:
        super().__init__(limit=0, keepalive_timeout=min(60.0, lifetime_s), ttl_dns_cache=60)
        self._hapenny_clock = clock
        self._hapenny_lifetime = lifetime_s
        self._hapenny_until: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()

    async def _create_connection(self, *args: Any, **kwargs: Any) -> Any:
        protocol = await super()._create_connection(*args, **kwargs)
        clock = self._hapenny_clock
        # Spread over a fifth of the lifetime, so that connections opened together do not all end together.
        lifetime = self._hapenny_lifetime * (1 - 0.2 * clock.random.random())
        self._hapenny_until[protocol] = clock.now() + lifetime
        return protocol

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        if self._hapenny_clock.now() >= self._hapenny_until.get(protocol, float("inf")):
            should_close = True
        super()._release(key, protocol, should_close=should_close)


@lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    return URL(text, encoded=True)


def _lost(error: BaseException, host: str) -> Failure:
    if isinstance(error, aiohttp.ClientConnectorError):
        why = "connection refused or host not found"
        return Failure("unavailable", f"no connection to {host}: {why}", upstream_type="ConnectError")
    if isinstance(error, TimeoutError):
        return Failure("unavailable", f"no connection to {host} in time", upstream_type="ConnectTimeout")
    return Failure("upstream", f"the connection to {host} broke", upstream_type="ConnectionError")
