"""The HTTP/1.1 server on real sockets: framing, limits, back pressure, leaving clients."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.core.clock import RealClock
from hapenny.server.transport import connection
from hapenny.server.transport import messages as web
from hapenny.server.transport.connection import Server

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, limit: int = 1000) -> AsyncIterator[tuple[Server, int]]:
    server = Server(handler, RealClock(), limit)
    port = await server.start("127.0.0.1", 0)
    try:
        yield server, port
    finally:
        await server.close()


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return web.Response(status=413, body=b"too large")
    shown = f"{request.method} {request.raw_path} ".encode() + body
    return web.Response(body=shown, headers={"Content-Type": "text/plain", "x-a": request.headers.get("X-A", "")})


async def say(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """All that comes back for `parts` until the server closes or nothing more comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(pause)
    found = b""
    try:
        while data := await asyncio.wait_for(reader.read(65536), 0.3):
            found += data
    except (TimeoutError, ConnectionError):
        pass
    writer.close()
    return found


def post(body: bytes, *more: str, path: str = "/p") -> bytes:
    lines = "".join(f"{line}\r\n" for line in more)
    return f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


async def test_requests_one_after_the_other_and_pipelined() -> None:
    async with serving(echo) as (server, port):
        both = post(b"one", "X-A: 1") + b"\r\n" + post(b"two", path="/q?a=%2F")
        for parts in ([both], [both[at : at + 1] for at in range(len(both))]):
            found = await say(port, *parts)
            assert found.count(b"HTTP/1.1 200 OK\r\n") == 2
            assert found.index(b"POST /p one") < found.index(b"POST /q?a=%2F two")
            assert b"x-a: 1\r\n" in found
            assert b"date: " in found
        assert len(server.connections) <= 2


async def test_a_body_in_chunks() -> None:
    async with serving(echo) as (_, port):
        head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert b"POST / abcdef" in await say(port, head, b"3\r\nabc\r\n", b"3;x=y\r\ndef\r\n0\r\n", b"T: 1\r\n\r\n")


async def test_other_kinds_of_request() -> None:
    async with serving(echo) as (_, port):
        head = await say(port, b"HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"content-length: 8\r\n" in head
        assert head.endswith(b"\r\n\r\n")
        assert b"GET /abs " in await say(port, b"GET http://h/abs HTTP/1.1\r\nHost: h\r\n\r\n")
        old = await say(port, b"GET / HTTP/1.0\r\n\r\n")
        assert b"connection: close\r\n" in old
        kept = await say(port, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert b"connection: keep-alive\r\n" in kept
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await asyncio.wait_for(reader.readline(), 2) == b"HTTP/1.1 100 Continue\r\n"
        writer.write(b"ok")
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"OK"), 2)
        writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n folded: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nbad name : 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: a\nContent-Length: 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 70_000,
    ],
)
async def test_what_is_ambiguous_is_refused_and_ends_the_connection(request_: bytes) -> None:
    async with serving(echo) as (_, port):
        found = await say(port, request_ + post(b"smuggled"))
        assert found.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"connection: close\r\n" in found
        assert b"smuggled" not in found


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_no_bytes_break_the_server(data: bytes) -> None:
    async def main() -> None:
        async with serving(echo) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data + b"\r\n\r\n")
            writer.write_eof()
            await reader.read()
            writer.close()
            assert b"POST /p fine" in await say(port, post(b"fine", "Connection: close"))

    asyncio.run(main())


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused_readably(chunked: bool) -> None:
    async with serving(echo, limit=1000) as (_, port):
        assert b"200 OK" in await say(port, post(b"x" * 1000))
        big = b"x" * 3_000_000
        how = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(big) if chunked else b"Content-Length: 3000000\r\n\r\n"
        found = await say(port, b"POST / HTTP/1.1\r\nHost: h\r\n" + how, big)
        assert found.startswith(b"HTTP/1.1 413 ")
        assert found.endswith(b"too large")
        # A client that reads only after it has sent everything gets the refusal, too.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\n" + how + big)
        await asyncio.wait_for(writer.drain(), 3)
        assert (await asyncio.wait_for(reader.read(), 3)).startswith(b"HTTP/1.1 413 ")
        writer.close()


