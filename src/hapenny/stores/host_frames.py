"""The frames that workers of one host and the process that watches over them exchange over a Unix socket.

A frame is four bytes of length and one msgpack array: `[number, name, arguments]` asks, `[number, true, value]`
answers, `[number, false, reason]` refuses. Number 0 wants no answer. Both sides may ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec

PATIENCE_S = 0.004
"""How long something may wait that nobody waits for."""
MOST_BYTES = 8_000_000
"""The longest frame; whoever sends a longer one is cut off."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode

Answers: TypeAlias = Callable[["FrameProtocol", str, list[Any]], Any]
"""Answers what the other side asks: a value, or something to await for one."""


class FrameProtocol(asyncio.Protocol):
    """One connection.

    Args:
        answers: what the other side may ask.
        gone: is called once when the connection has ended.
    """

    def __init__(self, answers: Answers, gone: Callable[[FrameProtocol], None]) -> None:
        self._answers = answers
        self._gone = gone
        self._buffer = bytearray()
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._out: list[bytes] = []
        self._flushing: asyncio.Handle | None = None
        self._soon = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport | None = None

    @property
    def alive(self) -> bool:
        """Whether the other side is there."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, name: str, *arguments: Any) -> asyncio.Future[Any]:
        """The other side's answer. Its future raises `ConnectionError` where there is none."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self.alive:
            future.set_exception(ConnectionError("the other side is gone"))
            return future
        self._number += 1
        number = self._number
        self._open[number] = future
        future.add_done_callback(lambda _: self._open.pop(number, None))
        self._send([number, name, arguments])
        return future

    def post(self, name: str, *arguments: Any) -> None:
        """Says something that wants no answer."""
        if self.alive:
            self._send([0, name, arguments], soon=False)

    def close(self) -> None:
        """Ends the connection, after what is written."""
        if self._transport is not None:
            self._flush()
            self._transport.close()

    # -- what the loop says ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Takes bytes; whole frames are answered at once."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= 4:
            size = int.from_bytes(buffer[start : start + 4], "big")
            if size > MOST_BYTES:
                self._cut()
                return
            if len(buffer) - start - 4 < size:
                break
            frame = bytes(buffer[start + 4 : start + 4 + size])
            start += 4 + size
            try:
                number, name, rest = _decode(frame)
            except (msgspec.MsgspecError, ValueError):
                self._cut()
                return
            if isinstance(name, bool):
                future = self._open.get(number)
                if future is not None and not future.done():
                    if name:
                        future.set_result(rest)
                    else:
                        future.set_exception(ConnectionError(str(rest)))
            else:
                self._asked(number, name, rest)
        if start:
            del buffer[:start]

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone: nobody's question is answered any more."""
        self._transport = None
        for future in list(self._open.values()):
            if not future.done():
                future.set_exception(ConnectionError("the other side is gone"))
        for task in self._tasks:
            task.cancel()
        self._gone(self)

    def _asked(self, number: int, name: str, arguments: list[Any]) -> None:
        try:
            value = self._answers(self, name, arguments)
        except Exception as error:  # whatever it is: the other side must not wait for it
            if number:
                self._send([number, False, type(error).__name__])
            return
        if isinstance(value, Awaitable):
            task = asyncio.get_running_loop().create_task(self._later(number, value))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif number:
            self._send([number, True, value])

    async def _later(self, number: int, value: Awaitable[Any]) -> None:
        try:
            reply = [number, True, await value]
        except Exception as error:
            reply = [number, False, type(error).__name__]
        if number and self.alive:
            self._send(reply)

    def _send(self, frame: Any, *, soon: bool = True) -> None:
        """Writes at the end of this turn of the loop, with all that was said in it; what nobody waits for goes with the
        next that somebody does, or after `PATIENCE_S`: each write wakes a process."""
        data = _encode(frame)
        self._out.append(len(data).to_bytes(4, "big") + data)
        if self._flushing is not None:
            if not soon or self._soon:
                return
            self._flushing.cancel()
        loop, self._soon = asyncio.get_running_loop(), soon
        self._flushing = loop.call_soon(self._flush) if soon else loop.call_later(PATIENCE_S, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        out, self._out = self._out, []
        if out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(out))

    def _cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()
