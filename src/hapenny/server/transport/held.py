"""The contract of a listening server and its connections, whatever they speak."""

from __future__ import annotations

import asyncio
from typing import Protocol

from hapenny.core.errors import Failure
from hapenny.server.transport import writer
from hapenny.server.transport.limits import Usage
from hapenny.server.transport.messages import Service

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What HTTP/2 connections begin with (RFC 9113 §3.4)."""


class Held(Protocol):
    """A connection as the server sees it, whatever it speaks."""

    peer: str

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What runs on it."""

    def look(self, now: float) -> None:
        """Ends what is late."""

    def retire(self) -> None:
        """Ends it when nothing is under way any more."""

    def end(self, failure: Failure) -> None:
        """Gives up on what is under way; its client is told why."""

    def abort(self) -> None:
        """Ends it at once."""


class Host(writer.Host, Protocol):
    """The server as its connections see it."""

    service: Service
    usage: Usage
    draining: bool
    waiting: dict[Held, float]

    def enter(self, connection: Held) -> bool:
        """Whether there is room for the connection, which came."""

    def leave(self, connection: Held) -> None:
        """The connection went."""

    def replace(self, connection: Held, by: Held) -> None:
        """The connection goes on in another protocol."""
