"""What passes between connections and endpoints: a request, its answer, and the contract of both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias, cast
from urllib.parse import parse_qsl

from hapenny.core.errors import Failure
from hapenny.protocols.http1.request import Headers
from hapenny.protocols.http1.target import Target


class Request:
    """The head of a request. Its body is given to whoever answers it."""

    __slots__ = ("ended", "headers", "method", "peer", "received", "target")

    def __init__(self, method: str, target: Target, headers: Headers, peer: str = "") -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.peer = peer
        """Address of whoever opened the connection; empty where there is none (a socket file)."""
        self.received: float | None = None
        """When its head was there, `clock.now()` seconds, where somebody wants to know."""
        self.ended: Failure | None = None
        """Why the server gave up on it, once it did; then its task is cancelled."""

    @property
    def path(self) -> str:
        """The target's path, percent-encoded as it was sent."""
        return self.target.path

    @property
    def query(self) -> dict[str, str]:
        """The target's query, the last value of each name; blank values are left out."""
        return dict(parse_qsl(self.target.query))


PieceSink: TypeAlias = Callable[[bytes | None], None]
"""Takes a piece, never empty; None: there is something that has to be read. Raises nothing."""


class Pieces(Protocol):
    """A body that comes in pieces. It is read from one task, and closed exactly once whatever happens."""

    @property
    def last(self) -> bool:
        """Whether the piece that `read` returned is the last one."""

    @property
    def late(self) -> bool:
        """Whether the head goes out before the first piece is there: nobody knows when that will be."""

    async def read(self) -> bytes | None:
        """The next piece; None at the end.

        Raises:
            Failure: it broke in a way its format has no words for. The connection ends without a proper end.
        """

    def silence(self) -> bytes:
        """What keeps the connection alive while there is nothing to say; b"" where the format has nothing."""

    def cut(self, failure: Failure) -> bytes:
        """What ends the body here and tells the client why; b"" where the format has nothing."""

    def close(self) -> None:
        """Lets go of the source at once."""


class PushPieces(Pieces, Protocol):
    """Pieces that need not be waited for: they are handed on where they come (`core.source`)."""

    def listen(self, sink: PieceSink | None) -> bool:
        """Hands each piece that comes to `sink`, until it says None: then they are read on. False: they are read now;
        None: nobody wants any for now."""


def listen(pieces: Pieces, sink: PieceSink | None) -> bool:
    """Has `pieces` handed on to `sink`; whether they can be."""
    return hasattr(pieces, "listen") and cast(PushPieces, pieces).listen(sink)


class Socket(Protocol):
    """A WebSocket as whoever talks over it sees it."""

    async def receive(self) -> str | None:
        """The next message; None when the client has said its last."""

    async def send(self, text: str) -> None:
        """Writes a message; waits while the client reads too slowly. Raises `ConnectionResetError`."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begins the closing handshake."""


class Talk(Protocol):
    """What goes on over a WebSocket."""

    @property
    def busy(self) -> bool:
        """Whether an answer is under way."""

    async def talk(self, socket: Socket) -> None:
        """Reads and writes messages; the connection closes when it returns. Cancelled when the client leaves."""


class Response:
    """An answer: whole, or in pieces. `failure` is what it tells, if it tells of one. With a `talk` (and status 101)
    the connection goes on as a WebSocket."""

    __slots__ = ("body", "failure", "headers", "pieces", "status", "talk")

    def __init__(
        self,
        body: bytes = b"",
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        pieces: Pieces | None = None,
        failure: Failure | None = None,
        talk: Talk | None = None,
    ) -> None:
        self.status = status
        self.talk = talk
        self.failure = failure
        self.headers: dict[str, str] = dict(headers) if headers is not None else {}
        self.body = body
        self.pieces = pieces


class Work(Protocol):
    """A request that was let in."""

    most: int
    """The largest body it takes, in bytes."""

    async def answer(self, body: bytes) -> Response:
        """Answers, now that the body is there. Cancelled when the client leaves."""

    def refuse(self, failure: Failure) -> Response:
        """The answer in the client's own dialect where the server has to say no by itself."""

    def done(self) -> None:
        """The answer is out, or nobody waits for it any more. Called once for each `answer`."""


class Service(Protocol):
    """What a server serves."""

    def accept(self, request: Request) -> Work | Response:
        """Judges a request by its head, before any of its body is kept: what answers it, or a refusal."""
