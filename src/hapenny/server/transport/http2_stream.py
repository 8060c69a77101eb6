"""One request of an HTTP/2 connection, from its head to the end of its answer."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable
from typing import Protocol, TypeAlias

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.protocols.http1 import target as targets
from hapenny.protocols.http1.fields import FIELDS, Malformed, sound
from hapenny.protocols.http1.request import Headers
from hapenny.server.transport.held import Host
from hapenny.server.transport.limits import PACE
from hapenny.server.transport.messages import Request, Response, Work
from hapenny.server.transport.writer import Sending, dated, large, plain

AHEAD = 1 << 16
"""Bytes of an answer that may wait for the client's window before whoever writes has to wait."""

Fields: TypeAlias = list[tuple[bytes, bytes]]

_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_HOPS = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
"""Fields of HTTP/1.1 connections (RFC 9113 §8.2.2)."""
_log = get_logger("hapenny.server")


class Carrier(Protocol):
    """The connection as its streams see it."""

    peer: str
    host: Host
    loop: asyncio.AbstractEventLoop
    h2: H2Connection
    waits: bool

    def flush(self) -> None:
        """Writes what the state machine has to say."""

    def reset(self, stream_id: int, code: ErrorCodes) -> None:
        """Ends a stream."""

    def closed(self, stream: Stream, *, whole: bool) -> None:
        """A stream has ended."""


