"""The HTTP/1.1 connection: any cut of the same bytes is the same answer, and what is ambiguous is refused."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.backends.http1 import BUFFER_BYTES, Broken, Connection, head
from hapenny.backends.pool import Pool
from hapenny.backends.url import address
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from tests.backends.servers import serving
from tests.certificates import certificate

OK = b"HTTP/1.1 200 OK\r\n"


class Wire(asyncio.Transport):
    """What a connection does to its transport."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = self.aborted = self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


async def receive(pieces: list[bytes], *, ends: bool = False, method: str = "POST") -> tuple[Connection, bytes, Wire]:
    """A connection that asked once, and the body it got from `pieces`."""
    connection, wire = Connection(asyncio.get_running_loop()), Wire()
    connection.connection_made(wire)
    connection.start(head(method, "/", "h", {}, 0), b"", without_body=method == "HEAD")
    for piece in pieces:
        connection.data_received(piece)
    if ends:
        connection.connection_lost(None)
    await connection.begun()
    body = b""
    while data := await asyncio.wait_for(connection.piece(), 1):
        body += data
    return connection, body, wire


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *marks], [*marks, len(data)], strict=True) if a < b]


def chunked(parts: list[bytes]) -> bytes:
    return b"".join(b"%x;x=1\r\n%s\r\n" % (len(part), part) for part in parts if part) + b"0\r\nTrailer: 1\r\n\r\n"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6), st.lists(st.integers(0, 2000), max_size=25))
def test_any_cut_of_a_chunked_answer_is_the_same(parts: list[bytes], places: list[int]) -> None:
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        + OK
        + b"Transfer-Encoding: chunked\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
        + chunked(parts)
    )
    connection, body, _ = asyncio.run(receive(cut(data, places)))
    assert body == b"".join(parts)
    assert connection.headers["x-a"] == "1, 2"
    assert connection.reusable


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 400), max_size=12), st.booleans())
def test_any_cut_of_an_answer_of_known_length_is_the_same(body: bytes, places: list[int], known: bool) -> None:
    data = OK + (b"Content-Length: %d\r\n\r\n" % len(body) if known else b"\r\n") + body
    connection, found, _ = asyncio.run(receive(cut(data, places), ends=not known))
    assert found == body
    assert connection.reusable == known


