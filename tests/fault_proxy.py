"""A proxy before a real server, that hangs, cuts and refuses on command: what a network or a stopped host does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class FaultProxy:
    """Listens on a port of the loopback interface. `host` may be the path of a Unix socket, without a port."""

    def __init__(self, host: str, port: int | None) -> None:
        self._target = (host, port)
        self._through = asyncio.Event()
        self._through.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def listen(self) -> None:
        """Takes connections, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def hang(self) -> None:
        """Nothing gets through any more; connections stay, and new ones are taken: a stopped process."""
        self._through.clear()

    def go_on(self) -> None:
        """What waits gets through."""
        self._through.set()

    def cut(self) -> None:
        """Ends all connections."""
        for writer in list(self._open):
            writer.transport.abort()

    async def down(self) -> None:
        """Ends all connections and refuses new ones."""
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._target
        try:
            if port is None:
                far_reader, far_writer = await asyncio.open_unix_connection(host)
            else:
                far_reader, far_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, far_writer}
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        except asyncio.CancelledError:  # the loop ends; asyncio logs a cancelled callback as an error
            return
        finally:
            self._open -= {writer, far_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._through.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def proxied(host: str, port: int | None) -> AsyncIterator[FaultProxy]:
    """A proxy that listens."""
    proxy = FaultProxy(host, port)
    await proxy.listen()
    try:
        yield proxy
    finally:
        proxy.go_on()
        await proxy.down()
