"""One client connection (RFC 9110, 9112): requests one after the other, pipelined ones wait.

Theory of operation. `RequestParser` reads heads and bodies; this class decides what happens next:

    a head is there      `service.accept` judges it before any of the body is kept: work, or a refusal
    the body is there    a task runs the work and writes its answer; bytes that come meanwhile are stored, and reading
                         stops when there are more than `PIPELINE_BYTES`
    the answer is out    the next request is read from what is stored; reading goes on when that is used up

A connection without a task has a deadline (`until`), which the server's sweep looks at: for a head, for a body, for
the next request. One with a task has none, unless its client takes nothing of what is written.

A client that has sent everything may close its side and still wait for the answer. One that left closes its side, too;
they are told apart by bytes that mean nothing (RFC 9110 §15.2, RFC 9112 §7.1): whoever left answers with a reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, cast

from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.protocols.http1 import framing
from hapenny.protocols.http1.fields import Malformed
from hapenny.server.transport.held import PREFACE, Host
from hapenny.server.transport.limits import PACE
from hapenny.server.transport.messages import Request, Response, Talk, Work
from hapenny.server.transport.writer import HIGH_WATER, Sending, Writer, large, plain

if TYPE_CHECKING:
    from hapenny.server.transport.http2 import Http2
    from hapenny.server.transport.websocket import WebSocket

PIPELINE_BYTES = 1 << 16
"""What may wait behind a request that is answered."""
DRAINED = 1 << 16
"""The longest body that is read and dropped behind a refusal, so that the connection can go on."""
TOLD = 32
"""Clients beyond the bound of connections that are told so at the same time."""
PROBES_S = (0.0, 0.005, 0.02, 0.1, 0.4, 1.5)
"""When a client that closed its side is looked at, after a byte was sent to it."""

_log = get_logger("hapenny.server")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(Writer):
    """See the module. `peer` is the client's address."""

    __slots__ = (
        "_early", "_ended", "_heading", "_kept", "_over", "_paused", "_reading", "_refusal", "_request", "_sending",
        "_unsent", "_work", "task",
    )  # fmt: skip
    _host: Host

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(host, loop)
        self.task: asyncio.Task[None] | None = None
        self._request: Request | None = None
        self._work: Work | None = None
        self._refusal: Response | None = None
        """What answers the request instead of work."""
        self._kept = 0
        """Bytes of the body that the server's bound counts."""
        self._heading = False
        """Whether part of a head has come."""
        self._reading = False
        """Whether reading goes on at the loop's next turn."""
        self._paused = False
        self._over = False
        """Whether what still comes is thrown away."""
        self._ended = False
        """Whether the client has closed its side."""
        self._sending: Sending | None = None
        self._unsent = 0
        self._early: bytes | None = b""
        """The first bytes, while they may become HTTP/2's preface; None: they are HTTP/1.1."""

    # -- what the server says ----------------------------------------------------------------------------------------

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What runs on it."""
        return [self.task] if self.task is not None else []

    def look(self, now: float) -> None:
        """Ends the connection if it is late."""
        transport = self.transport
        if transport is None or self.until is None:
            return
        if self.waits:
            before, self._unsent = self._unsent, transport.get_write_buffer_size()
            if before != self._unsent:  # it has taken something since it was last looked at
                self.until = now + self._host.limits.stalled_s
        if now < self.until:
            return
        arriving = self.behind or self.state != framing.HEAD
        if self.task is None and not self._over and arriving:
            self._refuse(408)
        else:
            self.abort()

    def retire(self) -> None:
        """Ends the connection when nothing is under way on it, else after the answer."""
        self.keep = False
        if self.task is None and self.transport is not None and not self._over:
            self.transport.close()

    def end(self, failure: Failure) -> None:
        """Gives up on the request under way; its client is told why."""
        if self.task is not None and self._request is not None:
            self._request.ended = failure
            self.task.cancel()
        elif self.transport is not None:
            self.transport.close()

    # -- what the loop does ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        if self._host.enter(self):
            self._wait(self._host.limits.keep_s)
            secure = transport.get_extra_info("ssl_object")
            if secure is not None and secure.selected_alpn_protocol() == "h2":
                self._switch(b"")
        elif self._host.usage.connections <= self._host.limits.connections + TOLD:
            self._refuse(503, "retry-after: 1\r\n")
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left: so does its request."""
        self.transport = None
        self._host.leave(self)
        self.resume_writing()
        self._drop()
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._early is not None:
            early = self._early + data
            if early[:24] == PREFACE[: len(early)] and self._host.limits.http2 and not self._over:
                self._early = early
                if len(early) >= len(PREFACE):
                    self._switch(early)
                return
            self._early, data = None, early
        if self._over:
            return
        if self.task is None:
            self._read(data)
            return
        self.store(data)  # pipelined behind the request that is answered
        if self.behind > PIPELINE_BYTES:
            self._pause(True)

    def _switch(self, data: bytes) -> None:
        """Goes on in HTTP/2, which the client speaks: it said so in TLS (ALPN) or by the preface (prior knowledge)."""
        from hapenny.server.transport.http2 import Http2

        if (transport := self.transport) is not None:
            successor = Http2(self._host, self._loop, self.peer)
            self._hand_over(transport, successor)
            successor.begin(transport)
            successor.data_received(data)

    def _upgrade(self, talk: Talk) -> None:
        """Goes on as a WebSocket."""
        from hapenny.server.transport.websocket import WebSocket

        if (transport := self.transport) is not None and not transport.is_closing():
            successor = WebSocket(self._host, self._loop, self.peer, talk)
            self._hand_over(transport, successor)
            successor.begin(transport, self.rest())

    def _hand_over(self, transport: asyncio.Transport, successor: Http2 | WebSocket) -> None:
        """Leaves the client to another protocol."""
        self._host.replace(self, successor)
        self.transport, self._over, self.until = None, True, None
        transport.set_protocol(successor)

    def eof_received(self) -> bool:
        """The client sends nothing more. True keeps the connection for the answer."""
        self._ended = True
        transport = self.transport
        if transport is None or not transport.can_write_eof():
            return False  # TLS has no half-closed connections
        if self.task is None:
            return self._reading and not self._over
        self._probe(0)
        return True

    # -- requests ----------------------------------------------------------------------------------------------------

    def begun(self) -> None:
        """A head is there: it is judged before any of the body is kept."""
        host = self._host
        host.waiting.pop(self, None)
        self._heading = False
        if host.draining:
            self.keep = False
        request = self._request = Request(self.method, self.target, self.headers, self.peer)
        try:
            work = host.service.accept(request)
        except Exception as error:
            self._broken(error)
            work = plain(500)
        if not isinstance(work, Response):
            if self.announced is None or self.announced <= work.most:
                self._work = work
                self.until = self._loop.time() + host.limits.body_s
                if self.expects and not self.behind:
                    self.send(_CONTINUE)
                return
            work = work.refuse(large(work))
        self._refusal, self.keeps = work, False
        self.until = self._loop.time() + host.limits.body_s

    def _read(self, data: bytes = b"") -> None:
        """Reads on, in what came and what is stored."""
        try:
            more = self.feed(data) if data else self.advance()
        except Malformed as error:
            self._refuse(error.status)
            return
        except ConnectionError:
            return
        self._judge(more)

    def _judge(self, more: bool) -> None:
        """What is to be done with what was read."""
        work, state = self._work, self.state
        if self._refusal is not None:
            if state == framing.DONE or self.expects or self.announced is None or self.announced > DRAINED:
                self._say_no(self._refusal)
        elif state == framing.HEAD:
            if self.behind and not self._heading:  # its first byte
                self._heading = True
                self.until = self._loop.time() + self._host.limits.head_s
        elif work is not None:
            grown = self.held - self._kept
            if self.held > work.most:
                self._say_no(work.refuse(large(work)))
            elif grown and not self._host.usage.keep(grown):
                busy = Failure("overloaded", "the gateway holds as many requests as it may", retry_after=1.0)
                self._say_no(work.refuse(busy))
            else:
                self._kept += grown
                if state == framing.DONE:
                    self._answer(work)
                elif self.until is not None:
                    self.until += grown / PACE
        if more and not self._over:
            self._pause(True)
            self._again()

    def _again(self) -> None:
        """Reads on at the loop's next turn: others have theirs before."""
        if not self._reading:
            self._reading = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._reading = False
        if self.transport is None or self._over or self.task is not None:
            return
        if self.state == framing.DONE:
            self.next()
        self._read()
        if self.transport is None or self._over or self.task is not None or self._reading:
            return
        self._pause(False)
        if self._ended:  # and what it sent is used up
            self.transport.close()

    def _answer(self, work: Work) -> None:
        body = self.take() if self.out else b""
        self.until = None
        task = self.task = self._loop.create_task(self._run(work, body))
        if task.done():  # an eager task factory
            self.task = None

    async def _run(self, work: Work, body: bytes) -> None:
        request = self._request
        assert request is not None
        sending: Sending | None = None
        try:
            response = await work.answer(body)
            if response.talk is not None:
                self.write(response)
                self._upgrade(response.talk)
            elif response.pieces is None or self.bodiless or response.status in (204, 304):
                self.write(response)
                if self.waits:
                    await self.drain()
            else:
                sending = self._streamed(response)
                await sending.run()
        except asyncio.CancelledError:
            if request.ended is None or self.transport is None:
                self.abort()
                raise
            self.keep = False
            with contextlib.suppress(ConnectionError):
                if sending is not None:
                    sending.cut(request.ended)
                else:
                    self.write(work.refuse(request.ended))
        except ConnectionError:
            self.abort()
        except Failure:  # behind the head: the connection ends without a proper end of the answer
            self.keep = False
        except Exception as error:
            self._refuse(500)
            self._broken(error)
        finally:
            if sending is not None:
                sending.close()
                self._sending = None
            self.task = None
            self._drop()
            work.done()
        self._next()

    def _streamed(self, response: Response) -> Sending:
        """What writes an answer that comes in pieces."""
        pieces = response.pieces
        assert pieces is not None
        chunked = self.modern and "content-length" not in response.headers
        self.keep = self.keep and self.modern
        head = self.opening(response, "transfer-encoding: chunked\r\n" if chunked else "")
        self._sending = Sending(self, head, pieces, chunked, self._host.limits.silence_s)
        return self._sending

    def _next(self) -> None:
        """Gets ready for the next request, or ends the connection."""
        transport = self.transport
        if transport is None or transport.is_closing() or self._over:
            return
        if not self.keep:
            transport.close()
            return
        self._request = self._work = self._refusal = self._sending = None
        self.keeps = True
        self._wait(self._host.limits.keep_s)
        if self.behind or self._paused or self._ended:
            self._again()
        else:
            self.next()

    def _wait(self, seconds: float) -> None:
        """Waits for a request."""
        now = self._loop.time()
        self.until = now + seconds
        self._host.waiting[self] = now

    def _drop(self) -> None:
        """What was kept of the body is gone."""
        self.out.clear()
        self.held = 0
        self._host.usage.drop(self._kept)
        self._kept = 0

    # -- refusals ----------------------------------------------------------------------------------------------------

    def _say_no(self, response: Response) -> None:
        """Answers without the body: the connection goes on where all of it has come."""
        self._refusal = None
        self._drop()
        whole = self.state == framing.DONE
        self.keep = self.keep and whole
        try:
            self.write(response)
        except ConnectionError:
            return
        if whole:
            self._next()
        else:
            self._linger()

    def _refuse(self, status: int, more: str = "") -> None:
        """Answers what could not be read, or what broke, and ends the connection."""
        self.keep = False
        self._refusal = None
        self._drop()
        response = plain(status)
        try:
            self.send(self.opening(response, f"{more}content-length: {len(response.body)}\r\n") + response.body)
        except ConnectionError:
            return
        self._linger()

    def _linger(self) -> None:
        """Says that nothing more comes, and lets the client finish: else it might never read the refusal."""
        self._over = True
        self._host.waiting.pop(self, None)
        self.until = self._loop.time() + self._host.limits.linger_s
        transport = self.transport
        if transport is None:
            return
        self._pause(False)
        if transport.can_write_eof() and not self._ended:
            transport.write_eof()
        else:
            transport.close()

    def _pause(self, full: bool) -> None:
        """Stops reading, or goes on."""
        transport = self.transport
        if full != self._paused and transport is not None and not transport.is_closing():
            self._paused = full
            if full:
                transport.pause_reading()
            else:
                transport.resume_reading()

    def _probe(self, number: int) -> None:
        """Finds out whether a client that closed its side has left altogether."""
        transport = self.transport
        if transport is None or transport.is_closing() or self.task is None:
            return
        plug = transport.get_extra_info("socket")
        sending = self._sending
        mark = sending.probe() if sending is not None else (_CONTINUE if self.modern else b"")
        try:
            if number == 0 and mark and not transport.get_write_buffer_size():
                os.write(plug.fileno(), mark)  # at once, so that on this machine the reset is there at once
            gone = bool(plug.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        except BlockingIOError:
            gone = False
        except OSError:
            gone = True
        if gone:
            transport.abort()
        elif number + 1 < len(PROBES_S):
            self._loop.call_later(PROBES_S[number + 1] - PROBES_S[number], self._probe, number + 1)

    def _broken(self, error: Exception) -> None:
        """Logs what should not have happened: after the client was told, since logging may need what is missing."""
        _log.error("unexpected", error=type(error).__name__)
