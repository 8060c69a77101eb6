"""Anthropic messages: reading a streamed answer.

Each frame is one event and carries itself as `raw` (a block that begins with content: several events, which share it),
but for `message_delta`, which holds stop reason and counts: it is always written anew, so that a stage may change
either.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from hapenny.core.errors import Failure
from hapenny.core.events import (
    BlockStopped,
    CitationDelta,
    Event,
    Other,
    SignatureDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    shared,
)
from hapenny.protocols import fields as f
from hapenny.protocols import sse
from hapenny.protocols.anthropic import answer, errors, usage
from hapenny.protocols.codec import StreamDecoder


class _Text(Struct, tag="text_delta"):
    text: str


class _Plain(Struct, tag="content_block_delta"):
    """The common frame: a piece of text; anything else fails to decode."""

    index: Annotated[int, Meta(ge=0)]
    delta: _Text


_decode_plain = msgspec.json.Decoder(_Plain).decode
_NO_DATA: dict[str, Any] = {}


class Reader:
    """Native events (the JSON of one frame) to events; the framing is the caller's."""

    def __init__(self, model: str, id_: str, created: float) -> None:
        self._usage: dict[str, Any] = {}
        self._stopped = self._called = False
        self._defaults = (model, id_, created)
        self.closed = False

    def read(self, payload: bytes, events: list[Event]) -> dict[str, Any]:
        """Appends the events of one frame; gives the frame's JSON, {} for a piece of text."""
        try:
            plain = _decode_plain(payload)
        except (ValueError, RecursionError):
            pass
        else:
            events.append(TextDelta(plain.delta.text, plain.index, 0, frame("content_block_delta", payload)))
            return _NO_DATA
        data = f.load_frame(payload)
        kind = data.get("type")
        if kind == "content_block_delta":
            delta = data.get("delta")
            index = data.get("index")
            if type(delta) is not dict or type(index) is not int or index < 0:
                raise Failure("upstream", "The provider's stream holds a delta without index or content.")
            self._delta(data, delta, index, frame("content_block_delta", payload), events)
        elif kind == "content_block_start":
            block, index = data.get("content_block"), data.get("index")
            if type(block) is not dict or type(index) is not int or index < 0:
                raise Failure("upstream", "The provider's stream holds a block without index or content.")
            self._open(block, index, frame("content_block_start", payload), events)
        elif kind == "content_block_stop":
            index = data.get("index")
            if type(index) is int:
                events.append(BlockStopped(index, raw=frame("content_block_stop", payload)))
        elif kind == "message_start":
            message = data.get("message")
            if type(message) is not dict:
                raise Failure("upstream", "The provider's stream begins without a message.")
            counts = message.get("usage")
            if type(counts) is dict:
                self._usage.update(counts)
            model, id_, created = self._defaults
            begun = answer.started(message, model, id_, created)
            raw = frame("message_start", payload) if begun.model == message.get("model") else None
            events.append(Started(begun.id, begun.model, begun.created, begun.tokens, begun.extras, raw))
        elif kind == "message_delta":
            self._end(data, events)
        elif kind == "message_stop":
            self.closed = True
            more = {key: value for key, value in data.items() if key != "type" and key not in _METRICS}
            if more:
                events.append(Other(f.bound_upstream(more), CLOSING))
        elif kind == "error":
            raise errors.decode(200, {}, payload)
        elif kind != "ping":
            name = f.text(kind)
            events.append(Other(data, f"anthropic:{name}", frame(name, payload)))
        return data

    def close(self) -> None:
        """The stream ended cleanly; raises if it should not have."""
        if not (self.closed and self._stopped):
            raise Failure("truncated", "The provider's stream ended before the answer was complete.")

    def _delta(
        self, data: dict[str, Any], delta: dict[str, Any], index: int, raw: bytes | None, events: list[Event]
    ) -> None:
        kind = delta.get("type")
        if kind == "text_delta":
            events.append(TextDelta(f.text(delta.get("text")), index, 0, raw))
        elif kind == "input_json_delta":
            events.append(ToolCallDelta(f.text(delta.get("partial_json")), index, 0, raw))
        elif kind == "thinking_delta":
            events.append(ThinkingDelta(f.text(delta.get("thinking")), index, 0, None, raw))
        elif kind == "signature_delta":
            events.append(SignatureDelta(f.text(delta.get("signature")), index, 0, raw))
        elif kind == "citations_delta":
            events.append(CitationDelta(delta.get("citation"), index, 0, raw))
        else:
            events.append(Other(data, "anthropic:content_block_delta", raw))

    def _open(self, block: dict[str, Any], index: int, raw: bytes | None, events: list[Event]) -> None:
        begun = answer.opening(block, index)
        self._called |= begun.kind == "tool_use"
        place = len(events)
        events.append(begun)
        if begun.kind == "text" and (piece := f.text(block.get("text"))):
            events.append(TextDelta(piece, index))
        elif begun.kind == "tool_use" and block.get("input"):
            events.append(ToolCallDelta(f.arguments_of(block["input"]), index))
        elif block.get("type") == "redacted_thinking":
            events.append(ThinkingDelta("", index, 0, f.text(block.get("data"))))
        elif begun.kind == "thinking":
            if piece := f.text(block.get("thinking")):
                events.append(ThinkingDelta(piece, index))
            if piece := f.text(block.get("signature")):
                events.append(SignatureDelta(piece, index))
        if raw is not None:  # a block may begin with content: then the frame says several events
            raw = shared(raw, len(events) - place)
            for index in range(place, len(events)):
                events[index] = structs.replace(events[index], raw=raw)

    def _end(self, data: dict[str, Any], events: list[Event]) -> None:
        delta = data.get("delta")
        counts = data.get("usage")
        if type(delta) is dict and type(word := delta.get("stop_reason")) is str:
            self._stopped = True
            inner = {k: v for k, v in delta.items() if k not in ("stop_reason", "stop_sequence") and v is not None}
            outer = {k: v for k, v in data.items() if k not in ("type", "delta", "usage") and v is not None}
            extras = {"anthropic": inner, answer.FRAME: outer}
            extras = f.bound_upstream({owner: fields for owner, fields in extras.items() if fields})
            events.append(answer.stopped(word, delta.get("stop_sequence"), extras, self._called))
        if type(counts) is dict:
            self._usage.update((key, value) for key, value in counts.items() if value is not None)
            events.append(usage.counted(self._usage))


CLOSING = "anthropic:message_stop"
"""The kind of what stands in `message_stop` beside its type."""
_METRICS = ("amazon-bedrock-invocationMetrics",)
"""What is read there and written anew."""


def frame(name: str, payload: bytes) -> bytes | None:
    """The frame of a native event, as `raw` holds it; None if it cannot be written on one line."""
    if b"\n" in payload:
        return None
    return b"event: " + name.encode() + b"\ndata: " + payload + b"\n\n"


class Decoder(StreamDecoder):
    """Frames to events."""

    def __init__(self, model: str, id_: str, created: float) -> None:
        self._sse = sse.Parser()
        self._reader = Reader(model, id_, created)

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for _, payload in self._sse.feed(data):
            if not self._reader.closed:
                self._reader.read(payload, events)
        return events

    def close(self) -> list[Event]:
        events: list[Event] = []
        for _, payload in self._sse.flush():
            if not self._reader.closed:
                self._reader.read(payload, events)
        self._reader.close()
        return events
