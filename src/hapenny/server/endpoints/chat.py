"""The main job: a request on the wire to an exchange, events back to the wire."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Protocol, TypeAlias

from msgspec.structs import replace

from hapenny.admission.gate import LIMITS
from hapenny.admission.keys import OPEN
from hapenny.core.answer import Answer, Transform
from hapenny.core.errors import Failure
from hapenny.core.events import Event, Usage
from hapenny.core.exchange import Exchange
from hapenny.core.latency import EDGE
from hapenny.core.messages import Protocol as Spoken
from hapenny.core.messages import Request
from hapenny.gateway.gateway import Gateway
from hapenny.protocols.codec import Codec, StreamEncoder, left_out
from hapenny.protocols.invoke import is_native_anthropic
from hapenny.protocols.registry import codec
from hapenny.protocols.stops import unworded
from hapenny.server.call import Call, Endpoint
from hapenny.server.endpoints.passthrough import forward
from hapenny.server.limit_headers import limit_headers
from hapenny.server.passable_request import named_once, permit_asked
from hapenny.server.provider_objects import names_objects, objects_of_chat, permit_objects
from hapenny.server.replies import failed
from hapenny.server.transport.messages import PieceSink, Response
from hapenny.telemetry.headers import at_commit, at_end, totals


class Reads(Protocol):
    """What `answer` asks of a surface."""

    @property
    def codec(self) -> Codec:
        """Its dialect."""

    def decode(self, body: bytes, model: str | None, headers: Mapping[str, str]) -> Request:
        """The request in `body`. Raises `Failure`."""


Watch: TypeAlias = Callable[[Exchange], Transform]
_TIMED = ("bedrock", "invoke")
"""Protocols that tell the time an answer took beside its counts."""
_MEMO_BYTES = 8_000_000
"""Bodies a surface remembers, by their size."""
_ONCE = 8_192
"""Bodies of which is known that they came, so that those that come again are remembered."""
_MEMO_BODY = 65_536
"""The largest body that is remembered."""
_READ_BY_CODECS = ("anthropic-", "x-amzn-bedrock-")
"""How the headers begin that codecs read into a request."""


@lru_cache(64)
def _read(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those headers of a request that codecs read."""
    return tuple(name for name in names if name.startswith(_READ_BY_CODECS))


class Surface:
    """A codec, and what its path says about streaming (None: the body says it).

    The same bytes decode to the same request, which is frozen: bodies that come again, as those of cache hits do, are
    remembered.
    """

    def __init__(self, protocol: Spoken, stream: bool | None = None) -> None:
        self.codec = codec(protocol)
        self.stream = stream
        self._known: OrderedDict[tuple[object, ...], tuple[Request, int]] = OrderedDict()
        self._held = 0
        self._once: set[int] = set()
        """Hashes of bodies that came once."""

    def decode(self, body: bytes, model: str | None, headers: Mapping[str, str]) -> Request:
        """The request in `body`. Raises `Failure`."""
        if len(body) > _MEMO_BODY:
            return self.codec.decode_request(body, model=model, stream=self.stream, headers=headers)
        read = _read(tuple(headers))
        key: tuple[object, ...] = (body, model, read, *[headers[name] for name in read]) if read else (body, model)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known[0]
        request = self.codec.decode_request(body, model=model, stream=self.stream, headers=headers)
        mark = hash(key)
        if mark not in self._once:  # most bodies never come again
            if len(self._once) >= _ONCE:
                self._once.clear()
            self._once.add(mark)
            return request
        request = replace(request, recurs=True)
        self._known[key] = (request, 2 * len(body))  # as it came, and as it was read
        self._held += 2 * len(body)
        while self._held > _MEMO_BYTES:
            self._held -= self._known.popitem(last=False)[1][1]
        return request


def _answers(surface: Surface) -> Endpoint:
    """The endpoint of a surface."""

    async def endpoint(call: Call) -> Response:
        return await answer(call, surface)

    return endpoint


OPENAI = _answers(Surface("openai"))
ANTHROPIC = _answers(Surface("anthropic"))
CONVERSE = _answers(Surface("bedrock", stream=False))
CONVERSE_STREAM = _answers(Surface("bedrock", stream=True))


def invoke(*, stream: bool) -> Endpoint:
    """InvokeModel, whole or streamed: bodies of other vendors than Anthropic pass through."""
    surface = Surface("invoke", stream=stream)

    async def endpoint(call: Call) -> Response:
        if is_native_anthropic(call.body, call.params["model"]):
            return await answer(call, surface)
        return await forward(call)

    return endpoint


