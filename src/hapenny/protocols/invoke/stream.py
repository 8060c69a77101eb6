"""InvokeModelWithResponseStream: Anthropic's native events, base64 in binary frames.

`raw` is the native event framed as Anthropic frames it, so that it can be forwarded to clients of either surface.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from hapenny.core.errors import Failure
from hapenny.core.events import Event, Tokens, Usage
from hapenny.core.messages import Request
from hapenny.protocols import eventstream
from hapenny.protocols import fields as f
from hapenny.protocols.anthropic import frames as written
from hapenny.protocols.anthropic import stream as native
from hapenny.protocols.bedrock import errors
from hapenny.protocols.bedrock.stream import NOTE
from hapenny.protocols.billing import LATENCY_HEADER, TIER_HEADER, of_headers
from hapenny.protocols.codec import StreamDecoder

_METRICS = "amazon-bedrock-invocationMetrics"
_CHUNK = eventstream.event_headers("chunk")


def terms_out(extras: Mapping[str, Any]) -> dict[str, str]:
    """The headers in which InvokeModel says how it served."""
    served = extras.get("bedrock.usage", {})
    given = ((TIER_HEADER, "serviceTier", "type"), (LATENCY_HEADER, "performanceConfig", "latency"))
    values = {header: served.get(name, {}).get(field) for header, name, field in given}
    return {header: value for header, value in values.items() if type(value) is str}


class _Chunk(Struct):
    data: bytes = field(name="bytes")


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class Decoder(StreamDecoder):
    """Frames to events."""

    def __init__(self, model: str, id_: str, created: float, headers: Mapping[str, str]) -> None:
        self._frames = eventstream.Parser()
        self._reader = native.Reader(model, id_, created)
        self._counted = False
        self._terms = of_headers(headers)

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for frame in self._frames.feed(data):
            if frame.kind != "event":
                raise errors.decode(200, {}, frame.payload, frame.name or "internalServerException")
            if frame.name == "chunk" and not self._reader.closed:
                self._chunk(frame.payload, events)
        return events

    def close(self) -> list[Event]:
        self._frames.close()
        self._reader.close()
        return []

    def _chunk(self, payload: bytes, events: list[Event]) -> None:
        try:
            inner = _decode_chunk(payload).data
        except (ValueError, RecursionError):
            raise Failure("upstream", "The provider's stream holds a chunk without base64 bytes.") from None
        before = len(events)
        data = self._reader.read(inner, events)
        if not data:
            return
        for place in range(before, len(events)):
            event = events[place]
            if isinstance(event, Usage):
                self._counted = True
                events[place] = Usage(event.tokens, event.extras | self._terms, event.raw)
        metrics = data.get(_METRICS)
        if type(metrics) is dict and not self._counted:
            self._counted = True
            events.append(
                Usage(
                    Tokens(
                        input=f.count(metrics.get("inputTokenCount")),
                        output=f.count(metrics.get("outputTokenCount")),
                        cache_read=f.count(metrics.get("cacheReadInputTokenCount")),
                        cache_write=f.count(metrics.get("cacheWriteInputTokenCount")),
                    ),
                    self._terms,
                )
            )


class Encoder(written.Encoder):
    """Events to frames."""

    content_type = eventstream.CONTENT_TYPE

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._tokens: Tokens | None = None
        self._latency = 0

    def wrap(self, name: str, payload: bytes) -> bytes:
        return eventstream.frame(_CHUNK, b'{"bytes":"%b"}' % binascii.b2a_base64(payload, newline=False))

    def forward(self, raw: bytes | None) -> bytes | None:
        if raw is None or not raw.startswith(b"event:"):
            return None
        return self.wrap("", raw[raw.index(b"\n") + 7 : -2])

    def encode(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if type(event) is Usage:
                self._tokens = event.tokens
                self._latency = int(event.extras.get("latency_ms", 0))
        return super().encode(events)

    def closing(self) -> dict[str, Any]:
        tokens = self._tokens or Tokens()
        metrics: dict[str, Any] = {
            "inputTokenCount": tokens.input,
            "outputTokenCount": tokens.output,
            "invocationLatency": self._latency,
            "firstByteLatency": 0,
        }
        if tokens.cache_read or tokens.cache_write or tokens.cache_write_1h:
            metrics["cacheReadInputTokenCount"] = tokens.cache_read
            metrics["cacheWriteInputTokenCount"] = tokens.cache_write + tokens.cache_write_1h
        return {_METRICS: metrics}

    def error(self, failure: Failure, request_id: str) -> bytes:
        return errors.exception(failure)

    def note(self, facts: dict[str, str]) -> bytes:
        return eventstream.event(NOTE, f.encode(facts))

    def ping(self) -> bytes:
        return self.wrap("ping", b'{"type":"ping"}')
