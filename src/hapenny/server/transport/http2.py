"""One HTTP/2 connection (RFC 9113): many requests at a time, within the bounds that HTTP/1.1 has.

Theory of operation. `h2` is the state machine, this class its I/O; `http2_stream.Stream` is one request.

    a head is there      the stream is judged by `service.accept`, before any of its body is kept
    part of a body       is counted against the server's bound, then the window is opened again for the client
    the body is there    a task answers; what it writes waits in the stream until both windows let it go
    the client resets    the task is cancelled

Bounds: streams at a time are announced, and each beyond the first counts as a connection of its address. Header lists
have the size that HTTP/1.1 heads have. A stream has the deadlines of an HTTP/1.1 request: for its body, and for a
client that takes nothing of its answer. Resets and control frames come out of two budgets that fill again with time
and with finished answers (CVE-2023-44487, CVE-2019-9512 and its kin); whoever uses them up is told to calm down. While
the client does not take what is written, nothing more is read from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    UnknownFrameReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame, RstStreamFrame

from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.server.transport.held import Host
from hapenny.server.transport.http2_stream import Stream
from hapenny.server.transport.writer import HIGH_WATER

WINDOW = 1 << 20
"""Bytes that a client may send of a body before we opened its window again."""
HEADERS_BYTES = 1 << 16
"""The longest list of header fields, as RFC 9113 §6.5.2 measures it."""
RESETS = 100.0
"""Streams that may be reset before they were answered, at once; one more a second, and one for each finished answer."""
CONTROLS = 1_000.0
"""Control frames that may come at once; a hundred more a second."""

_log = get_logger("hapenny.server")


class Http2(asyncio.Protocol):
    """See the module.

    Args:
        host: the server.
        loop: the running one.
        peer: address of the client.
    """

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop, peer: str) -> None:
        self.peer = peer
        self.host = host
        self.loop = loop
        self.transport: asyncio.Transport | None = None
        self.waits = False
        """Whether the client does not take what is written."""
        self.until: float | None = None
        self.streams: dict[int, Stream] = {}
        self._going = False
        """Whether the client was told that no further stream is taken."""
        self._resets = RESETS
        self._controls = CONTROLS
        self._filled = loop.time()
        self._unsent = 0
        config = H2Configuration(client_side=False, header_encoding=None)
        self.h2 = H2Connection(config=config)
        self.h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: host.limits.streams,
                SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: HEADERS_BYTES,
            },
        )
        self.h2.decoder.max_header_list_size = HEADERS_BYTES

    def begin(self, transport: asyncio.Transport) -> None:
        """Takes a connection over from HTTP/1.1; the server knows it already."""
        self.transport = transport
        plug = transport.get_extra_info("socket")
        if plug is not None and plug.family in (socket.AF_INET, socket.AF_INET6):
            plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(4 * WINDOW)
        self.flush()
        self._rest()

    # -- what the server says ----------------------------------------------------------------------------------------

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What runs on it."""
        return [stream.task for stream in self.streams.values() if stream.task is not None]

    def look(self, now: float) -> None:
        """Ends what is late: streams by themselves, the connection when it only waits."""
        transport = self.transport
        if transport is None:
            return
        if self.waits:
            before, self._unsent = self._unsent, transport.get_write_buffer_size()
            if before != self._unsent:
                self.until = now + self.host.limits.stalled_s
        for stream in list(self.streams.values()):
            stream.look(now)
        if self.until is not None and now >= self.until:
            if self.waits:
                self.abort()
            else:
                self.leave(ErrorCodes.NO_ERROR)

    def retire(self) -> None:
        """Takes no further streams; ends when those under way have ended."""
        if self.transport is None or self._going:
            return
        self._going = True
        last = self.h2.highest_inbound_stream_id
        self._write(GoAwayFrame(0, last_stream_id=last, error_code=ErrorCodes.NO_ERROR).serialize())
        if not self.streams:
            self.transport.close()

    def end(self, failure: Failure) -> None:
        """Gives up on all streams; their clients are told why."""
        if not self.streams and self.transport is not None:
            self.transport.close()
        for stream in list(self.streams.values()):
            stream.end(failure)

    def abort(self) -> None:
        """Ends the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    # -- what the loop does ------------------------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left: so do its requests."""
        self.transport = None
        self.host.leave(self)
        for stream in list(self.streams.values()):
            stream.gone()
        self.streams.clear()

    def data_received(self, data: bytes) -> None:
        """Frames came."""
        if not data or self.transport is None or self.transport.is_closing():
            return
        try:
            for event in self.h2.receive_data(data):
                self._take(event)
                if self.transport is None or self.transport.is_closing():
                    return
        except ProtocolError:  # what it says about it is among what is to be sent
            self.flush()
            self._close()
            return
        except Exception as error:
            _log.error("unexpected", error=type(error).__name__)
            self.abort()
            return
        self.flush()

    def eof_received(self) -> bool:
        """The client leaves."""
        return False

    def pause_writing(self) -> None:
        """The client reads too slowly: it may say no more until it has caught up."""
        self.waits = True
        self._unsent = 0
        self.until = self.loop.time() + self.host.limits.stalled_s
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        self.waits = False
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()
        self._rest()
        for stream in list(self.streams.values()):
            stream.pump()
        self.flush()

    # -- what streams need -------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Writes what the state machine has to say."""
        data = self.h2.data_to_send()
        if data:
            self._write(data)

    def refuse(self, stream_id: int) -> None:
        """Turns a stream away that nothing was done about: the client may send it again elsewhere."""
        self.reset(stream_id, ErrorCodes.REFUSED_STREAM)

    def reset(self, stream_id: int, code: ErrorCodes) -> None:
        """Ends a stream."""
        try:
            self.h2.reset_stream(stream_id, code)
        except ProtocolError:  # it has ended already, or the whole connection has
            return
        self.flush()

    def closed(self, stream: Stream, *, whole: bool) -> None:
        """A stream has ended."""
        if self.streams.pop(stream.id, None) is None:
            return
        if self.streams:  # the first of them is the connection itself
            self.host.usage.leave(self.peer)
        if whole:
            self._resets = min(RESETS, self._resets + 1)
        self._rest()
        if self._going and not self.streams:
            self.flush()
            if self.transport is not None:
                self.transport.close()

    def leave(self, code: ErrorCodes) -> None:
        """Says why, and closes."""
        with contextlib.suppress(ProtocolError):
            self.h2.close_connection(code)
        self.flush()
        self._close()

    # -- frames ------------------------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        kind = type(event)
        if kind is DataReceived:
            data = cast(DataReceived, event)
            stream = self.streams.get(data.stream_id or 0)
            size = data.flow_controlled_length or 0
            if not data.data and data.stream_ended is None:
                self._control()
            if size:
                self.h2.acknowledge_received_data(size, data.stream_id)
            if stream is not None and data.data:
                stream.grow(data.data)
        elif kind is RequestReceived:
            self._begun(cast(RequestReceived, event))
        elif kind is StreamEnded:
            stream = self.streams.get(cast(StreamEnded, event).stream_id)
            if stream is not None:
                stream.ended()
        elif kind is StreamReset:
            self._reset(cast(StreamReset, event).stream_id)
        elif kind is WindowUpdated:
            self._opened(cast(WindowUpdated, event).stream_id)
        elif kind is RemoteSettingsChanged:
            self._control()
            self._opened(0)
        elif kind in (PingReceived, PriorityUpdated, UnknownFrameReceived):
            self._control()

    def _begun(self, event: RequestReceived) -> None:
        host, id = self.host, event.stream_id
        if self._going or host.draining:
            self.retire()
            self._write(RstStreamFrame(id, error_code=ErrorCodes.REFUSED_STREAM).serialize())
            return
        if self.streams:
            if host.usage.full(self.peer):
                self.refuse(id)
                return
            host.usage.enter(self.peer)
        host.waiting.pop(self, None)
        self.until = None
        stream = self.streams[id] = Stream(self, id)
        stream.begin(event.headers or [], ended=event.stream_ended is not None)

    def _reset(self, id: int) -> None:
        stream = self.streams.get(id)
        self._fill()
        self._resets -= 1
        if stream is not None:
            stream.gone()
        if self._resets < 0:
            self._calm("streams are reset faster than they are answered")

    def _opened(self, id: int) -> None:
        """A window has opened: of one stream, or of all."""
        if id:
            stream = self.streams.get(id)
            if stream is not None:
                stream.pump()
            return
        for stream in list(self.streams.values()):
            stream.pump()

    def _control(self) -> None:
        self._fill()
        self._controls -= 1
        if self._controls < 0:
            self._calm("control frames come faster than they do anything")

    def _fill(self) -> None:
        now = self.loop.time()
        passed, self._filled = now - self._filled, now
        self._resets = min(RESETS, self._resets + passed)
        self._controls = min(CONTROLS, self._controls + 100 * passed)

    def _calm(self, why: str) -> None:
        _log.warning("an HTTP/2 client was told to calm down", reason=why)
        self.leave(ErrorCodes.ENHANCE_YOUR_CALM)

    # -- the connection ----------------------------------------------------------------------------------------------

    def _rest(self) -> None:
        """Waits for a request, where there is none."""
        if self.streams or self.waits or self.transport is None:
            self.until = self.until if self.waits else None
            return
        now = self.loop.time()
        self.until = now + self.host.limits.keep_s
        self.host.waiting[self] = now

    def _write(self, data: bytes) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    def _close(self) -> None:
        """Ends the connection when what is written is out, or soon."""
        if self.transport is not None:
            self.transport.close()
            for stream in list(self.streams.values()):
                stream.gone()
