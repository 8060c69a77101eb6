"""The listening server: takes connections within its bounds, ends those that are late, drains."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.server.transport.connection import Connection
from hapenny.server.transport.held import Held
from hapenny.server.transport.limits import Limits, Usage
from hapenny.server.transport.messages import Service

SPARED_S = 5.0
"""How long a connection may wait before it has to make room for another one."""
SAID_EVERY_S = 60.0
"""How often the log says that connections are refused."""
LEAVE_S = 1.0
"""How long a client has to take what is written when the server ends."""

_log = get_logger("hapenny.server")


class Server:
    """Listens, and hands requests to `service`.

    At its bound of connections the one that has waited longest for a request (or with half a head) makes room for
    the newcomer; where there is none, the newcomer is told 503.

    Args:
        service: judges and answers requests.
        clock: dates answers.
        limits: what is allowed.
    """

    def __init__(self, service: Service, clock: Clock, limits: Limits) -> None:
        self.service = service
        self.limits = limits
        self.usage = Usage(limits)
        self.connections: set[Held] = set()
        self.waiting: dict[Held, float] = {}
        """Connections without a whole head, and since when: the longest first."""
        self.draining = False
        self.clock = clock
        self.second, self.date = -1, ""
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._refused = 0
        self._said = float("-inf")

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None, *, together: bool = False) -> int:
        """Listens, `together` with other processes where they all say so; returns the port. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Connection(self, loop), host, port, backlog=4096, ssl=tls, reuse_port=together or None
        )
        self._sweeper = loop.call_later(self.limits.linger_s, self._sweep)
        return int(self._listener.sockets[0].getsockname()[1])

    def refuse(self) -> None:
        """Takes no further connections, and closes those that wait for a request."""
        self.draining = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.retire()

    async def close(self, failure: Failure | None = None) -> None:
        """Ends all connections and what runs on them. With a `failure`, clients are told it first."""
        self.refuse()
        if self._sweeper is not None:
            self._sweeper.cancel()
        tasks = [task for connection in self.connections for task in connection.tasks]
        if failure is not None:
            for connection in list(self.connections):
                connection.end(failure)
            if tasks:
                await asyncio.wait(tasks, timeout=LEAVE_S)
            if self.connections:  # the last bytes are on their way
                await self._gone(LEAVE_S)
        for connection in list(self.connections):
            connection.abort()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    # -- what connections say --------------------------------------------------------------------------------------

    def enter(self, connection: Held) -> bool:
        """A connection came; False: there is no room for it."""
        usage = self.usage
        room = not usage.full(connection.peer) or self._spare(connection.peer)
        usage.enter(connection.peer)
        self.connections.add(connection)
        if not room:
            self._refused += 1
            self._say()
        return room

    def leave(self, connection: Held) -> None:
        """It went."""
        if connection in self.connections:
            self.connections.remove(connection)
            self.waiting.pop(connection, None)
            self.usage.leave(connection.peer)
            if not self.connections:
                self._empty.set()

    def replace(self, connection: Held, by: Held) -> None:
        """It goes on in another protocol."""
        self.connections.discard(connection)
        self.waiting.pop(connection, None)
        self.connections.add(by)

    def _spare(self, address: str) -> bool:
        """Ends a connection that only waits, so that another one has room."""
        now = asyncio.get_running_loop().time()
        crowded = self.usage.addresses[address] >= self.limits.per_address
        for connection, since in list(self.waiting.items())[:64]:
            if now - since < SPARED_S:
                return False
            if not crowded or connection.peer == address:
                connection.abort()
                self.leave(connection)
                return True
        return False

    def _say(self) -> None:
        now = self.clock.now()
        if now - self._said >= SAID_EVERY_S:
            self._said = now
            _log.warning(
                "connections are refused",
                count=self._refused,
                connections=self.usage.connections,
                limit=self.limits.connections,
                fix="raise server.connections and the limit of open files, or add a gateway",
            )
            self._refused = 0

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self.connections):
            connection.look(now)
        self._sweeper = loop.call_later(self.limits.linger_s, self._sweep)

    async def _gone(self, seconds: float) -> None:
        """Waits until all connections are closed, at most so long."""
        self._empty.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()
