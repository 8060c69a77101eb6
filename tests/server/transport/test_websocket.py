"""The WebSocket transport: heartbeats, slow readers, floods, fragments."""

import asyncio
import contextlib

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.utils import accept_key

from hapenny.server.transport.messages import Response
from tests.server.transport.house import serving
from tests.settling import eventually


class Talk:
    """Says back what it hears, until told otherwise."""

    busy = False

    def __init__(self, act):
        self.act = act
        self.ended = False

    async def talk(self, socket):
        try:
            await self.act(socket)
        finally:
            self.ended = True


async def parrot(socket):
    while (text := await socket.receive()) is not None:
        await socket.send(text)


@contextlib.asynccontextmanager
async def talking(act=parrot, **limits):
    """(URL, server, talks)."""
    talks = []

    async def answers(request, body):
        talks.append(Talk(act))
        headers = {
            "upgrade": "websocket", "connection": "Upgrade",
            "sec-websocket-accept": accept_key(request.headers["sec-websocket-key"]),
        }  # fmt: skip
        return Response(status=101, headers=headers, talk=talks[-1])

    async with serving(answers, **{"linger_s": 0.02, **limits}) as (server, port, _):
        yield f"ws://127.0.0.1:{port}/", server, talks


async def test_messages_whole_and_in_fragments_come_back():
    async with talking() as (url, server, talks), connect(url) as socket:
        for text in ("", "héllo", "x" * 300_000):
            await socket.send(text)
            assert await socket.recv() == text
        await socket.send(["a ", "b ", "c"])
        assert await socket.recv() == "a b c"
        assert server.usage.buffered == 0
        await socket.close()
        await eventually(lambda: talks[0].ended and not server.connections and not server.usage.connections)


async def test_a_client_that_does_not_answer_a_ping_is_let_go():
    async with talking(ping_s=0.05) as (url, _, talks):
        async with connect(url, ping_interval=None) as alive:
            await asyncio.sleep(0.3)
            await alive.send("still here")
            assert await alive.recv() == "still here"
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":")[-1].strip("/")))
        writer.write(
            b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                while await reader.read(1_000):
                    pass
        writer.close()
        await eventually(lambda: all(talk.ended for talk in talks))


@pytest.mark.parametrize(("limit", "reason"), [("socket_idle_s", "idle"), ("socket_s", "open")])
async def test_connections_that_say_nothing_or_last_too_long_close(limit, reason):
    async with talking(**{limit: 0.05}) as (url, _, talks), connect(url) as socket:
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            await socket.recv()
        assert (closed.value.rcvd.code, reason in closed.value.rcvd.reason) == (1001, True)
        await eventually(lambda: talks[0].ended)


async def test_a_client_that_takes_nothing_is_let_go():
    async def floods(socket):
        while True:
            await socket.send("x" * 100_000)

    async with talking(floods, stalled_s=0.05) as (url, server, talks), connect(url, max_queue=1):
        await eventually(lambda: talks and talks[0].ended and not server.connections)


async def test_a_flood_of_pings_ends_it():
    async with talking() as (url, _, talks):
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            async with connect(url) as socket:
                for _ in range(1_000):
                    await socket.ping()
                await socket.recv()
        await eventually(lambda: talks[0].ended)


async def test_messages_nobody_reads_stop_the_reading():
    gate = asyncio.Event()

    async def waits(socket):
        await gate.wait()
        await parrot(socket)

    async with talking(waits) as (url, server, _), connect(url) as socket:
        sending = asyncio.ensure_future(asyncio.wait_for(send_many(socket, 400), 10))
        await eventually(lambda: server.usage.buffered >= 16 * 50_000)
        assert server.usage.buffered < 80 * 50_000
        gate.set()
        for _ in range(400):
            await socket.recv()
        await sending
        assert server.usage.buffered == 0


async def send_many(socket, count):
    for _ in range(count):
        await socket.send("x" * 50_000)


async def test_what_broke_is_closed_with_a_code():
    async def breaks(socket):
        raise RuntimeError

    async with talking(breaks) as (url, _, _), connect(url) as socket:
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd.code == 1011
