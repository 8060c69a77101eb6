"""What the workers of one host share without a server of their own: kept by the process that watches over them.

`HostState` lives in that process: a `MemorySpace` and `MemoryCounters` behind a Unix socket that its user alone may
open. A worker's counters that are still held when it dies are settled as reserved, as those of any dead process are.
`HostSpace` and `HostCounters` are the workers' side. All of it ends with the watching process; then its workers end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from hapenny.core.clock import Clock, within
from hapenny.core.guard import Guard
from hapenny.stores.counters import Charge, Grant, Limit, MemoryCounters, Ticket
from hapenny.stores.host_frames import FrameProtocol
from hapenny.stores.space import Heard, MemorySpace, Message, Seen

DEADLINE_S = 1.0
"""Seconds in which the watching process has to answer."""
MOST_UNSAID = 1_000
"""What is remembered while the connection is being opened."""
SCHEME = "host:"
"""How the address of such a state begins; the socket's path follows."""


class HostState:
    """What is shared, and who asks for it.

    Args:
        clock: the watching process's.
        capacity: bytes of answers that are kept.
    """

    def __init__(self, clock: Clock, capacity: int) -> None:
        self.space = MemorySpace(clock, capacity)
        self.counters = MemoryCounters(clock)

    def answer(self, name: str, arguments: Sequence[Any]) -> Any:
        """Carries out what a worker asks for. Raises `KeyError` for what is not known."""
        space, counters = self.space, self.counters
        if name == "look":
            return space.look_now(*arguments)
        if name == "reserve":
            charges, ttl_s = arguments
            return counters.reserve_now([_charge(each) for each in charges], ttl_s)
        if name == "settle":
            ticket, actual = arguments
            return counters.settle(Ticket(ticket[0], tuple(_charge(each) for each in ticket[1])), actual)
        if name == "correct":
            key, limit, at_most = arguments
            return counters.correct(key, msgspec.convert(limit, Limit), at_most)
        if name == "levels":
            return counters.levels_now([_charge(each) for each in arguments[0]])
        if name == "expire":
            return counters.expire()
        if name == "tell":
            return space.tell_now(*arguments)
        if name == "heard":
            return space.heard_now(*arguments)
        if name == "keep":
            return space.keep(*arguments)
        if name == "let_go":
            return space.let_go(*arguments)
        if name == "renew":
            return space.renew(*arguments)
        raise KeyError(name)


def _charge(values: Sequence[Any]) -> Charge:
    key, limit, amount = values
    return Charge(key, msgspec.convert(limit, Limit), amount)