async def test_a_stream_in_chunks_and_its_back_pressure() -> None:
    written: list[int] = []

    async def stream(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        for number in range(200):
            await response.write(b"%d" % number * 40_000)
            written.append(number)
        await response.write_eof()
        return response

    async with serving(stream) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        writer.write(post(b""))
        await asyncio.sleep(0.3)
        held = len(written)
        assert held < 150  # a reader that takes nothing holds the writer
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head
        size, found = -1, 0
        while size:
            size = int(await reader.readline(), 16)
            found += len(await reader.readexactly(size + 2)) - 2
        assert found == sum(len(b"%d" % number) * 40_000 for number in range(200))
        writer.write(post(b""))  # the connection serves on
        assert b"200 OK" in await reader.readline()
        writer.close()


@pytest.mark.parametrize("where", ["waiting", "writing"])
async def test_a_client_that_leaves_cancels_its_request(where: str) -> None:
    ended = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = web.StreamResponse()
            await response.prepare(request)
            while where == "writing":
                await response.write(b"x" * 10_000)
            await asyncio.sleep(60)
            return response
        finally:
            ended.set()

    async with serving(slow) as (server, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b""))
        await asyncio.sleep(0.1)
        writer.transport.abort()
        await asyncio.wait_for(ended.wait(), 5)
        await asyncio.sleep(0.05)
        assert not server.connections


async def test_a_handler_that_breaks_is_a_500() -> None:
    async def broken(request: web.BaseRequest) -> web.StreamResponse:
        raise KeyError("secret")

    async with serving(broken) as (_, port):
        found = await say(port, post(b""))
        assert found.startswith(b"HTTP/1.1 500 ")
        assert b"secret" not in found


async def test_a_header_cannot_break_out() -> None:
    async def split(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(headers={"x-a": "1\r\nset-cookie: a=b"})

    async with serving(split) as (_, port):
        found = await say(port, post(b""))
        assert found.startswith(b"HTTP/1.1 500 ")
        assert b"set-cookie" not in found


async def test_refusing_closes_idle_connections_and_lets_answers_end() -> None:
    go = asyncio.Event()

    async def wait(request: web.BaseRequest) -> web.StreamResponse:
        await go.wait()
        return web.Response(body=b"done")

    async with serving(wait) as (server, port):
        idle_reader, idle = await asyncio.open_connection("127.0.0.1", port)
        busy_reader, busy = await asyncio.open_connection("127.0.0.1", port)
        busy.write(post(b""))
        await asyncio.sleep(0.1)
        server.refuse()
        assert await asyncio.wait_for(idle_reader.read(), 2) == b""
        go.set()
        found = await asyncio.wait_for(busy_reader.read(), 2)
        assert found.endswith(b"done")
        assert b"connection: close" in found
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)
        idle.close()
        busy.close()


async def test_connections_that_say_nothing_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_S", 0.05)
    monkeypatch.setattr(connection, "ARRIVE_S", 0.1)
    async with serving(echo) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost:")  # and then nothing
        assert await asyncio.wait_for(reader.read(), 3) == b""
        assert not server.connections
        writer.close()


async def test_a_client_that_takes_nothing_of_a_whole_answer_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_S", 0.01)

    async def large(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"x" * 32_000_000)

    server = Server(large, RealClock(), 1000, stalled_s=0.05)
    port = await server.start("127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    async with asyncio.timeout(20):
        while not server.connections:
            await asyncio.sleep(0)
        while server.connections:
            await asyncio.sleep(0.01)
    writer.close()
    await server.close()
