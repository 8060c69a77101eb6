"""The pooled client: it queues and warns beyond its limit, follows it, reuses and retires connections."""

import asyncio

import pytest
import structlog
from aiohttp import web

from hapenny.backends.pool import CONTROL_CONNECTIONS, Pool
from hapenny.backends.url import address
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from tests.backends.servers import serving


class Steps(RealClock):
    """A real clock whose `now` can be moved on."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class Counting:
    """A server that counts connections and holds answers back until told."""

    def __init__(self) -> None:
        self.ports: set[object] = set()
        self.most = 0
        self.now = 0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.ports.add(request.transport.get_extra_info("peername"))
        self.now += 1
        self.most = max(self.most, self.now)
        await self.go.wait()
        self.now -= 1
        return web.Response(body=b"ok")


async def get(pool: Pool, base: str) -> bytes:
    return await (await pool.send("GET", address(base + "/"), {}, b"")).whole()


async def test_callers_beyond_the_limit_wait_their_turn_with_one_warning() -> None:
    server, pool = Counting(), Pool(RealClock(), connections=2)
    async with serving(server) as base:
        server.go.clear()
        with structlog.testing.capture_logs() as logs:
            tasks = [asyncio.create_task(get(pool, base)) for _ in range(6)]
            await asyncio.sleep(0.1)
            assert (server.most, pool.busy, pool.queued) == (2, 2, 4)
            pool.limit = 4
            await asyncio.sleep(0.1)
            assert (server.most, pool.busy) == (4, 4)
            server.go.set()
            assert await asyncio.gather(*tasks) == [b"ok"] * 6
        assert [entry["event"] for entry in logs] == ["calls wait for a connection"]
        assert pool.busy == 0
        await pool.aclose()


async def test_a_caller_that_leaves_the_queue_takes_no_place() -> None:
    server, pool = Counting(), Pool(RealClock(), connections=1)
    async with serving(server) as base:
        server.go.clear()
        first = asyncio.create_task(get(pool, base))
        await asyncio.sleep(0.05)
        waiting = [asyncio.create_task(get(pool, base)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        server.go.set()
        done = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert isinstance(done[1], asyncio.CancelledError)
        assert [done[0], *done[2:]] == [b"ok"] * 3
        assert pool.busy == 0
        await pool.aclose()


async def test_connections_are_reused_and_retired() -> None:
    clock = Steps()
    server, pool = Counting(), Pool(clock, lifetime_s=60)
    async with serving(server) as base:
        for _ in range(5):
            await get(pool, base)
        assert len(server.ports) == 1
        clock.ahead = 61
        await get(pool, base)  # its connection is used once more and then closed
        await get(pool, base)
        assert len(server.ports) == 2
        await pool.aclose()


async def test_an_answer_left_unread_costs_its_connection_only() -> None:
    server, pool = Counting(), Pool(RealClock())
    async with serving(server) as base:
        lease = await pool.send("GET", address(base + "/"), {}, b"")
        lease.close()
        lease.close()
        assert pool.busy == 0
        assert await get(pool, base) == b"ok"
        await pool.aclose()


async def test_an_answer_that_is_too_long_is_refused() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 100_000)

    pool = Pool(RealClock())
    async with serving(answer) as base:
        with pytest.raises(Failure, match="longer than"):
            await (await pool.send("GET", address(base + "/"), {}, b"")).whole(1000)
        assert pool.busy == 0
        await pool.aclose()


async def test_closing_refuses_who_waits() -> None:
    server, pool = Counting(), Pool(RealClock(), connections=1)
    async with serving(server) as base:
        server.go.clear()
        tasks = [asyncio.create_task(get(pool, base)) for _ in range(2)]
        await asyncio.sleep(0.05)
        await pool.aclose()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, Failure) for result in results)


def test_control_pools_are_small() -> None:
    assert 10 <= CONTROL_CONNECTIONS <= 20
    assert Pool.control(RealClock()).limit == CONTROL_CONNECTIONS


async def test_paths_are_sent_as_they_are() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text=request.raw_path)

    pool = Pool(RealClock())
    async with serving(answer) as base:
        lease = await pool.send("POST", address(base + "/model/arn%3Aaws%2Fx%20y/converse?a=%2F&b"), {}, b"{}")
        assert await lease.whole() == b"/model/arn%3Aaws%2Fx%20y/converse?a=%2F&b"
        await pool.aclose()


async def test_a_kept_connection_closed_for_idleness_costs_nothing() -> None:
    asked: list[str] = []

    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while line := await reader.readline():
            while await reader.readline() not in (b"\r\n", b""):
                pass
            number += 1
            asked.append(line.split()[1].decode() + str(number))
            if number == 2 or b"bad" in line:  # gone while the request is under way, without a byte
                break
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(hello, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    pool = Pool(RealClock())
    for _ in range(3):
        assert await (await pool.send("GET", address(base + "/a"), {}, b"")).whole() == b"ok"
    assert asked == ["/a1", "/a2", "/a1", "/a2", "/a1"]
    await pool.aclose()
    fresh = Pool(RealClock())
    asked.clear()
    with pytest.raises(Failure) as error:  # on a new connection it is an answer of its own: never sent twice
        await fresh.send("GET", address(base + "/bad"), {}, b"")
    assert error.value.kind == "upstream"
    assert asked == ["/bad1"]
    assert fresh.busy == 0
    await fresh.aclose()
    server.close()
