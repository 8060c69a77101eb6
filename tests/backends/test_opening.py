"""What opening a connection took is known, and told to the call that paid for it."""

import asyncio

from hapenny.backends.opening import OPENED, Opener
from hapenny.backends.pool import Pool
from hapenny.backends.url import address
from hapenny.core.clock import RealClock


async def answering():
    async def answer(reader, writer):
        while line := await reader.readline():
            if line == b"\r\n":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def test_a_new_connection_is_told_and_a_kept_one_is_not():
    server, port = await answering()
    pool = Pool(RealClock())
    seen = []
    for _ in range(3):
        opened = []
        watch = OPENED.set(opened)
        lease = await pool.send("GET", address(f"http://localhost:{port}/x"), {}, b"")
        assert await lease.whole() == b"ok"
        OPENED.reset(watch)
        seen.append(opened)
    assert [len(each) for each in seen] == [1, 0, 0]
    name, connect, tls = seen[0][0]
    assert name > 0
    assert connect > 0
    assert tls == 0
    health = pool.health()
    assert (health["opened"], health["reused"], health["idle"], health["busy"]) == (1, 2, 1, 0)
    assert health["connect_s"] == connect
    await pool.aclose()
    server.close()


async def test_a_name_is_looked_up_once_for_several_connections(monkeypatch):
    server, port = await answering()
    loop = asyncio.get_running_loop()
    looked, real = [], loop.getaddrinfo

    async def counted(host, *arguments, **more):
        looked.append(host)
        return await real(host, *arguments, **more)

    monkeypatch.setattr(loop, "getaddrinfo", counted)
    opener = Opener(RealClock())
    connections = [await opener.open("localhost", port, None) for _ in range(3)]
    assert looked == ["localhost"]
    numbered = await opener.open("127.0.0.1", port, None)
    assert looked == ["localhost"]
    for connection in (*connections, numbered):
        connection.close()
    server.close()


async def test_a_name_that_leads_nowhere_any_more_is_looked_up_again():
    server, port = await answering()
    opener = Opener(RealClock())
    (await opener.open("localhost", port, None)).close()
    server.close()
    await server.wait_closed()
    for _ in range(2):
        try:
            await opener.open("localhost", port, None)
        except OSError:
            continue
        raise AssertionError("nothing listens there")
    assert opener.count == 1
