"""The main job: wire to exchange, events back to wire."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.events import Event, Usage
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Request
from hapenny.gateway.gateway import Gateway
from hapenny.protocols.codec import Codec, left_out
from hapenny.server.auth import context_of, identify
from hapenny.server.simulated.faults import FrameFault, cut, frame_fault, lost
from hapenny.server.transport import messages as web
from hapenny.telemetry.headers import at_commit, at_end, totals

_HIGH_WATER = 262_144
"""Bytes a slow reader may lag behind before the upstream is made to wait for it."""
_MEMO_BYTES = 8_000_000
"""Bodies a door remembers, by their size."""
_MEMO_BODY = 65_536
"""The largest body that is remembered."""
_READ_BY_CODECS = ("anthropic-", "x-amzn-bedrock-")
"""How the headers begin that codecs read into a request."""


class Door:
    """One surface: a codec, and what its path says about streaming (None: the body says it).

    The same bytes decode to the same request, which is frozen: bodies that come again, as those of cache hits do, are
    decoded once.
    """

    def __init__(self, codec: Codec, stream: bool | None = None) -> None:
        self.codec = codec
        self.stream = stream
        self._known: OrderedDict[tuple[object, ...], tuple[Request, int]] = OrderedDict()
        self._held = 0

    def decode(self, body: bytes, model: str | None, headers: Mapping[str, str]) -> Request:
        """The request in `body`. Raises `Failure`."""
        if len(body) > _MEMO_BODY:
            return self.codec.decode_request(body, model=model, stream=self.stream, headers=headers)
        key = (body, model, *[pair for pair in headers.items() if pair[0].startswith(_READ_BY_CODECS)])
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known[0]
        request = self.codec.decode_request(body, model=model, stream=self.stream, headers=headers)
        self._known[key] = (request, 2 * len(body))  # as it came, and as it was read
        self._held += 2 * len(body)
        while self._held > _MEMO_BYTES:
            self._held -= self._known.popitem(last=False)[1][1]
        return request


async def answer(
    gateway: Gateway, request: web.BaseRequest, door: Door, model: str | None, *, faulty: bool = False
) -> web.StreamResponse:
    """Answers one model request. `faulty` obeys requests for faults of the wire (a simulated provider).

    Raises:
        Failure: before anything was sent.
    """
    body = await request.read()
    headers = request.headers
    identity = identify(gateway.keyring, headers, request.method, request.raw_path, body, gateway.clock)
    asked = door.decode(body, model, headers)
    exchange = gateway.open(asked, context_of(identity, headers, asked), identity)
    flow: Answer | None = None
    try:
        try:
            flow = await gateway.answer(exchange)
            if asked.stream:
                return await _stream(gateway, request, door, exchange, flow, faulty)
            body, own = await _whole(flow, door.codec, exchange)
        except Failure as failure:
            exchange.failure = failure
            return await cut(request) if faulty and lost(failure) else fail(door, failure, exchange.id)
        exchange.commit()
        out = at_commit(exchange)
        money = gateway.totals(exchange)
        if money is not None:
            out.update(at_end(exchange, money))
        out.update(own)
        fault = frame_fault(request, asked.metadata) if faulty else None
        if fault is None:
            return web.Response(body=body, headers=out)
        return await _spoiled(request, body, out, fault)
    finally:
        if flow is not None:
            flow.close()
        # The books are written when the answer is on its way: the client need not wait for them.
        asyncio.get_running_loop().call_soon(gateway.close, exchange)


async def _whole(flow: Answer, codec: Codec, exchange: Exchange) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a whole answer, written once where it is always the same."""
    forms = flow.forms
    if forms is not None and codec.name in forms:
        await flow.drain()
        return forms[codec.name]
    completion = await flow.collect()
    if not codec.steady:
        completion.extras = {"latency_ms": _latency(exchange), **completion.extras}
    omitted = codec.omitted(completion)
    if omitted:
        exchange.note(left_out(omitted))
    asked = exchange.original
    written = codec.encode_answer(completion, asked), codec.answer_headers(completion, asked)
    if forms is not None and codec.steady and completion.model and not omitted:
        forms[codec.name] = written
    return written


