"""Anthropic messages: the streamed answer, both ways.

Each frame is one event and carries itself as `raw`, but for `message_delta`, which holds stop reason and counts: it is
always written anew, so that a stage may change either. Blocks of the answer are numbered in the order in which they
are first written; a frame is forwarded only where its own number agrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from hapenny.core.errors import Failure
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Event,
    Other,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
)
from hapenny.core.messages import Opaque, Request
from hapenny.protocols import fields as f
from hapenny.protocols import sse
from hapenny.protocols.anthropic import answer, errors, usage
from hapenny.protocols.anthropic.compose import OWN
from hapenny.protocols.codec import StreamDecoder, StreamEncoder, astray
from hapenny.protocols.stops import ANTHROPIC, FROM_ANTHROPIC


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
        self._stopped = False
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
        elif kind == "error":
            raise errors.decode(200, {}, payload)
        elif kind != "ping":
            name = answer.text(kind)
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
            events.append(TextDelta(answer.text(delta.get("text")), index, 0, raw))
        elif kind == "input_json_delta":
            events.append(ToolCallDelta(answer.text(delta.get("partial_json")), index, 0, raw))
        elif kind == "thinking_delta":
            events.append(ThinkingDelta(answer.text(delta.get("thinking")), index, 0, None, raw))
        elif kind == "signature_delta":
            events.append(SignatureDelta(answer.text(delta.get("signature")), index, 0, raw))
        elif kind == "citations_delta":
            events.append(CitationDelta(delta.get("citation"), index, 0, raw))
        else:
            events.append(Other(data, "anthropic:content_block_delta", raw))

    def _open(self, block: dict[str, Any], index: int, raw: bytes | None, events: list[Event]) -> None:
        begun = answer.opening(block, index)
        events.append(BlockStarted(index, begun.kind, 0, begun.id, begun.name, begun.payload, raw))
        # A block may begin with content; then the frame says more than the event.
        said = len(events)
        if begun.kind == "text" and (piece := answer.text(block.get("text"))):
            events.append(TextDelta(piece, index))
        elif begun.kind == "tool_use" and block.get("input"):
            events.append(ToolCallDelta(f.arguments_of(block["input"]), index))
        elif block.get("type") == "redacted_thinking":
            events.append(ThinkingDelta("", index, 0, answer.text(block.get("data"))))
        elif begun.kind == "thinking":
            if piece := answer.text(block.get("thinking")):
                events.append(ThinkingDelta(piece, index))
            if piece := answer.text(block.get("signature")):
                events.append(SignatureDelta(piece, index))
        if len(events) > said:
            events[said - 1] = begun

    def _end(self, data: dict[str, Any], events: list[Event]) -> None:
        delta = data.get("delta")
        counts = data.get("usage")
        if type(delta) is dict and type(word := delta.get("stop_reason")) is str:
            self._stopped = True
            extras = {k: v for k, v in delta.items() if k not in ("stop_reason", "stop_sequence") and v is not None}
            sequence = answer.text(delta.get("stop_sequence")) or None
            reason = FROM_ANTHROPIC.get(word, "end_turn")
            events.append(Stopped(reason, 0, sequence, {"anthropic": extras} if extras else {}))
        if type(counts) is dict:
            self._usage.update((key, value) for key, value in counts.items() if value is not None)
            events.append(answer.counted(self._usage))


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


_DELTA = b'{"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'


class Encoder(StreamEncoder):
    """Events to frames."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._model = request.model
        self._begun = False
        self._blocks: dict[int, int] = {}
        self._open = -1
        self._skipped: set[int] = set()
        self._stop: Stopped | None = None
        self._usage: Usage | None = None
        self._text = b""

    def wrap(self, name: str, payload: bytes) -> bytes:
        """One frame around a native event."""
        return b"event: " + name.encode() + b"\ndata: " + payload + b"\n\n"

    def forward(self, raw: bytes | None) -> bytes | None:
        """The frame to forward, if `raw` is one of this dialect."""
        return raw if raw is not None and raw.startswith(b"event:") else None

    def encode(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if type(event) is TextDelta:
                if event.choice:
                    continue
                block = event.block
                if block != self._open or not self._text:
                    self._enter(block, "text", out)
                if (raw := self.forward(event.raw)) is not None and self._blocks[block] == block:
                    out.append(raw)
                elif event.text and self._text:
                    out.append(self.wrap("content_block_delta", self._text + f.encode(event.text) + b"}}"))
            else:
                self._event(event, out)
        return b"".join(out)

    def _event(self, event: Event, out: list[bytes]) -> None:
        if isinstance(event, Started):
            self._start(event, out)
            return
        if isinstance(event, Usage):
            self._usage = event
            return
        if isinstance(event, Other):
            if (raw := self.forward(event.raw)) is not None:
                out.append(raw)
            return
        if event.choice:
            return
        if isinstance(event, Stopped):
            self._stop = event
            return
        block = event.block
        raw = self.forward(event.raw)
        if isinstance(event, BlockStarted):
            if event.kind == "other" and not (isinstance(event.payload, Opaque) and event.payload.protocol in OWN):
                self._skipped.add(block)
            elif event.kind != "thinking" or raw is not None:
                self._enter(block, event.kind, out, event, raw)
            return
        if block in self._skipped:
            return
        if isinstance(event, BlockStopped):
            if block == self._open:
                self._leave(out)
            return
        if isinstance(event, ThinkingDelta) and event.redacted is not None:
            self._enter(block, "redacted", out, event)
            return
        if isinstance(event, CitationDelta) and raw is None:
            note = event.citation
            if type(note) is not dict or note.get("type") not in answer.NOTES:
                return
        if block != self._open:
            if isinstance(event, ToolCallDelta):
                raise astray()
            self._enter(block, _KINDS.get(type(event), "text"), out)
        if raw is not None and self._blocks[block] == block:
            out.append(raw)
            return
        number = self._blocks[block]
        if isinstance(event, ToolCallDelta):
            payload = _DELTA % (number, b"input_json_delta", b"partial_json") + f.encode(event.arguments)
        elif isinstance(event, ThinkingDelta):
            payload = _DELTA % (number, b"thinking_delta", b"thinking") + f.encode(event.text)
        elif isinstance(event, SignatureDelta):
            payload = _DELTA % (number, b"signature_delta", b"signature") + f.encode(event.signature)
        elif isinstance(event, CitationDelta):
            payload = _DELTA % (number, b"citations_delta", b"citation") + f.encode(event.citation)
        else:
            return
        out.append(self.wrap("content_block_delta", payload + b"}}"))

    def _start(self, event: Started, out: list[bytes]) -> None:
        if self._begun:
            return
        self._begun = True
        if (raw := self.forward(event.raw)) is not None:
            out.append(raw)
            return
        counts = usage.encode(event.tokens, None) if event.tokens is not None else _NOTHING
        message = {
            "id": event.id,
            "type": "message",
            "role": "assistant",
            "model": event.model or self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": counts,
            **event.extras.get("anthropic", {}),
        }
        out.append(self.wrap("message_start", f.encode({"type": "message_start", "message": message})))

    def _enter(
        self,
        block: int,
        kind: str,
        out: list[bytes],
        event: BlockStarted | ThinkingDelta | None = None,
        raw: bytes | None = None,
    ) -> None:
        """Opens `block`, unless it is open; a block that was left cannot be opened again, so it gets a new number."""
        if block == self._open:
            return
        if not self._begun:
            self._start(Started(), out)
        self._leave(out)
        number = self._blocks[block] = self._next()
        self._open = block
        self._text = _DELTA % (number, b"text_delta", b"text") if kind == "text" else b""
        if raw is not None and number == block:
            out.append(raw)
            return
        content: dict[str, Any]
        if kind == "tool_use" and isinstance(event, BlockStarted):
            content = {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
            if type(event.payload) is dict:
                content.update(event.payload.get("anthropic", {}))
        elif kind == "redacted" and isinstance(event, ThinkingDelta):
            content = {"type": "redacted_thinking", "data": event.redacted}
        elif kind == "thinking":
            content = {"type": "thinking", "thinking": "", "signature": ""}
        elif kind == "other" and isinstance(event, BlockStarted):
            content = event.payload.payload
        else:
            content = {"type": "text", "text": ""}
        started = {"type": "content_block_start", "index": number, "content_block": content}
        out.append(self.wrap("content_block_start", f.encode(started)))

    def _next(self) -> int:
        return max(self._blocks.values(), default=-1) + 1

    def _leave(self, out: list[bytes]) -> None:
        if self._open >= 0:
            number = self._blocks[self._open]
            out.append(self.wrap("content_block_stop", b'{"type":"content_block_stop","index":%d}' % number))
            self._open = -1

    def finish(self, out: list[bytes]) -> None:
        """Appends the frames that close the answer."""
        if not self._begun:
            self._start(Started(), out)
        self._leave(out)
        stop, counts = self._stop, self._usage
        delta: dict[str, Any] = {"stop_reason": ANTHROPIC[stop.reason] if stop else None, "stop_sequence": None}
        if stop is not None:
            delta["stop_sequence"] = stop.sequence if stop.reason == "stop_sequence" else None
            delta.update(stop.extras.get("anthropic", {}))
        total = usage.encode(counts.tokens, counts.extras.get("anthropic.usage")) if counts else _NOTHING
        out.append(self.wrap("message_delta", f.encode({"type": "message_delta", "delta": delta, "usage": total})))
        out.append(self.wrap("message_stop", self.closing()))

    def closing(self) -> bytes:
        """The last native event."""
        return b'{"type":"message_stop"}'

    def error(self, failure: Failure, request_id: str) -> bytes:
        return self.wrap("error", f.encode(errors.body_of(failure, request_id)))

    def note(self, facts: dict[str, str]) -> bytes:
        return sse.comment(facts)

    def end(self) -> bytes:
        out: list[bytes] = []
        self.finish(out)
        return b"".join(out)

    def ping(self) -> bytes:
        return b'event: ping\ndata: {"type": "ping"}\n\n'


_KINDS = {ThinkingDelta: "thinking", SignatureDelta: "thinking", CitationDelta: "text"}
_NOTHING = {"input_tokens": 0, "output_tokens": 0}
