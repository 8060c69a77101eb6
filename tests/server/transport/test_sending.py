"""Streamed answers: chunks, back pressure, keep-alives, ends that are proper and ends that are not."""

import asyncio
from collections.abc import Callable, Sequence

import h11
import pytest

from hapenny.core.errors import Failure
from hapenny.server.transport.messages import Request, Response
from tests.server.transport.house import CLOSE, Client, ask, get, serving
from tests.settling import eventually


class Pieces:
    """A body by script: bytes, an event to wait for, or an error to raise."""

    def __init__(self, script: Sequence[object], *, late: bool = False, ping: bytes = b"", cut: bytes = b"") -> None:
        self.script = list(script)
        self.late = late
        self.last = False
        self.read_so_far = 0
        self.closed = 0
        self._ping = ping
        self._cut = cut

    async def read(self) -> bytes | None:
        while self.script:
            step = self.script.pop(0)
            if isinstance(step, asyncio.Event):
                await step.wait()
                continue
            if isinstance(step, Exception):
                raise step
            assert isinstance(step, bytes)
            self.read_so_far += len(step)
            return step
        return None

    def silence(self) -> bytes:
        return self._ping

    def cut(self, failure: Failure) -> bytes:
        return self._cut

    def close(self) -> None:
        self.closed += 1


class Told(Pieces):
    """The same, handed on where they come: what waits for an event is said to who listens."""

    def __init__(self, script: Sequence[object], *, late: bool = False, ping: bytes = b"", cut: bytes = b"") -> None:
        super().__init__(script, late=late, ping=ping, cut=cut)
        self._sink: Callable[[bytes | None], None] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    def listen(self, sink: Callable[[bytes | None], None] | None) -> bool:
        if sink is not None and (not self.script or isinstance(self.script[0], Exception)):
            return False
        self._sink = sink
        if sink is not None and not self._telling:
            self._telling.add(asyncio.create_task(self._tell()))
        return sink is not None

    async def read(self) -> bytes | None:
        assert self._sink is None
        return await super().read()

    async def _tell(self) -> None:
        while (sink := self._sink) is not None:
            step = self.script[0] if self.script else None
            if isinstance(step, asyncio.Event) and not step.is_set():
                await asyncio.sleep(0.002)
            elif isinstance(step, bytes):
                self.read_so_far += len(self.script.pop(0))
                sink(step)
                await asyncio.sleep(0)
            elif isinstance(step, asyncio.Event):
                self.script.pop(0)
            else:
                self._sink = None
                sink(None)
        self._telling.clear()

    def close(self) -> None:
        super().close()
        self._sink = None


either = pytest.mark.parametrize("kind", [Pieces, Told])


