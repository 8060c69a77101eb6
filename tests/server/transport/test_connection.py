"""Connections on real sockets: one request after the other, bodies, refusals, clients that leave or say nothing."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.core.errors import Failure
from hapenny.server.transport.messages import Request, Response
from tests.server.transport.house import CLOSE, Client, ask, echo, get, post, serving
from tests.settling import eventually


async def test_requests_one_after_the_other_and_pipelined() -> None:
    async with serving() as (server, port, _):
        both = post(b"one", "X-A: 1") + b"\r\n" + post(b"two", CLOSE, path="/q?a=%2F")
        for parts in ([both], [both[at : at + 1] for at in range(len(both))]):
            came = await ask(port, *parts)
            assert came.count(b"HTTP/1.1 200 OK\r\n") == 2
            assert came.index(b"POST /p one") < came.index(b"POST /q?a=%2F two")
            assert b"x-a: 1\r\n" in came
            assert b"date: " in came
        await eventually(lambda: not server.connections)


async def test_a_body_in_chunks() -> None:
    async with serving() as (_, port, _):
        head = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        came = await ask(port, head, b"3\r\nabc\r\n", b"3;x=y\r\ndef\r\n0\r\n", b"T: 1\r\n\r\n")
        assert came.endswith(b"POST / abcdef")


async def test_head_has_the_length_and_no_body() -> None:
    async with serving() as (_, port, _):
        came = await ask(port, b"HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n" + get("/next", CLOSE))
        first, _, rest = came.partition(b"\r\n\r\n")
        assert b"content-length: 8\r\n" in first + b"\r\n"
        assert rest.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_that_have_no_body_have_none_on_the_wire(status: int) -> None:
    class Pieces:
        last = late = False
        closed = 0

        async def read(self) -> bytes | None:
            raise AssertionError("nobody may have this body")

        def silence(self) -> bytes:
            return b""

        def cut(self, failure: Failure) -> bytes:
            return b""

        def close(self) -> None:
            self.closed += 1

    pieces = Pieces()

    async def bare(request: Request, body: bytes) -> Response:
        if request.path == "/next":
            return Response(b"next")
        if request.path == "/streamed":
            return Response(status=status, pieces=pieces)
        return Response(b"never", status=status)

    async with serving(bare) as (_, port, _):
        came = await ask(port, get("/whole") + get("/streamed") + get("/next", CLOSE))
        heads = came.split(b"\r\n\r\n")
        assert [head.partition(b"\r\n")[0][9:12] for head in heads[:3]] == [b"%d" % status] * 2 + [b"200"]
        assert b"transfer-encoding" not in came
        assert b"never" not in came
        assert all(b"content-length" not in head for head in heads[:2])
        assert heads[3] == b"next"
        assert pieces.closed == 1


async def test_old_clients() -> None:
    async with serving() as (_, port, _):
        assert b"connection: close\r\n" in await ask(port, b"GET / HTTP/1.0\r\n\r\n")
        client = (await Client.to(port)).say(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert b"connection: keep-alive\r\n" in await client.until(b"GET /a ")
        assert b"connection: close\r\n" in await client.say(b"GET /b HTTP/1.0\r\n\r\n").end()
        # It never hears of 100 Continue, which it would not understand.
        late = (await Client.to(port)).say(b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert b"100 Continue" not in await late.say(b"ok").end()


async def test_who_waits_for_100_continue_gets_it_or_a_refusal() -> None:
    async with serving(key="right", most=10) as (_, port, _):
        head = b"POST / HTTP/1.1\r\nHost: h\r\nX-Key: %b\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
        client = (await Client.to(port)).say(head % (b"right", 2))
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.say(b"ok").until(b"POST / ok")
        client.leave()
        assert (await ask(port, head % (b"wrong", 2))).startswith(b"HTTP/1.1 401 ")
        assert (await ask(port, head % (b"right", 11))).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "malformed",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET @evil:80/x HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET http://evil/x HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /a/../b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: a\nContent-Length: 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX",
    ],
)
async def test_what_is_ambiguous_is_refused_and_ends_the_connection(malformed: bytes) -> None:
    async with serving() as (_, port, service):
        came = await ask(port, malformed + post(b"smuggled"))
        assert came.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"connection: close\r\n" in came
        assert came.count(b"HTTP/1.1") == 1
        assert not any("/p" in head for head in service.heads)


async def test_a_head_that_is_too_long_says_so() -> None:
    async with serving() as (_, port, _):
        assert (await ask(port, get("/", "X: " + "x" * 70_000))).startswith(b"HTTP/1.1 431 ")
        assert (await ask(port, get("/" + "x" * 9_000))).startswith(b"HTTP/1.1 414 ")


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_no_bytes_break_the_server(data: bytes) -> None:
    async def main() -> None:
        async with serving() as (_, port, _):
            client = (await Client.to(port)).say(data + b"\r\n\r\n")
            client.writer.write_eof()
            await client.end()
            assert (await ask(port, post(b"fine", CLOSE))).endswith(b"POST /p fine")

    asyncio.run(main())


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused_readably(chunked: bool) -> None:
    async with serving(most=1_000) as (_, port, _):
        assert b"200 OK" in await ask(port, post(b"x" * 1_000, CLOSE))
        big = b"x" * 3_000_000
        how = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(big) if chunked else b"Content-Length: 3000000\r\n\r\n"
        # A client that reads only after it has sent everything gets the refusal, too.
        client = (await Client.to(port)).say(b"POST / HTTP/1.1\r\nHost: h\r\n" + how + big)
        async with asyncio.timeout(10):
            await client.writer.drain()
        came = await client.end()
        assert came.startswith(b"HTTP/1.1 413 ")
        assert b"0.001 MB" in came


async def test_who_is_not_let_in_is_told_before_the_body_comes() -> None:
    async with serving(key="right", most=1 << 30) as (server, port, service):
        client = (await Client.to(port)).say(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 31000000\r\n\r\n")
        assert (await client.until(b"no")).startswith(b"HTTP/1.1 401 ")
        client.say(b"a" * 1_000_000)
        assert b"connection: close\r\n" in await client.end()
        assert server.usage.buffered == 0
        assert service.under_way == 0


async def test_behind_a_refusal_the_connection_goes_on_where_the_body_was_short() -> None:
    async with serving(key="right") as (_, port, _):
        came = await ask(port, post(b"short") + post(b"more", "X-Key: right", CLOSE))
        assert came.index(b"HTTP/1.1 401 ") < came.index(b"HTTP/1.1 200 OK")
        assert came.endswith(b"POST /p more")


async def test_many_refusals_in_a_row_are_each_told() -> None:
    async with serving(key="right") as (_, port, _):
        came = await ask(port, get() * 2_000 + get("/p", CLOSE))
        assert came.count(b"HTTP/1.1 401 ") == 2_001


@pytest.mark.parametrize("where", ["waiting", "writing"])
async def test_a_client_that_leaves_cancels_its_request(where: str) -> None:
    ended, begun = asyncio.Event(), asyncio.Event()

    class Endless:
        last = late = False

        async def read(self) -> bytes:
            begun.set()
            return b"x" * 10_000

        def silence(self) -> bytes:
            return b""

        def cut(self, failure: Failure) -> bytes:
            return b""

        def close(self) -> None:
            ended.set()

    async def slow(request: Request, body: bytes) -> Response:
        if where == "writing":
            return Response(pieces=Endless())
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError("nobody sets it")

    async with serving(slow) as (server, port, service):
        client = (await Client.to(port)).say(post(b""))
        await begun.wait()
        client.leave()
        async with asyncio.timeout(10):
            await ended.wait()
        await eventually(lambda: not server.connections and service.under_way == 0)


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
async def test_a_client_that_has_said_all_may_close_its_side(version: str) -> None:
    go = asyncio.Event()

    async def later(request: Request, body: bytes) -> Response:
        await go.wait()
        return Response(b"late " + body)

    async with serving(later) as (_, port, _):
        client = (await Client.to(port)).say(
            f"POST / {version}\r\nHost: h\r\nContent-Length: 2\r\n\r\nok".encode(), b""
        )
        client.writer.write_eof()
        await asyncio.sleep(0.05)  # the server has seen it
        go.set()
        assert (await client.end()).endswith(b"late ok")


async def test_all_that_a_client_pipelined_before_it_closed_its_side_is_answered() -> None:
    async with serving() as (_, port, _):
        client = (await Client.to(port)).say(post(b"1") + post(b"2") + post(b"3"))
        client.writer.write_eof()
        came = await client.end()
        assert [b"POST /p %d" % number in came for number in (1, 2, 3)] == [True] * 3


async def test_a_client_that_closes_altogether_is_found_out_although_nothing_is_sent() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(request: Request, body: bytes) -> Response:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError("nobody sets it")

    async with serving(slow) as (_, port, _):
        client = (await Client.to(port)).say(post(b""))
        await begun.wait()
        client.writer.close()  # no reset: as clients do that read everything they got
        async with asyncio.timeout(10):
            await ended.wait()


async def test_what_is_pipelined_waits_without_being_read() -> None:
    go = asyncio.Event()

    async def wait(request: Request, body: bytes) -> Response:
        await go.wait()
        return Response(request.path.encode())

    async with serving(wait) as (server, port, _):
        client = (await Client.to(port)).say(get("/first"), get("/next", "X: " + "x" * 10_000) * 300)
        await eventually(lambda: server.connections)
        (connection,) = server.connections
        await eventually(lambda: connection.behind > 1 << 16)
        await asyncio.sleep(0.05)
        assert connection.behind < 1 << 20  # of three megabytes
        go.set()
        await client.until(b"HTTP/1.1 200 OK", 301)
        client.leave()


async def test_a_handler_that_breaks_is_a_500() -> None:
    async def broken(request: Request, body: bytes) -> Response:
        raise KeyError("secret")

    async with serving(broken) as (_, port, service):
        came = await ask(port, post(b""))
        assert came.startswith(b"HTTP/1.1 500 ")
        assert b"secret" not in came
        assert service.under_way == 0


async def test_a_header_cannot_break_out() -> None:
    async def split(request: Request, body: bytes) -> Response:
        return Response(headers={"x-a": "1\r\nset-cookie: a=b"})

    async with serving(split) as (_, port, _):
        came = await ask(port, post(b""))
        assert came.startswith(b"HTTP/1.1 500 ")
        assert b"set-cookie" not in came


async def test_it_works_on_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        async with serving(echo, most=1 << 22) as (server, port, _):
            client = (await Client.to(port)).say(post(b"a" * 3_000_000) + get("/x"))
            client.writer.write_eof()
            assert (await client.end()).endswith(b"GET /x ")
            await eventually(lambda: not server.connections)

    await asyncio.to_thread(uvloop.run, main())


async def test_who_left_is_found_out_on_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        await test_a_client_that_closes_altogether_is_found_out_although_nothing_is_sent()
        await test_a_client_that_has_said_all_may_close_its_side("HTTP/1.1")

    await asyncio.to_thread(uvloop.run, main())
