"""The pooled client: it queues and warns beyond its limit, follows it, reuses and retires connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from hapenny.backends.pool import CONTROL_CONNECTIONS, Pool
from hapenny.backends.url import address
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.core.permit import PERMIT, Withheld
from tests.backends.servers import serving
from tests.log_lines import log_lines


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
        self.arrived = 0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.ports.add(request.transport.get_extra_info("peername"))
        self.now += 1
        self.arrived += 1
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
        with log_lines() as logs:
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


class Dropping:
    """A server that answers the first request of a connection, and drops the second without a byte: it may have worked
    on it."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while line := await reader.readline():
            while await reader.readline() not in (b"\r\n", b""):
                pass
            number += 1
            self.taken.append(f"{line.split()[0].decode()} {number}")
            if number == 2 or b"bad" in line:
                break
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()


@asynccontextmanager
async def dropping() -> AsyncIterator[tuple[Dropping, Pool, str]]:
    made, pool = Dropping(), Pool(RealClock())
    server = await asyncio.start_server(made, "127.0.0.1", 0)
    yield made, pool, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    assert pool.busy == 0
    await pool.aclose()
    server.close()


async def test_what_does_no_harm_twice_is_sent_again_where_a_kept_connection_broke() -> None:
    async with dropping() as (server, pool, base):
        for _ in range(3):
            assert await (await pool.send("GET", address(base + "/a"), {}, b"")).whole() == b"ok"
        assert server.taken == ["GET 1", "GET 2", "GET 1", "GET 2", "GET 1"]
    async with dropping() as (server, pool, base):
        for _ in range(2):
            answer = await pool.send("POST", address(base + "/a"), {"idempotency-key": "k"}, b"")
            assert await answer.whole() == b"ok"
        assert server.taken == ["POST 1", "POST 2", "POST 1"]


async def test_a_post_that_the_provider_may_have_taken_is_never_sent_twice() -> None:
    async with dropping() as (server, pool, base):
        assert await (await pool.send("POST", address(base + "/a"), {}, b"")).whole() == b"ok"
        with pytest.raises(Failure) as error:
            await pool.send("POST", address(base + "/a"), {}, b"")
        assert error.value.kind == "upstream"
        assert error.value.retryable  # whoever keeps the books may try again, as a call of its own
        assert server.taken == ["POST 1", "POST 2"]


async def test_on_a_new_connection_nothing_is_sent_twice() -> None:
    async with dropping() as (server, pool, base):
        with pytest.raises(Failure) as error:
            await pool.send("GET", address(base + "/bad"), {}, b"")
        assert error.value.kind == "upstream"
        assert server.taken == ["GET 1"]


async def test_a_connection_is_not_used_to_the_last_second_of_what_its_server_keeps_it() -> None:
    clock = Steps()

    async def answer(request: web.Request) -> web.StreamResponse:
        ports.add(request.transport and request.transport.get_extra_info("peername"))
        return web.Response(body=b"ok", headers={"keep-alive": "timeout=5, max=100"})

    ports: set[object] = set()
    pool = Pool(clock)
    async with serving(answer) as base:
        await get(pool, base)
        clock.ahead = 3.5
        await get(pool, base)
        assert len(ports) == 1
        clock.ahead = 3.5 + 4.5
        await get(pool, base)
        assert len(ports) == 2
        await pool.aclose()


async def test_an_answer_that_announces_too_much_is_not_read() -> None:
    sent: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 50_000_000
        await response.prepare(request)
        for _ in range(50):
            await response.write(b"x" * 1_000_000)
            sent.append(1)
        return response

    pool = Pool(RealClock(), answer_bytes=1_000_000)
    async with serving(answer) as base:
        with pytest.raises(Failure, match="longer than 1 MB") as error:
            await (await pool.send("GET", address(base + "/"), {}, b"")).whole()
        assert not error.value.retryable
        assert len(sent) < 50
        await pool.aclose()


async def test_of_an_error_the_beginning_is_enough() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, body=b"x" * 5_000_000)

    pool = Pool(RealClock())
    async with serving(answer) as base:
        lease = await pool.send("GET", address(base + "/"), {}, b"")
        assert await lease.beginning(1_000) == b"x" * 1_000
        assert pool.busy == 0
        await pool.aclose()


async def test_a_request_whose_sender_may_no_longer_send_does_not_leave() -> None:
    server, pool = Counting(), Pool(RealClock())
    async with serving(server) as base:
        assert await get(pool, base) == b"ok"
        arrived, allowed = server.arrived, [True]
        token = PERMIT.set(lambda: allowed.pop(0))
        try:
            assert await get(pool, base) == b"ok"
            allowed.append(False)
            with pytest.raises(Withheld):
                await get(pool, base)
        finally:
            PERMIT.reset(token)
        assert server.arrived == arrived + 1
        assert pool.busy == 0
        await pool.aclose()
