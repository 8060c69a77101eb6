"""The server's bounds: connections in all and from one address, bytes in buffers, time for heads and bodies."""

import asyncio

import pytest

from hapenny.server.transport.limits import Limits, Usage
from hapenny.server.transport.messages import Request, Response
from tests.log_lines import log_lines
from tests.server.transport.house import CLOSE, Client, ask, get, post, serving
from tests.settling import eventually


async def test_refusing_closes_idle_connections_and_lets_answers_end() -> None:
    go = asyncio.Event()

    async def wait(request: Request, body: bytes) -> Response:
        await go.wait()
        return Response(b"done")

    async with serving(wait) as (server, port, service):
        idle, busy = await Client.to(port), (await Client.to(port)).say(post(b""))
        await eventually(lambda: service.under_way)
        server.refuse()
        assert await idle.end() == b""
        go.set()
        came = await busy.end()
        assert came.endswith(b"done")
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"", b""),
        (b"POST / HTTP/1.1\r\nHost:", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc", b"HTTP/1.1 408 "),
    ],
)
async def test_connections_that_say_nothing_more_end(said: bytes, status: bytes) -> None:
    async with serving(linger_s=0.01, head_s=0.05, body_s=0.05, keep_s=0.05) as (server, port, _):
        assert (await ask(port, said)).startswith(status)
        await eventually(lambda: not server.connections)


@pytest.mark.parametrize("where", ["head", "body"])
async def test_a_byte_now_and_then_does_not_keep_a_connection(where: str) -> None:
    first = (
        b"GET / HTTP/1.1\r\nX: " if where == "head" else b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999\r\n\r\n"
    )
    async with serving(linger_s=0.01, head_s=0.2, body_s=0.2) as (server, port, _):
        client = (await Client.to(port)).say(first)
        await eventually(lambda: server.connections)

        async def drip() -> None:
            while True:
                client.say(b"y")
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        assert (await client.end()).startswith(b"HTTP/1.1 408 ")
        dripping.cancel()


async def test_beyond_the_bound_whoever_only_waits_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    from hapenny.server.transport import listener

    monkeypatch.setattr(listener, "SPARED_S", 0.0)
    async with serving(connections=3) as (server, port, _):
        slow = [(await Client.to(port)).say(b"GET / HTTP/1.1\r\nX: ") for _ in range(3)]
        await eventually(lambda: len(server.waiting) == 3)
        assert b"200 OK" in await ask(port, get("/", CLOSE))
        assert await slow[0].end() == b""  # the one that has waited longest
        for client in slow[1:]:
            client.leave()


async def test_beyond_the_bound_newcomers_are_told_and_the_log_says_it_once() -> None:
    go = asyncio.Event()

    async def wait(request: Request, body: bytes) -> Response:
        await go.wait()
        return Response(b"done")

    async with serving(wait, connections=2) as (_, port, service):
        busy = [(await Client.to(port)).say(get("/", CLOSE)) for _ in range(2)]
        await eventually(lambda: service.under_way == 2)
        with log_lines() as logs:
            for _ in range(3):
                came = await ask(port, get())
                assert came == b"" or came.startswith(b"HTTP/1.1 503 ")
        assert [entry["event"] for entry in logs] == ["connections are refused"]
        go.set()
        assert all([(await client.end()).endswith(b"done") for client in busy])
        assert b"200 OK" in await ask(port, get("/", CLOSE))


def test_addresses_have_a_bound_of_their_own() -> None:
    usage = Usage(Limits(connections=3, per_address=2))
    for _ in range(2):
        usage.enter("10.0.0.1")
    assert usage.full("10.0.0.1")
    assert not usage.full("10.0.0.2")
    usage.enter("10.0.0.2")
    assert usage.full("10.0.0.3")
    usage.leave("10.0.0.1")
    assert not usage.full("10.0.0.1")
    assert dict(usage.addresses) == {"10.0.0.1": 1, "10.0.0.2": 1}


async def test_bodies_together_are_bounded_until_they_are_answered() -> None:
    go = asyncio.Event()

    async def wait(request: Request, body: bytes) -> Response:
        await go.wait()
        return Response(b"done")

    async with serving(wait, most=1_000, buffered_bytes=1_500) as (server, port, service):
        first = (await Client.to(port)).say(post(b"x" * 1_000, CLOSE))
        await eventually(lambda: service.under_way)
        second = await ask(port, post(b"x" * 800, CLOSE))
        assert second.startswith(b"HTTP/1.1 503 ")
        third = (await Client.to(port)).say(post(b"x" * 400, CLOSE))
        await eventually(lambda: server.usage.buffered == 1_400)
        go.set()
        assert (await first.end()).endswith(b"done")
        assert (await third.end()).endswith(b"done")
        await eventually(lambda: server.usage.buffered == 0)


async def test_a_client_that_leaves_midway_leaves_no_bytes_behind() -> None:
    async with serving(most=1_000) as (server, port, _):
        client = (await Client.to(port)).say(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n" + b"x" * 500)
        await eventually(lambda: server.usage.buffered == 500)
        client.leave()
        await eventually(lambda: server.usage.buffered == 0 and not server.connections)
