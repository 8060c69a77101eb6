"""An HTTP/2 client of few words, over the state machine of `h2`."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes


class Patient(H2Connection):
    """Goes on with streams under way after a GOAWAY (RFC 9113 §6.8), which `h2` does not."""

    def _receive_goaway_frame(self, frame: Any) -> Any:
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        return [], [event]


class Client:
    """A connection. Answers are kept by stream: `heads`, `bodies`, `ended`, `resets`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, window: int | None) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = Patient(H2Configuration(client_side=True, header_encoding="latin-1"))
        self.heads: dict[int, dict[str, str]] = {}
        self.informed: list[str] = []
        self.bodies: defaultdict[int, bytes] = defaultdict(bytes)
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.farewell: int | None = None
        self.acknowledges = window is None
        self.closed = False
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()

    @classmethod
    async def to(cls, port: int, *, window: int | None = None, tls: ssl.SSLContext | None = None) -> Client:
        """Connects; `window`: of each stream, which then is not opened again by itself."""
        host = "localhost" if tls is not None else "127.0.0.1"
        reader, writer = await asyncio.open_connection(host, port, ssl=tls)
        return cls(reader, writer, window)

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def ask(self, method: str = "GET", path: str = "/p", *more: tuple[str, str], end: bool = True, **rest: Any) -> int:
        id = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "http"), (":authority", rest.get("host", "h")), (":path", path)]
        self.h2.send_headers(id, [*head, *more], end_stream=end)
        self.flush()
        return id

    def say(self, id: int, data: bytes, *, end: bool = True) -> None:
        while data or end:
            piece, data = data[:16_384], data[16_384:]
            last = end and not data
            self.h2.send_data(id, piece, end_stream=last)
            if last:
                break
        self.flush()

    def post(self, body: bytes, *more: tuple[str, str], path: str = "/p") -> int:
        id = self.ask("POST", path, ("content-length", str(len(body))), *more, end=False)
        self.say(id, body)
        return id

    async def once(self) -> None:
        """Reads what comes next."""
        data = await self.reader.read(65_536)
        if not data:
            self.closed = True
            return
        for event in self.h2.receive_data(data):
            if isinstance(event, ResponseReceived):
                self.heads[event.stream_id] = dict(event.headers)
            elif isinstance(event, InformationalResponseReceived):
                self.informed.append(dict(event.headers)[":status"])
            elif isinstance(event, DataReceived):
                self.bodies[event.stream_id] += event.data
                if self.acknowledges:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, StreamReset):
                self.resets[event.stream_id] = event.error_code
            elif isinstance(event, ConnectionTerminated):
                self.farewell = event.error_code
        self.flush()

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(10):
            while not holds() and not self.closed:
                await self.once()
        assert holds(), "the connection ended before"

    async def answer(self, id: int) -> tuple[str, bytes]:
        """Status and body of a stream."""
        await self.until(lambda: id in self.ended or id in self.resets)
        assert id in self.ended, f"reset with {self.resets.get(id)}"
        return self.heads[id][":status"], self.bodies[id]

    async def end(self) -> None:
        """Until the server closes."""
        async with asyncio.timeout(10):
            while not self.closed:
                try:
                    await self.once()
                except ConnectionError:
                    self.closed = True
        self.writer.close()

    def leave(self) -> None:
        self.writer.transport.abort()
