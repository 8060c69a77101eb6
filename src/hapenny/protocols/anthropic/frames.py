"""Anthropic messages: writing a streamed answer.

Blocks are numbered in the order in which they are first written; a frame is forwarded only where its own number
agrees. Stop reason and counts wait for the end, since they share the last frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from hapenny.core.errors import Failure
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Event,
    Other,
    Shared,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    last_of,
)
from hapenny.core.messages import Opaque, Request
from hapenny.protocols import citations, sse
from hapenny.protocols import fields as f
from hapenny.protocols.anthropic import answer, errors, usage
from hapenny.protocols.anthropic.compose import OWN
from hapenny.protocols.anthropic.stream import CLOSING
from hapenny.protocols.codec import StreamEncoder, astray, foreign
from hapenny.protocols.stops import ANTHROPIC, word_for

_DELTA = b'{"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'


class Encoder(StreamEncoder):
    """Events to frames."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._model = request.model
        self._begun = False
        self._blocks: dict[int, int] = {}
        self._own: dict[int, dict[str, Any]] = {}
        """Further fields of blocks that begin with their first piece."""
        self._open = -1
        self._skipped: set[int] = set()
        self._stop: Stopped | None = None
        self._usage: Usage | None = None
        self._text = b""
        self._closing: dict[str, Any] = {}

    def wrap(self, name: str, payload: bytes) -> bytes:
        """One frame around a native event."""
        return b"event: " + name.encode() + b"\ndata: " + payload + b"\n\n"

    def forward(self, raw: bytes | None) -> bytes | None:
        """The frame to forward, if `raw` is one of this dialect."""
        if raw is None or not raw.startswith(b"event:") or raw.startswith(b"event: response."):  # OpenAI Responses
            return None
        return raw

    def encode(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        past = -1
        for index, event in enumerate(events):
            if index <= past:
                continue
            if type(event.raw) is Shared:
                last = last_of(events, index)
                if last >= 0 and self._begun_with(event, out):
                    past = last
                    continue
                event = structs.replace(event, raw=None)
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

    def _begun_with(self, event: Event, out: list[bytes]) -> bool:
        """Forwards a frame that begins a block together with its content, if it is one and its number fits."""
        raw = self.forward(event.raw)
        if raw is None or not isinstance(event, BlockStarted) or event.block == self._open:
            return False
        if event.block != self._next():
            return False
        self._enter(event.block, event.kind, out, event, raw)
        return True

    def _event(self, event: Event, out: list[bytes]) -> None:
        if isinstance(event, Started):
            self._start(event, out)
            return
        if isinstance(event, Usage):
            self._usage = event
            return
        if isinstance(event, Other):
            if event.kind == CLOSING:
                self._closing = event.payload
            elif (raw := self.forward(event.raw)) is not None:
                out.append(raw)
            return
        if event.choice:
            self.omitted.add("choices")
            return
        if isinstance(event, Stopped):
            self._stop = event
            self.omitted |= foreign(event.extras, _OWNERS)
            return
        block = event.block
        raw = self.forward(event.raw)
        if isinstance(event, BlockStarted):
            if event.kind == "other" and not (isinstance(event.payload, Opaque) and event.payload.protocol in OWN):
                self._skipped.add(block)
                self.omitted.add("blocks")
                return
            if type(event.payload) is dict and (own := event.payload.get("anthropic")):
                self._own[block] = own
            if event.kind != "thinking" or raw is not None:
                self._enter(block, event.kind, out, event, raw)
            return
        if block in self._skipped:
            return
        if isinstance(event, BlockStopped):
            if block == self._open:
                self._leave(out, raw)
            return
        if isinstance(event, ThinkingDelta) and event.redacted is not None:
            self._enter(block, "redacted", out, event)
            return
        note: Any = None
        if isinstance(event, CitationDelta) and raw is None:
            note = citations.translated("anthropic", event.citation, 0, 0)
            if note is None:
                self.omitted.add("citations")
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
            if not event.arguments:
                return
            payload = _DELTA % (number, b"input_json_delta", b"partial_json") + f.encode(event.arguments)
        elif isinstance(event, ThinkingDelta):
            payload = _DELTA % (number, b"thinking_delta", b"thinking") + f.encode(event.text)
        elif isinstance(event, SignatureDelta):
            payload = _DELTA % (number, b"signature_delta", b"signature") + f.encode(event.signature)
        elif isinstance(event, CitationDelta):
            payload = _DELTA % (number, b"citations_delta", b"citation") + f.encode(note)
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
        elif kind == "redacted" and isinstance(event, ThinkingDelta):
            content = {"type": "redacted_thinking", "data": event.redacted}
        elif kind == "thinking":
            content = {"type": "thinking", "thinking": "", "signature": ""}
        elif kind == "other" and isinstance(event, BlockStarted):
            content = event.payload.payload
        else:
            content = {"type": "text", "text": ""}
        if own := self._own.pop(block, None):
            content = {**content, **own}
        started = {"type": "content_block_start", "index": number, "content_block": content}
        out.append(self.wrap("content_block_start", f.encode(started)))

    def _next(self) -> int:
        return max(self._blocks.values(), default=-1) + 1

    def _leave(self, out: list[bytes], raw: bytes | None = None) -> None:
        if self._open >= 0:
            number = self._blocks[self._open]
            if raw is None or number != self._open:
                raw = self.wrap("content_block_stop", b'{"type":"content_block_stop","index":%d}' % number)
            out.append(raw)
            self._open = -1

    def finish(self, out: list[bytes]) -> None:
        """Appends the frames that close the answer."""
        if not self._begun:
            self._start(Started(), out)
        self._leave(out)
        stop, counts = self._stop, self._usage
        delta: dict[str, Any] = {"stop_reason": None, "stop_sequence": None}
        more: dict[str, Any] = {}
        if stop is not None:
            delta["stop_reason"] = word_for(stop.reason, ANTHROPIC, stop.extras.get(answer.WORD))
            delta["stop_sequence"] = stop.sequence if stop.reason == "stop_sequence" else None
            delta.update(stop.extras.get("anthropic", {}))
            more = stop.extras.get(answer.FRAME, {})
        total = usage.encode(counts.tokens, counts.extras.get("anthropic.usage")) if counts else _NOTHING
        last = {"type": "message_delta", "delta": delta, "usage": total, **more}
        out.append(self.wrap("message_delta", f.encode(last)))
        out.append(self.wrap("message_stop", f.encode({"type": "message_stop", **self.closing(), **self._closing})))

    def closing(self) -> dict[str, Any]:
        """What the last native event says beside its type."""
        return {}

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


_OWNERS = frozenset(("anthropic",))
_KINDS = {ThinkingDelta: "thinking", SignatureDelta: "thinking", CitationDelta: "text"}
_NOTHING = {"input_tokens": 0, "output_tokens": 0}
