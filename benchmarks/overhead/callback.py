"""The floor of the interpreter: a proxy of plain callbacks, uvloop and a C parser, that passes bytes on.

`python -m benchmarks.overhead.callback UPSTREAM_PORT` prints its port. Each client's connection has one of its own to
the upstream. Requests are parsed to know where they end; answers go back as they come.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import httptools
import uvloop


class Upstream(asyncio.Protocol):
    """The far side of one client."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.client.connected(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self.client.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.client.transport.close()


class Client(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.upstream: asyncio.Transport | None = None
        self.waiting: list[bytes] = []
        self.parser = httptools.HttpRequestParser(self)
        self.requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        loop = asyncio.get_running_loop()
        self.task = loop.create_task(loop.create_connection(lambda: Upstream(self), "127.0.0.1", self.port))

    def connected(self, transport: asyncio.Transport) -> None:
        """The far side is there."""
        self.upstream = transport
        transport.write(b"".join(self.waiting))
        self.waiting.clear()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)
        if self.upstream is None:
            self.waiting.append(data)
        else:
            self.upstream.write(data)

    def on_message_complete(self) -> None:
        """A request has come whole."""
        self.requests += 1

    def connection_lost(self, exc: Exception | None) -> None:
        if self.upstream is not None:
            self.upstream.close()


async def main() -> None:
    port = int(sys.argv[1])
    server = await asyncio.get_running_loop().create_server(lambda: Client(port), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
