"""One WebSocket connection (RFC 6455): whole text messages in both directions, heartbeats, bounds.

Theory of operation. `websockets` is the state machine, this class its I/O. A `Talk` reads whole messages and writes
whole messages from one task; it is cancelled when the client leaves, and the connection closes when it returns.

Bounds: a message has `limits.message_bytes`, few wait unread (then nothing more is read from the client) and count
among the server's buffered bytes; pings and pongs come out of a budget. A client that is silent for `ping_s` is asked
whether it is there, and let go when it does not answer; one that takes nothing of what is written, after `stalled_s`.
A connection on which nothing is said for `socket_idle_s` closes, and every one after `socket_s`.
"""

from __future__ import annotations

import asyncio
from collections import deque

from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.server.transport.held import Host
from hapenny.server.transport.messages import Talk
from hapenny.server.transport.writer import HIGH_WATER

UNREAD = 16
"""Messages that may wait for the talk."""
CONTROLS = 200.0
"""Control frames that may come at once; ten more a second."""
GOING, PROTOCOL, KIND, TEXT, POLICY, LARGE, INTERNAL, LATER = 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1013
"""Codes of RFC 6455 §7.4.1 and the IANA registry."""

_log = get_logger("hapenny.server")


class WebSocket(asyncio.Protocol):
    """See the module.

    Args:
        host: the server.
        loop: the running one.
        peer: address of the client.
        talk: what goes on over it.
    """

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop, peer: str, talk: Talk) -> None:
        self.peer = peer
        self.transport: asyncio.Transport | None = None
        self.until: float | None = None
        self._host = host
        self._loop = loop
        self._talk = talk
        self._task: asyncio.Task[None] | None = None
        self._ws = ServerProtocol(state=State.OPEN, max_size=host.limits.message_bytes)
        self._parts: list[bytes] = []
        self._unread: deque[str] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._waits = False
        self._ending = False
        """Whether the closing handshake has begun."""
        self._unsent = 0
        now = loop.time()
        self._began = self._heard = self._spoke = self._filled = now
        self._asked = False
        """Whether a ping is out that nobody answered."""
        self._controls = CONTROLS

    def begin(self, transport: asyncio.Transport, early: bytes) -> None:
        """Takes a connection over from HTTP/1.1 behind its handshake; `early` came with it."""
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        transport.resume_reading()
        self._task = self._loop.create_task(self._run())
        if early:
            self.data_received(early)

    # -- what the talk does ------------------------------------------------------------------------------------------

    async def receive(self) -> str | None:
        """The next message; None when the client has said its last."""
        while not self._unread:
            if self._ending or self.transport is None:
                return None
            self._arrival = self._loop.create_future()
            await self._arrival
        text = self._unread.popleft()
        self._host.usage.drop(len(text))
        if len(self._unread) == UNREAD - 1 and self.transport is not None and not self._waits:
            self.transport.resume_reading()
        return text

    async def send(self, text: str) -> None:
        """Writes a message; waits while the client reads too slowly.

        Raises:
            ConnectionResetError: the client is gone.
        """
        if self.transport is None or self._ending or self._ws.state is not State.OPEN:
            raise ConnectionResetError("the client is gone")
        self._spoke = self._loop.time()
        self._ws.send_text(text.encode())
        self._flush()
        while self._waits:
            self._drained = self._drained or self._loop.create_future()
            await asyncio.shield(self._drained)
        if self.transport is None:
            raise ConnectionResetError("the client is gone")

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begins the closing handshake."""
        if self.transport is None or self._ending:
            return
        self._ending = True
        if self._ws.state is State.OPEN:
            self._ws.send_close(code, reason[:100])
        self._flush()
        self.until = self._loop.time() + self._host.limits.linger_s
        self._wake()

    # -- what the server says ----------------------------------------------------------------------------------------

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What runs on it."""
        return [self._task] if self._task is not None else []

    def look(self, now: float) -> None:
        """Ends it if it is late; asks a silent client whether it is there."""
        transport, limits = self.transport, self._host.limits
        if transport is None:
            return
        if self._waits:
            before, self._unsent = self._unsent, transport.get_write_buffer_size()
            if before != self._unsent:
                self.until = now + limits.stalled_s
        if self.until is not None and now >= self.until:
            self.abort()
        elif self._ending:
            return
        elif now - self._spoke >= limits.socket_idle_s or now - self._began >= limits.socket_s:
            self.close(GOING, "idle for too long" if now - self._spoke >= limits.socket_idle_s else "open for too long")
        elif now - self._heard >= 2 * limits.ping_s and self._asked:
            self.abort()
        elif now - self._heard >= limits.ping_s and not self._asked and not self._waits:
            self._asked = True
            self._ws.send_ping(b"")
            self._flush()

    def retire(self) -> None:
        """The server takes no more: what is under way on it ends first."""
        if not self._talk.busy:
            self.close(GOING, "the gateway is shutting down")

    def end(self, failure: Failure) -> None:
        """Gives up on it; its client is told why."""
        if self._task is not None:
            self._task.cancel()
        self.close(GOING, failure.message)

    def abort(self) -> None:
        """Ends the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    # -- what the loop does ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Frames came."""
        self._heard, self._asked = self._loop.time(), False
        try:
            self._ws.receive_data(data)
            for frame in self._ws.events_received():
                if isinstance(frame, Frame):
                    self._take(frame)
        except Exception as error:
            _log.error("unexpected", error=type(error).__name__)
            self.abort()
            return
        self._flush()
        if self._ws.state is not State.OPEN and not self._ending:
            self._ending = True  # the client began to close, or broke the protocol
            self.until = self._loop.time() + self._host.limits.linger_s
            if self._task is not None:
                self._task.cancel()
            self._wake()

    def eof_received(self) -> bool:
        """The client leaves."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left: so does the talk."""
        self.transport = None
        self._ending = True
        self._host.leave(self)
        self._host.usage.drop(sum(len(text) for text in self._unread))
        self._unread.clear()
        self._wake()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """The client reads too slowly: it may say no more until it has caught up."""
        self._waits = True
        self.until = self._loop.time() + self._host.limits.stalled_s
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._waits = False
        if not self._ending:
            self.until = None
        if self.transport is not None and len(self._unread) < UNREAD:
            self.transport.resume_reading()
        self._wake()

    # -- frames ------------------------------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode in (Opcode.PING, Opcode.PONG):
            now = self._loop.time()
            self._controls = min(CONTROLS, self._controls + 10 * (now - self._filled)) - 1
            self._filled = now
            if self._controls < 0:
                self._fail(POLICY, "too many control frames")
        elif opcode is Opcode.BINARY:
            self._fail(KIND, "messages are text")
        elif opcode in (Opcode.TEXT, Opcode.CONT):
            self._parts.append(bytes(frame.data))
            if len(self._parts) > 4_096:
                self._fail(POLICY, "too many fragments")
            elif frame.fin:
                self._whole()

    def _whole(self) -> None:
        data = b"".join(self._parts)
        self._parts.clear()
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._fail(TEXT, "no UTF-8")
            return
        if not self._host.usage.keep(len(text)):
            self._fail(LATER, "the gateway holds as many requests as it may")
            return
        self._spoke = self._loop.time()
        self._unread.append(text)
        if len(self._unread) >= UNREAD and self.transport is not None:
            self.transport.pause_reading()
        self._wake()

    def _fail(self, code: int, reason: str) -> None:
        if self._ws.state is State.OPEN:
            self._ws.fail(code, reason)

    # -- the rest ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        code, reason = 1000, ""
        try:
            await self._talk.talk(self)
        except asyncio.CancelledError:
            code, reason = GOING, "ended"
        except ConnectionError:
            pass
        except Failure as failure:
            code, reason = POLICY, failure.message
        except Exception as error:
            code, reason = INTERNAL, "the gateway failed"
            _log.error("unexpected", error=type(error).__name__)
        finally:
            self._task = None
            self.close(code, reason)

    def _flush(self) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        for data in self._ws.data_to_send():
            if data:
                transport.write(data)
            else:  # nothing more is to be said
                transport.close()
                return

    def _wake(self) -> None:
        for future in (self._arrival, self._drained):
            if future is not None and not future.done():
                future.set_result(None)
        self._arrival = self._drained = None
