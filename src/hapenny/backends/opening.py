"""Opening a connection, step by step: its name looked up (and remembered for a while), TCP, TLS; each is timed.

Whoever makes a call may ask what its connection took: `OPENED` holds the openings of the present task's calls, one
each; a call on a kept connection has none.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from contextvars import ContextVar
from typing import Any, NamedTuple

from hapenny.backends.http1 import Connection
from hapenny.core.clock import Clock

NAME_S = 30.0
"""How long an address is taken for a name's."""
_NAMES = 64


class Opening(NamedTuple):
    """Seconds that opening a connection took, by step."""

    name: float
    connect: float
    tls: float


OPENED: ContextVar[list[Opening] | None] = ContextVar("opened", default=None)


class Opener:
    """Opens connections of a pool.

    Args:
        clock: the deployment's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._names: dict[tuple[str, int], tuple[float, list[Any]]] = {}
        self.count = 0
        self.spent = Opening(0.0, 0.0, 0.0)
        """Seconds of all openings, by step."""

    async def open(self, host: str, port: int, context: ssl.SSLContext | None) -> Connection:
        """A connection. Raises `OSError`."""
        loop, clock = asyncio.get_running_loop(), self._clock
        began = clock.now()
        known = self._names.get((host, port))
        if known is not None and began < known[0]:
            places = known[1]
        else:
            places = await self._named(host, port)
        named = clock.now()
        try:
            plain = await _reached(loop, places)
        except OSError:
            self._names.pop((host, port), None)
            raise
        reached = clock.now()
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(loop), sock=plain, ssl=context, server_hostname=host if context is not None else None
            )
        except BaseException:
            plain.close()
            raise
        self.note(Opening(named - began, reached - named, clock.now() - reached if context is not None else 0.0))
        return connection

    def note(self, opening: Opening) -> None:
        """Counts an opening, and tells whoever asked."""
        self.count += 1
        self.spent = Opening(*(one + other for one, other in zip(self.spent, opening, strict=True)))
        asked = OPENED.get()
        if asked is not None:
            asked.append(opening)

    async def _named(self, host: str, port: int) -> list[Any]:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            places = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            while len(self._names) >= _NAMES:
                del self._names[next(iter(self._names))]
            self._names[host, port] = (self._clock.now() + NAME_S, places)
            return places
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]


async def _reached(loop: asyncio.AbstractEventLoop, places: list[Any]) -> socket.socket:
    """A socket connected to the first place that takes it."""
    last: OSError | None = None
    for family, kind, protocol, _, place in places:
        try:
            plain = socket.socket(family, kind, protocol)
        except OSError as error:
            last = error
            continue
        try:
            plain.setblocking(False)
            await loop.sock_connect(plain, place)
        except OSError as error:
            plain.close()
            last = error
        except BaseException:
            plain.close()
            raise
        else:
            return plain
    raise last or OSError("the name has no address")
