"""More calls than connections: the rest waits."""

import asyncio

from hapenny.backends.pool import Pool
from hapenny.backends.url import address
from hapenny.core.clock import RealClock
from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.6",
    real=True,
    title="Connection-pool exhaustion",
    happens="A burst needs more connections to the provider than the pool has.",
    does="Calls beyond the limit wait for a connection in turn, with one warning in the log; connections are "
    "reused, and a caller that leaves takes no place.",
    sees="`hapenny profile --url URL` (calls that waited), the warning “calls wait for a connection”.",
    act="Raise `connections` of the backend if the provider allows it; HTTP/2 or a second endpoint else.",
    check="hapenny profile -c hapenny.yaml --since 24h",
    proof="`hapenny profile --url URL` counts no more calls that waited.",
    naive="A connection for each call, as many as there are calls.",
)


async def run(scene: Scene) -> None:
    ports: set[object] = set()
    most = now = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most, now
        ports.add(writer.get_extra_info("peername"))
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.02)
            now -= 1
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    pool = Pool(RealClock(), connections=100 if scene.broken else 2)

    async def one() -> bytes:
        return await (await pool.send("GET", address(url), {}, b"")).whole()

    leaving = asyncio.create_task(one())
    answers = asyncio.gather(*(one() for _ in range(12)))
    leaving.cancel()
    assert await answers == [b"ok"] * 12
    assert most <= 2
    assert len(ports) <= 3
    assert pool.busy == 0
    await pool.aclose()
    server.close()
    await asyncio.sleep(0.05)  # its connections end, too