def body_of(came: bytes) -> bytes:
    """The body as h11 reads it. Raises where it has no proper end."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
    client.send(h11.EndOfMessage())
    client.receive_data(came)
    client.receive_data(b"")
    body = b""
    while True:
        event = client.next_event()
        if isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return body


async def streamed(pieces: Pieces, **limits: float) -> bytes:
    async def answer(request: Request, body: bytes) -> Response:
        return Response(pieces=pieces)

    async with serving(answer, **limits) as (_, port, _):
        return await ask(port, get("/", CLOSE))


@either
async def test_pieces_leave_as_chunks_with_a_proper_end(kind: type[Pieces]) -> None:
    pieces = kind([b"one", b"two" * 10_000, b"three"])
    assert body_of(await streamed(pieces)) == b"one" + b"two" * 10_000 + b"three"
    assert pieces.closed == 1


async def test_a_last_piece_needs_no_further_read() -> None:
    class Last(Pieces):
        async def read(self) -> bytes | None:
            assert not self.last
            self.last = True
            return b"all"

    assert body_of(await streamed(Last([]))) == b"all"


@either
async def test_an_old_client_reads_to_the_end_of_the_connection(kind: type[Pieces]) -> None:
    async def answer(request: Request, body: bytes) -> Response:
        return Response(pieces=kind([b"one", b"two"]))

    async with serving(answer) as (_, port, _):
        came = await ask(port, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert came.endswith(b"\r\n\r\nonetwo")
        assert b"connection: close\r\n" in came


@either
async def test_a_reader_that_takes_nothing_holds_the_writer(kind: type[Pieces]) -> None:
    pieces = kind([b"x" * 40_000] * 250)

    async def answer(request: Request, body: bytes) -> Response:
        return Response(pieces=pieces)

    async with serving(answer) as (server, port, _):
        client = (await Client.to(port, small=True)).say(get())
        await eventually(lambda: any(connection.waits for connection in server.connections))
        held = pieces.read_so_far
        await asyncio.sleep(0.05)
        assert pieces.read_so_far == held < 8_000_000
        await client.until(b"0\r\n\r\n")
        assert body_of(bytes(client.came)) == b"x" * 10_000_000
        client.leave()


@either
async def test_a_reader_that_takes_nothing_for_too_long_is_let_go(kind: type[Pieces]) -> None:
    pieces = kind([b"x" * 40_000] * 500)

    async def answer(request: Request, body: bytes) -> Response:
        return Response(pieces=pieces) if request.path == "/stream" else Response(b"x" * 32_000_000)

    async with serving(answer, stalled_s=0.05, linger_s=0.01) as (server, port, service):
        for path in ("/stream", "/whole"):
            client = (await Client.to(port, small=True)).say(get(path))
            await eventually(lambda: server.connections)
            await eventually(lambda: not server.connections and service.under_way == 0)
            client.leave()
    assert pieces.closed == 1


@either
async def test_a_silent_stream_is_kept_alive_between_its_pieces(kind: type[Pieces]) -> None:
    go = asyncio.Event()
    pieces = kind([b"one;", go, b"two;"], ping=b"ping;")

    async def answer(request: Request, body: bytes) -> Response:
        return Response(pieces=pieces)

    async with serving(answer, silence_s=0.02) as (_, port, _):
        client = (await Client.to(port)).say(get("/", CLOSE))
        await client.until(b"ping;", 2)
        go.set()
        came = body_of(await client.end())
        assert came.startswith(b"one;ping;ping;")
        assert came.endswith(b"two;")


@either
async def test_a_late_stream_has_its_head_before_its_first_piece(kind: type[Pieces]) -> None:
    go = asyncio.Event()

    async def answer(request: Request, body: bytes) -> Response:
        return Response(pieces=kind([go, b"one"], late=True))

    async with serving(answer, silence_s=60) as (_, port, _):
        client = (await Client.to(port)).say(get("/", CLOSE))
        assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        go.set()
        assert body_of(await client.end()) == b"one"


@either
async def test_a_source_that_breaks_leaves_no_proper_end(kind: type[Pieces]) -> None:
    came = await streamed(kind([b"one", Failure("truncated", "gone")]))
    assert came.endswith(b"one\r\n")
    try:
        body_of(came)
    except h11.RemoteProtocolError:
        return
    raise AssertionError("it looks complete")


@either
async def test_a_server_that_ends_tells_streams_and_who_waits(kind: type[Pieces]) -> None:
    waiting, streaming = asyncio.Event(), asyncio.Event()
    told = kind([b"one;", streaming], cut=b"cut;")
    untold = kind([b"one;", streaming])

    async def answer(request: Request, body: bytes) -> Response:
        if request.path == "/wait":
            await waiting.wait()
        return Response(pieces=told if request.path == "/told" else untold)

    async with serving(answer) as (server, port, service):
        clients = [(await Client.to(port)).say(get(path)) for path in ("/told", "/untold", "/wait")]
        idle = await Client.to(port)
        await clients[0].until(b"one;")
        await clients[1].until(b"one;")
        await eventually(lambda: service.under_way == 3)
        await server.close(Failure("unavailable", "going"))
        cut, torn, refused = [await client.end() for client in clients]
        assert body_of(cut) == b"one;cut;"
        assert torn.endswith(b"one;\r\n")  # no words for it, and no end that looks like one
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert refused.endswith(b"going")
        assert await idle.end() == b""
        assert (told.closed, untold.closed, service.under_way) == (1, 1, 0)


@either
async def test_a_stream_whose_client_closed_its_side_goes_on_unharmed(kind: type[Pieces]) -> None:
    go = asyncio.Event()
    pieces = kind([b"one;", go, b"two;"])

    async def answer(request: Request, body: bytes) -> Response:
        return Response(pieces=pieces)

    async with serving(answer, silence_s=60) as (_, port, _):
        client = (await Client.to(port)).say(get())
        await client.until(b"one;")
        client.writer.write_eof()
        await asyncio.sleep(0.05)  # the server has looked whether it is still there
        go.set()
        assert body_of(await client.end()) == b"one;two;"


@either
async def test_a_stream_whose_client_left_quietly_ends(kind: type[Pieces]) -> None:
    pieces = kind([b"one;", asyncio.Event()])

    async def answer(request: Request, body: bytes) -> Response:
        return Response(pieces=pieces)

    async with serving(answer, silence_s=60) as (_, port, _):
        client = (await Client.to(port)).say(get())
        await client.until(b"one;")
        client.writer.close()
        await eventually(lambda: pieces.closed == 1)
