"""Bounds of the server: time for heads and bodies, connections, bytes in buffers."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

RESERVED = 32
"""Descriptors that are not for clients: files, stores, the log."""


class Limits(Struct, frozen=True, kw_only=True):
    """What a server allows. Times in seconds."""

    body_bytes: int = 32_000_000
    """The largest body."""
    head_s: float = 20.0
    """From the first byte of a head to its last."""
    body_s: float = 60.0
    """For a body, besides a second for each `PACE` bytes that came."""
    keep_s: float = 75.0
    """How long a connection is kept without a request."""
    stalled_s: float = 60.0
    """How long a client may take nothing of what is written for it."""
    silence_s: float = 2.0
    """After how long without a word a keep-alive goes out."""
    linger_s: float = 5.0
    """How long a refused client may go on sending before the connection ends under it; how often deadlines are
    looked at."""
    connections: int = 4_096
    """At once."""
    per_address: int = 4_096
    """At once from one address."""
    message_bytes: int = 1_000_000
    """The longest message of a WebSocket."""
    ping_s: float = 20.0
    """After how long a silent client of a WebSocket is asked whether it is there."""
    socket_idle_s: float = 600.0
    """After how long a WebSocket closes on which nothing is said."""
    socket_s: float = 7_200.0
    """The longest life of a WebSocket."""
    http2: bool = True
    """Whether HTTP/2 is spoken with those who begin it."""
    streams: int = 128
    """Requests at once on one HTTP/2 connection; each beyond the first counts as a connection of its address."""
    buffered_bytes: int = 512_000_000
    """Bodies of all requests together, from their first byte until they are answered."""


PACE = 65_536
"""Bytes a second that a body which takes longer than `body_s` has to come with."""


def connections() -> int:
    """How many clients the process has descriptors for: each may need one towards a provider."""
    try:
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except (ImportError, OSError):
        return 4_096
    if most == resource.RLIM_INFINITY:
        return 65_536
    return max(8, min(65_536, (most - RESERVED) // 2))


def raise_descriptors() -> None:
    """Allows this process as many open files as the system lets it: the usual 1,024 are a default for programs of
    another kind."""
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ImportError, OSError, ValueError):
        return


class Usage:
    """What of the bounds is taken now."""

    __slots__ = ("_limits", "addresses", "buffered", "connections")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.connections = 0
        self.addresses: Counter[str] = Counter()
        self.buffered = 0

    def full(self, address: str) -> bool:
        """Whether there is no room for another connection, from that address."""
        limits = self._limits
        return self.connections >= limits.connections or self.addresses[address] >= limits.per_address

    def enter(self, address: str) -> None:
        """A connection came."""
        self.connections += 1
        self.addresses[address] += 1

    def leave(self, address: str) -> None:
        """It went."""
        self.connections -= 1
        self.addresses[address] -= 1
        if not self.addresses[address]:
            del self.addresses[address]

    def keep(self, more: int) -> bool:
        """Takes bytes of a body into account; False: there is no room for them."""
        if self.buffered + more > self._limits.buffered_bytes:
            return False
        self.buffered += more
        return True

    def drop(self, size: int) -> None:
        """Those bytes are gone."""
        self.buffered -= size