async def _stream(
    gateway: Gateway, request: web.BaseRequest, door: Door, exchange: Exchange, flow: Answer, faulty: bool
) -> web.StreamResponse:
    fault = frame_fault(request, exchange.original.metadata) if faulty else None
    encoder = door.codec.encoder(exchange.original)
    headers = at_commit(exchange)
    headers["Content-Type"] = encoder.content_type
    response = web.StreamResponse(headers=headers)
    exchange.commit()
    await response.prepare(request)
    transport = request.transport
    if transport is not None:
        transport.set_write_buffer_limits(high=_HIGH_WATER)
    stall = _Stall(request, gateway.config.server.stalled_write_s)
    timed = door.codec.name in ("bedrock", "invoke")
    try:
        while (batch := await flow.read()) is not None:
            data = encoder.encode([_timed(event, exchange) for event in batch] if timed else batch)
            if data and fault is not None:
                data, over = fault.spoil(data)
                if over:
                    return await _ended(request, response, data, fault)
            if data:
                stall.begin()
                await response.write(data)
                stall.end()
        flow.close()
        if encoder.omitted:
            exchange.note(left_out(encoder.omitted))
        money = gateway.totals(exchange)
        last = encoder.note({"totals": totals(exchange, money).decode()}) if money is not None else b""
        last += encoder.end()
    except Failure as failure:
        exchange.failure = failure
        last = encoder.error(failure, exchange.id)
    finally:
        stall.cancel()
    await response.write_eof(last)
    return response


def _latency(exchange: Exchange) -> int:
    """Milliseconds since the request came."""
    return max(1, round(1000 * (exchange.clock.now() - exchange.arrived)))


def _timed(event: Event, exchange: Exchange) -> Event:
    """The event with the time that Bedrock's dialects tell beside the counts, unless the provider told its own."""
    if type(event) is not Usage or "latency_ms" in event.extras:
        return event
    return Usage(event.tokens, {**event.extras, "latency_ms": _latency(exchange)}, event.raw)


async def _spoiled(
    request: web.BaseRequest, body: bytes, headers: dict[str, str], fault: FrameFault
) -> web.StreamResponse:
    """A whole answer that breaks on its way."""
    data, over = fault.spoil(body, last=True)
    response = web.StreamResponse(headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    if over:
        return await _ended(request, response, data, fault)
    await response.write(data)
    await response.write_eof()
    return response


async def _ended(
    request: web.BaseRequest, response: web.StreamResponse, data: bytes, fault: FrameFault
) -> web.StreamResponse:
    await response.write(data)
    if fault.kind == "silence":
        await asyncio.sleep(3600)
    if request.transport is not None:
        request.transport.close()
    return response


def fail(door: Door, failure: Failure, request_id: str) -> web.Response:
    """The error in the client's own dialect."""
    status, headers, body = door.codec.encode_error(failure, request_id)
    headers.setdefault("x-request-id", request_id)
    if failure.retry_after is not None:
        headers.setdefault("retry-after-ms", str(max(1, round(failure.retry_after * 1000))))
        headers.setdefault("retry-after", str(max(1, math.ceil(failure.retry_after))))
    return web.Response(status=status, body=body, headers=headers)


class _Stall:
    """Ends a connection whose reader takes nothing for too long: one timer an answer, re-armed lazily."""

    def __init__(self, request: web.BaseRequest, limit: float) -> None:
        self._request = request
        self._limit = limit
        self._since: float | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: Any = self._loop.call_later(limit, self._check)

    def begin(self) -> None:
        self._since = self._loop.time()

    def end(self) -> None:
        self._since = None

    def cancel(self) -> None:
        self._timer.cancel()

    def _check(self) -> None:
        now = self._loop.time()
        if self._since is not None and now - self._since >= self._limit:
            transport = self._request.transport
            if transport is not None:
                transport.abort()
            return
        self._timer = self._loop.call_later(self._limit, self._check)