@pytest.mark.parametrize(
    ("answer", "reusable"),
    [
        (OK + b"Content-Length: 0\r\n\r\n", True),
        (OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
        (OK + b"Content-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", False),
    ],
)
async def test_when_a_connection_may_be_used_again(answer: bytes, reusable: bool) -> None:
    connection, body, _ = await receive([answer])
    assert body == b""
    assert connection.reusable == reusable


@pytest.mark.parametrize(
    "answer",
    [
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b" folded: 1\r\n\r\n",
        OK + b"Content-Length : 1\r\n\r\nx",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1, 1\r\n\r\nx",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        OK + b"X: " + b"x" * 70_000,
    ],
)
async def test_what_is_no_answer_breaks_the_connection(answer: bytes) -> None:
    connection, wire = Connection(asyncio.get_running_loop()), Wire()
    connection.connection_made(wire)
    connection.start(head("POST", "/", "h", {}, 0), b"")
    connection.data_received(answer)
    with pytest.raises(Broken):
        await connection.begun()
        while await connection.piece():
            pass
    assert wire.aborted
    assert not connection.open


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_do_anything_but_break_it(data: bytes) -> None:
    async def main() -> None:
        for prefix in (b"", OK, OK + b"Transfer-Encoding: chunked\r\n\r\n"):
            connection = Connection(asyncio.get_running_loop())
            connection.connection_made(Wire())
            connection.start(head("POST", "/", "h", {}, 0), b"")
            connection.data_received(prefix + data)
            connection.connection_lost(None)
            try:
                await connection.begun()
                while await connection.piece():
                    pass
            except Broken:
                pass

    asyncio.run(main())


async def test_an_early_end_is_not_a_whole_answer() -> None:
    for answer in (OK + b"Content-Length: 5\r\n\r\nabc", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"):
        with pytest.raises(Broken):
            await receive([answer], ends=True)


async def test_bytes_nobody_asked_for_end_an_idle_connection() -> None:
    connection, _, wire = await receive([OK + b"Content-Length: 0\r\n\r\n"])
    connection.data_received(OK + b"Content-Length: 0\r\n\r\n")
    assert not connection.open
    assert wire.aborted


async def test_a_slow_reader_pauses_the_connection() -> None:
    connection, wire = Connection(asyncio.get_running_loop()), Wire()
    connection.connection_made(wire)
    connection.start(head("GET", "/", "h", {}, None), b"")
    connection.data_received(OK + b"Content-Length: 999999999\r\n\r\n" + b"x" * (BUFFER_BYTES + 1))
    assert wire.paused
    await connection.piece()
    assert not wire.paused


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb", "nul\0", "h\u00e9\u4e2d"])
def test_a_header_cannot_break_out(value: str) -> None:
    with pytest.raises((ValueError, UnicodeError)):
        head("GET", "/", "h", {"x-a": value}, None)
    with pytest.raises(ValueError):
        head("GET", "/a b", "h", {}, None)


async def test_a_header_that_cannot_be_sent_is_the_clients_fault() -> None:
    async with serving(lambda request: web.Response()) as base:  # type: ignore[arg-type,return-value]
        pool = Pool(RealClock())
        with pytest.raises(Failure) as error:
            await pool.send("GET", address(base + "/"), {"x-a": "1\r\nx-b: 2"}, b"")
        assert error.value.kind == "invalid_request"
        assert pool.busy == 0
        await pool.aclose()


async def test_methods_bodies_and_big_answers() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        assert ("content-length" in request.headers) == (request.method not in ("GET", "HEAD"))
        assert request.headers["user-agent"] == "hapenny"
        assert request.headers["accept-encoding"] == "identity"
        return web.Response(body=body or b"none", headers={"x-method": request.method})

    pool = Pool(RealClock())
    async with serving(answer) as base:
        for method, body in (("GET", b""), ("HEAD", b""), ("POST", b""), ("PUT", b"x"), ("POST", b"y" * 25_000_000)):
            lease = await pool.send(method, address(base + "/"), {}, body)
            assert lease.headers["x-method"] == method
            assert await lease.whole() == (b"" if method == "HEAD" else body or b"none")
        assert pool.busy == 0
        await pool.aclose()


@asynccontextmanager
async def secure(tmp_path: Path, host: str) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """A TLS server with a certificate of its own, and a context that trusts it."""
    certificate(tmp_path, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=request.scheme)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield f"https://localhost:{runner.addresses[0][1]}/", ssl.create_default_context(cafile=tmp_path / "cert.pem")
    finally:
        await runner.cleanup()


async def test_certificates_are_checked(tmp_path: Path) -> None:
    async with secure(tmp_path, "localhost") as (base, trust):
        trusting, strict = Pool(RealClock(), trust=trust), Pool(RealClock())
        for _ in range(2):
            assert await (await trusting.send("GET", address(base), {}, b"")).whole() == b"https"
        for pool, url in ((strict, base), (trusting, base.replace("localhost", "127.0.0.1"))):
            with pytest.raises(Failure, match="no secure connection") as error:
                await pool.send("GET", address(url), {}, b"")
            assert error.value.kind == "unavailable"
            assert pool.busy == 0
        await trusting.aclose()
        await strict.aclose()


async def test_it_works_on_uvloop(tmp_path: Path) -> None:
    def main(run: Callable[..., bytes]) -> bytes:
        async def ask() -> bytes:
            async def answer(request: web.Request) -> web.StreamResponse:
                return web.Response(body=await request.read())

            pool = Pool(RealClock())
            async with serving(answer) as base:
                whole = await (await pool.send("POST", address(base + "/"), {}, b"z" * 3_000_000)).whole()
                await pool.aclose()
                return whole

        return run(ask())

    uvloop = pytest.importorskip("uvloop")
    assert len(await asyncio.to_thread(main, uvloop.run)) == 3_000_000