class Stream:
    """A request and its answer. It is a `Wire` for streamed answers: what is sent waits here for the windows.

    Args:
        connection: it came by.
        id: its number there.
    """

    __slots__ = (
        "_bodiless", "_body", "_connection", "_drained", "_ending", "_head", "_held", "_kept", "_over", "_pending",
        "_request", "_whole", "_work", "id", "task", "until",
    )  # fmt: skip

    def __init__(self, connection: Carrier, id: int) -> None:
        self.id = id
        self.task: asyncio.Task[None] | None = None
        self.until: float | None = None
        """When it is late: with its body, or in taking its answer."""
        self._connection = connection
        self._request: Request | None = None
        self._work: Work | None = None
        self._body: list[bytes] = []
        self._held = 0
        """Bytes of the body that came."""
        self._kept = 0
        """Those that the server's bound counts."""
        self._bodiless = False
        self._whole = False
        """Whether the client has sent everything."""
        self._over = False
        """Whether nothing can be sent any more."""
        self._head: Fields | None = None
        """Of the answer, while it waits for the first piece."""
        self._pending = bytearray()
        """Of the answer, what no window is open for."""
        self._ending = False
        """Whether the answer ends with what is pending."""
        self._drained: asyncio.Future[None] | None = None

    # -- the request -------------------------------------------------------------------------------------------------

    def begin(self, fields: Iterable[tuple[bytes, bytes]], *, ended: bool) -> None:
        """The head is there: it is judged before any of the body is kept."""
        connection = self._connection
        self._whole = ended
        try:
            request = self._request = _read(fields, connection.peer)
        except Malformed as error:
            self._say_no(plain(error.status))
            return
        self._bodiless = request.method == "HEAD"
        try:
            work = connection.host.service.accept(request)
        except Exception as error:
            _log.error("unexpected", error=type(error).__name__)
            work = plain(500)
        if isinstance(work, Response):
            self._say_no(work)
            return
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and (len(announced) > 15 or int(announced) > work.most):
            self._say_no(work.refuse(large(work)))
            return
        self._work = work
        self.until = connection.loop.time() + connection.host.limits.body_s
        if not ended and request.headers.get("expect", "").lower() == "100-continue":
            with contextlib.suppress(ProtocolError):
                connection.h2.send_headers(self.id, [(b":status", b"100")])

    def grow(self, data: bytes) -> None:
        """Part of the body came."""
        work = self._work
        if work is None or self.task is not None:
            return
        self._held += len(data)
        if self._held > work.most:
            self._say_no(work.refuse(large(work)))
        elif not self._connection.host.usage.keep(len(data)):
            busy = Failure("overloaded", "the gateway holds as many requests as it may", retry_after=1.0)
            self._say_no(work.refuse(busy))
        else:
            self._kept += len(data)
            self._body.append(data)
            if self.until is not None:
                self.until += len(data) / PACE

    def ended(self) -> None:
        """The client has sent everything."""
        self._whole = True
        work = self._work
        if work is None or self.task is not None:
            return
        self.until = None
        body = b"".join(self._body)
        self._body.clear()
        task = self.task = self._connection.loop.create_task(self._run(work, body))
        if task.done():  # an eager task factory
            self.task = None

    def look(self, now: float) -> None:
        """Ends it if it is late."""
        if self.until is None or now < self.until:
            return
        if self._work is not None and not self._whole:
            self._say_no(plain(408))
        else:
            self._connection.reset(self.id, ErrorCodes.CANCEL)
            self.gone()

    def end(self, failure: Failure) -> None:
        """Gives up on it; its client is told why."""
        if self.task is not None and self._request is not None:
            self._request.ended = failure
            self.task.cancel()
        else:
            self._connection.reset(self.id, ErrorCodes.REFUSED_STREAM)
            self.gone()

    def gone(self) -> None:
        """The client does not want it any more, or is not there."""
        self._over = True
        self._head = None
        self._pending.clear()
        self._wake()
        if self.task is not None:
            self.task.cancel()
        self._done(whole=False)

    # -- the answer --------------------------------------------------------------------------------------------------

    async def _run(self, work: Work, body: bytes) -> None:
        request, connection = self._request, self._connection
        assert request is not None
        sending: Sending | None = None
        try:
            response = await work.answer(body)
            if response.pieces is None or self._bodiless or response.status in (204, 304):
                self._write(response)
            else:
                self._head = self._fields(response)
                sending = Sending(self, b"", response.pieces, False, connection.host.limits.silence_s)
                if response.pieces.late:
                    self.send(b"")
                await sending.run()
                self._finish()
            await self.drain(0)
        except asyncio.CancelledError:
            if request.ended is None or self._over:
                self._break(ErrorCodes.CANCEL)
                raise
            self._tell(work, request.ended, sending)
        except ConnectionError:
            self._break(ErrorCodes.CANCEL)
        except Failure:  # behind the head: the answer has no proper end
            self._break(ErrorCodes.INTERNAL_ERROR)
        except Exception as error:
            _log.error("unexpected", error=type(error).__name__)
            self._break(ErrorCodes.INTERNAL_ERROR)
        finally:
            if sending is not None:
                sending.close()
            self.task = None
            self._drop()
            work.done()
        if not self._pending:
            self._done(whole=True)

    def _tell(self, work: Work, failure: Failure, sending: Sending | None) -> None:
        """Ends the answer with words, where its format has some."""
        with contextlib.suppress(ConnectionError):
            if sending is None:
                self._write(work.refuse(failure))
                return
            sending.cut(failure)
            if sending.finished:
                self._finish()
                return
        self._break(ErrorCodes.INTERNAL_ERROR)

    def _write(self, response: Response) -> None:
        """Writes a whole answer."""
        if response.pieces is not None:  # whose body nobody may have
            response.pieces.close()
        bare = self._bodiless or response.pieces is not None or response.status in (204, 304)
        self._head = self._fields(response)
        if not bare:
            self._pending += response.body
        self._finish()

    def _fields(self, response: Response) -> Fields:
        fields = [(b":status", str(response.status).encode())]
        named = set()
        for name, value in response.headers.items():
            name = name.lower()
            if name not in _HOPS:
                pair = sound(name, str(value))
                fields.append((pair[0].encode("latin-1"), pair[1].encode("latin-1")))
                named.add(name)
        if "date" not in named:
            fields.append((b"date", dated(self._connection.host)[6:-2].encode("latin-1")))
        bare = response.pieces is not None or response.status in (204, 304)
        if not bare and "content-length" not in named:
            fields.append((b"content-length", str(len(response.body)).encode()))
        return fields

    def _say_no(self, response: Response) -> None:
        """Answers without the body; what still comes of it is not wanted."""
        self._work = None
        self._body.clear()
        self._drop()
        with contextlib.suppress(ConnectionError):
            self._write(response)

    # -- the wire ----------------------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether the client reads too slowly."""
        return len(self._pending) > AHEAD or self._connection.waits

    def send(self, data: bytes) -> None:
        """Writes. Raises `ConnectionResetError` when the client is gone."""
        if self._over:
            raise ConnectionResetError("the client is gone")
        if self._head is not None:
            self._open(ends=False)
        self._pending += data
        self.pump()

    async def drain(self, most: int = AHEAD) -> None:
        """Waits until the client has caught up with all but `most` bytes."""
        while not self._over and (len(self._pending) > most or (most and self._connection.waits)):
            if self._drained is None:
                self._drained = self._connection.loop.create_future()
            await asyncio.shield(self._drained)
        if self._over and not self._ending:
            raise ConnectionResetError("the client is gone")

    def pump(self) -> None:
        """Sends what the windows let go."""
        connection = self._connection
        h2, pending, sent = connection.h2, self._pending, False
        try:
            while pending and not connection.waits and not self._over:
                room = min(h2.local_flow_control_window(self.id), h2.max_outbound_frame_size, len(pending))
                if room <= 0:
                    break
                h2.send_data(self.id, bytes(pending[:room]), end_stream=self._ending and room == len(pending))
                del pending[:room]
                sent = True
                connection.flush()
        except ProtocolError:  # the client reset it, or the connection is at its end
            self.gone()
            return
        if pending:
            if sent or self.until is None:
                self.until = connection.loop.time() + connection.host.limits.stalled_s
        else:
            self.until = None if self._whole else self.until
            if sent and self._ending and self.task is None:
                self._done(whole=True)
        if len(pending) <= AHEAD and not connection.waits:
            self._wake()

    def _open(self, *, ends: bool) -> None:
        """Sends the head."""
        fields, self._head = self._head, None
        try:
            self._connection.h2.send_headers(self.id, fields or [], end_stream=ends)
        except ProtocolError:
            self._over = True
            raise ConnectionResetError("the client is gone") from None
        if not self._pending:
            self._connection.flush()

    def _finish(self) -> None:
        """The answer ends with what is pending."""
        if self._over:
            raise ConnectionResetError("the client is gone")
        self._ending = True
        if self._head is not None:
            self._open(ends=not self._pending)
            if not self._pending:
                if self.task is None:
                    self._done(whole=True)
                return
        if self._pending:
            self.pump()
            return
        try:
            self._connection.h2.end_stream(self.id)
        except ProtocolError:
            raise ConnectionResetError("the client is gone") from None
        self._connection.flush()

    def _break(self, code: ErrorCodes) -> None:
        """Ends the answer without a proper end."""
        self._pending.clear()
        if not self._over:
            self._over = True
            self._connection.reset(self.id, code)

    def _done(self, *, whole: bool) -> None:
        self._drop()
        self.until = None
        if not self._over and not self._whole:  # RFC 9113 §8.1: the rest of the body need not come
            self._connection.reset(self.id, ErrorCodes.NO_ERROR)
        self._over = True
        self._connection.closed(self, whole=whole)

    def _drop(self) -> None:
        """What was kept of the body is gone."""
        self._connection.host.usage.drop(self._kept)
        self._kept = 0

    def _wake(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)