class HostLine:
    """A worker's connection to the watching process; opened at the first question, and again after it broke."""

    def __init__(self, address: str, clock: Clock) -> None:
        self._path = address.removeprefix(SCHEME)
        self._clock = clock
        self._opening = asyncio.Lock()
        self._connection: FrameProtocol | None = None
        self._unsaid: deque[tuple[str, tuple[Any, ...]]] = deque(maxlen=MOST_UNSAID)
        self._task: asyncio.Task[None] | None = None

    async def ask(self, name: str, *arguments: Any) -> Any:
        """The answer. Raises `ConnectionError`."""
        try:
            with within(DEADLINE_S):
                connection = self._connection
                if connection is None or not connection.alive:
                    connection = await self._open()
                return await connection.ask(name, *arguments)
        except (TimeoutError, OSError) as error:
            raise ConnectionError("the process that watches over the workers does not answer") from error

    def post(self, name: str, *arguments: Any) -> None:
        """Says something; lost where the process is."""
        if self._connection is not None and self._connection.alive:
            self._connection.post(name, *arguments)
            return
        self._unsaid.append((name, arguments))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._say())

    async def _say(self) -> None:
        with contextlib.suppress(TimeoutError, OSError), within(DEADLINE_S):
            await self._open()

    async def aclose(self) -> None:
        """Closes the connection, once what was said is heard."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is not None and connection.alive:
            with contextlib.suppress(TimeoutError, OSError), within(DEADLINE_S):
                await connection.ask("heard", "")
            connection.close()

    async def _open(self) -> FrameProtocol:
        async with self._opening:
            if self._connection is None or not self._connection.alive:
                loop = asyncio.get_running_loop()
                _, self._connection = await loop.create_unix_connection(
                    lambda: FrameProtocol(_nothing, lambda _: None), self._path
                )
                while self._unsaid:
                    name, arguments = self._unsaid.popleft()
                    self._connection.post(name, *arguments)
            return self._connection


def _nothing(connection: FrameProtocol, name: str, arguments: list[Any]) -> Any:
    raise KeyError(name)


class HostSpace:
    """`Space` of the workers of one host."""

    guards: Sequence[Guard] = ()

    def __init__(self, line: HostLine) -> None:
        self._line = line

    async def look(self, key: str, holder: str = "", lease_s: float = 0.0, after: float = 0.0) -> Seen:
        return Seen(*await self._line.ask("look", key, holder, lease_s, after))

    def keep(self, key: str, holder: str, value: bytes, life_s: float) -> None:
        self._line.post("keep", key, holder, value, life_s)

    def let_go(self, key: str, holder: str) -> None:
        self._line.post("let_go", key, holder)

    def renew(self, key: str, holder: str, lease_s: float) -> None:
        self._line.post("renew", key, holder, lease_s)

    async def tell(self, data: bytes, channel: str = "news") -> float:
        return float(await self._line.ask("tell", data, channel))

    async def heard(self, after: str = "", channel: str = "news") -> Heard:
        messages, oldest, missed = await self._line.ask("heard", after, channel)
        return Heard([Message(*each) for each in messages], oldest, missed)

    async def aclose(self) -> None:
        await self._line.aclose()


class HostCounters:
    """`Counters` of the workers of one host."""

    guards: Sequence[Guard] = ()

    def __init__(self, line: HostLine) -> None:
        self._line = line

    async def reserve(self, charges: Sequence[Charge], ttl_s: float = 600.0) -> Grant:
        granted: list[Any] = []

        def late(reply: asyncio.Future[Any]) -> None:
            """Gives back what was granted to somebody who had left."""
            if not reply.cancelled() and reply.exception() is None and reply.result()[0] is not None and not granted:
                self._line.post("settle", reply.result()[0], [0.0] * len(charges))

        task = asyncio.ensure_future(self._line.ask("reserve", charges, ttl_s))
        try:
            reply = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(late)
            raise
        granted.append(reply)
        ticket, wait_s, level, taken = reply
        return Grant(None if ticket is None else Ticket(ticket[0], tuple(charges), "host"), wait_s, level, taken)

    def settle(self, ticket: Ticket, actual: Sequence[float]) -> None:
        self._line.post("settle", ticket, list(actual))

    def correct(self, key: str, limit: Limit, at_most: float) -> None:
        self._line.post("correct", key, limit, at_most)

    async def levels(self, charges: Sequence[Charge]) -> list[float]:
        return [float(level) for level in await self._line.ask("levels", charges)]

    async def expire(self) -> int:
        return int(await self._line.ask("expire"))

    async def aclose(self) -> None:
        await self._line.aclose()


class HostServer:
    """The socket of a `HostState`.

    Args:
        state: what is shared.
        path: of the socket; in a folder that nobody else may enter.
        more: answers what is no business of the state's.
        gone: is told of connections that ended.
    """

    def __init__(
        self,
        state: HostState,
        path: str,
        more: Callable[[FrameProtocol, str, list[Any]], Any] = _nothing,
        gone: Callable[[FrameProtocol], None] = lambda _: None,
    ) -> None:
        self._state = state
        self._path = path
        self._more = more
        self._gone = gone
        self._server: asyncio.Server | None = None
        self._connections: set[FrameProtocol] = set()

    async def start(self) -> None:
        """Listens. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._connected, self._path)

    async def aclose(self) -> None:
        """Ends all connections."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close()

    def _connected(self) -> FrameProtocol:
        connection = FrameProtocol(self._answer, self._left)
        self._connections.add(connection)
        return connection

    def _left(self, connection: FrameProtocol) -> None:
        self._connections.discard(connection)
        self._gone(connection)

    def _answer(self, connection: FrameProtocol, name: str, arguments: list[Any]) -> Any:
        try:
            return self._state.answer(name, arguments)
        except KeyError:
            return self._more(connection, name, arguments)