async def answer(call: Call, surface: Reads, watch: Watch | None = None) -> Response:
    """Answers one model request. `watch` makes what looks at the answer as it passes.

    Raises:
        Failure: where there is no exchange yet.
    """
    gateway, headers = call.gateway, call.request.headers
    asked = surface.decode(call.body, call.params.get("model"), headers)
    if asked.extras:
        named_once(asked.extras)
    if "*" not in call.identity.models:
        permit_asked(call.identity, asked, call.body)
    exchange = gateway.open(asked, call.context(asked), call.identity)
    flow: Answer | None = None
    streams = False
    try:
        if call.identity is not OPEN and not gateway.keyring.open and names_objects(call.body):
            await permit_objects(gateway, call.services, call.identity.key_id, objects_of_chat(call.body))
        await gateway.admit(exchange)
        if call.request.received is not None:
            exchange.stage_notes[EDGE] = (call.request.received, gateway.clock.now())
        flow = await gateway.answer(exchange)
        if watch is not None:
            flow.through(watch(exchange))
        if asked.stream:
            response = _stream(gateway, surface.codec, exchange, flow)
            streams = True  # which closes what it reads
            return response
        body, own = await _whole(flow, surface.codec, exchange)
        exchange.commit()
        out = _at_commit(gateway, exchange)
        money = gateway.totals(exchange)
        if money is not None:
            out.update(at_end(exchange, money))
        out.update(own)
        return Response(body, headers=out)
    except Failure as failure:
        exchange.failure = failure
        return failed(surface.codec, failure, exchange.id, gateway.clock.wall())
    except asyncio.CancelledError:
        exchange.failure = call.request.ended or exchange.failure
        raise
    finally:
        if not streams:
            if flow is not None:
                flow.close()
            _close(gateway, exchange)


def _close(gateway: Gateway, exchange: Exchange) -> None:
    """Ends the exchange. The books are written when the answer is on its way: the client need not wait for them."""
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
    stops = [choice.reason for choice in completion.choices if unworded(codec.name, choice.reason)]
    if stops:
        exchange.note(f"stop={stops[0]} (not in this dialect)")
    asked = exchange.original
    written = codec.encode_answer(completion, asked), codec.answer_headers(completion, asked)
    if forms is not None and codec.steady and completion.model and not omitted and not stops:
        forms[codec.name] = written
    return written


def _at_commit(gateway: Gateway, exchange: Exchange) -> dict[str, str]:
    """The headers known when the first byte goes out; an answer of no provider says so."""
    headers = at_commit(exchange)
    limits = exchange.stage_notes.get(LIMITS)
    if limits is not None:
        headers.update(limit_headers(exchange.original.protocol, limits, gateway.clock.wall()))
    if gateway.simulated and gateway.plays(exchange):
        headers["x-hapenny-simulated"] = "true"
    return headers


def _stream(gateway: Gateway, codec: Codec, exchange: Exchange, flow: Answer) -> Response:
    encoder = codec.encoder(exchange.original)
    headers = _at_commit(gateway, exchange)
    headers["content-type"] = encoder.content_type
    exchange.commit()
    return Response(headers=headers, pieces=_Streamed(gateway, exchange, flow, encoder, codec.name in _TIMED))


class _Streamed:
    """A streamed answer as pieces of its dialect."""

    __slots__ = ("_encode", "_encoder", "_exchange", "_flow", "_gateway", "_problem", "last", "late")

    def __init__(self, gateway: Gateway, exchange: Exchange, flow: Answer, encoder: StreamEncoder, timed: bool) -> None:
        self.last = False
        self.late = not flow.begun
        self._gateway = gateway
        self._exchange = exchange
        self._flow = flow
        self._encoder = encoder
        self._encode = self._encode_timed if timed else encoder.encode
        self._problem: Exception | None = None
        """What broke while somebody listened."""

    async def read(self) -> bytes | None:
        """What the next events say; a failure is said in the stream's own words, and is its end."""
        try:
            if self._problem is not None:
                raise self._problem
            while (batch := await self._flow.read()) is not None:
                if data := self._encode(batch):
                    return data
            data = self._ended()
        except Failure as failure:
            data = self.cut(failure)
        self.last = True
        return data

    def listen(self, sink: PieceSink | None) -> bool:
        """Hands what the events that come say to `sink`; False: it has to be read."""
        return self._flow.listen(None if sink is None else partial(self._came, sink))

    def _came(self, sink: PieceSink, batch: Sequence[Event] | None) -> None:
        if batch is not None:
            try:
                data = self._encode(batch)
            except Exception as error:  # raised to whoever reads on
                self._problem = error
                self._flow.listen(None)
            else:
                if data:
                    sink(data)
                return
        sink(None)

    def _encode_timed(self, batch: Sequence[Event]) -> bytes:
        return self._encoder.encode([_timed(event, self._exchange) for event in batch])

    def _ended(self) -> bytes:
        """What stands behind the last event."""
        exchange, encoder = self._exchange, self._encoder
        self._flow.close()
        if encoder.omitted:
            exchange.note(left_out(encoder.omitted))
        money = self._gateway.totals(exchange)
        data = encoder.note({"totals": totals(exchange, money).decode()}) if money is not None else b""
        return data + encoder.end()

    def silence(self) -> bytes:
        """A keep-alive of the dialect."""
        return self._encoder.ping()

    def cut(self, failure: Failure) -> bytes:
        """The dialect's error event."""
        self._exchange.failure = failure
        return self._encoder.error(failure, self._exchange.id)

    def close(self) -> None:
        """Lets go of the upstream."""
        self._flow.close()
        _close(self._gateway, self._exchange)


def _latency(exchange: Exchange) -> int:
    """Milliseconds since the request came."""
    return max(1, round(1000 * (exchange.clock.now() - exchange.arrived)))


def _timed(event: Event, exchange: Exchange) -> Event:
    """The event with the time that Bedrock's dialects tell beside the counts, unless the provider told its own."""
    if type(event) is not Usage or "latency_ms" in event.extras:
        return event
    return Usage(event.tokens, {**event.extras, "latency_ms": _latency(exchange)}, event.raw)