def _read(fields: Iterable[tuple[bytes, bytes]], peer: str) -> Request:
    """The request of a header list, judged as HTTP/1.1's is. Raises `Malformed`."""
    pseudo: dict[str, str] = {}
    headers = Headers()
    for number, (raw_name, raw_value) in enumerate(fields):
        if number > FIELDS:
            raise Malformed("too many fields", 431)
        name, value = bytes(raw_name).decode("latin-1"), bytes(raw_value).decode("latin-1")
        if name.startswith(":"):
            pseudo[name] = value
            continue
        name, value = sound(name, value)
        joint = "; " if name == "cookie" else ", "
        headers[name] = f"{dict.__getitem__(headers, name)}{joint}{value}" if name in headers else value
    method, path = pseudo.get(":method", ""), pseudo.get(":path", "")
    host, authority = dict.get(headers, "host"), pseudo.get(":authority")
    if host is not None and authority and host.lower() != authority.lower():
        raise Malformed("two hosts")
    host = authority or host or ""
    if not _METHOD.fullmatch(method) or not host or not targets.sound_host(host):
        raise Malformed("no method, or no sound host")
    headers["host"] = host
    if not path.isascii() or not path.isprintable() or " " in path:
        raise Malformed("no target")
    return Request(method, targets.read(method, path, host), headers, peer)
