"""Bedrock ConverseStream: the streamed answer, both ways. One frame is one event and carries itself as `raw`."""

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
from hapenny.protocols import citations, eventstream
from hapenny.protocols import fields as f
from hapenny.protocols.bedrock import answer, errors
from hapenny.protocols.codec import StreamDecoder, StreamEncoder, astray, foreign
from hapenny.protocols.stops import BEDROCK, word_for

NOTE = "hapennyNote"
"""The private event of `note`: boto3 skips events it does not know."""


class _Text(Struct):
    text: str


class _Plain(Struct):
    contentBlockIndex: Annotated[int, Meta(ge=0)]
    delta: _Text


_decode_plain = msgspec.json.Decoder(_Plain).decode


class Decoder(StreamDecoder):
    """Frames to events. The answer ends with `metadata`, not with `messageStop`."""

    def __init__(self, model: str, id_: str, created: float) -> None:
        self._frames = eventstream.Parser()
        self._defaults = (id_, model, created)
        self._blocks: set[int] = set()
        self._stopped = self._counted = self._called = False

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for frame in self._frames.feed(data):
            if frame.kind != "event":
                raise errors.decode(200, {}, frame.payload, frame.name or "internalServerException")
            if frame.name == "contentBlockDelta":
                try:  # the common frame: a piece of text
                    plain = _decode_plain(frame.payload)
                except (ValueError, RecursionError):
                    pass
                else:
                    index = plain.contentBlockIndex
                    if index not in self._blocks:
                        self._begin(index, "text", events)
                    events.append(TextDelta(plain.delta.text, index, 0, frame.raw))
                    continue
            self._frame(frame.name, f.load_frame(frame.payload) if frame.payload else {}, frame.raw, events)
        return events

    def close(self) -> list[Event]:
        self._frames.close()
        if not (self._stopped and self._counted):
            raise Failure("truncated", "The provider's stream ended before the answer was complete.")
        return []

    def _frame(self, name: str, data: dict[str, Any], raw: bytes, events: list[Event]) -> None:
        if name == "contentBlockDelta":
            index, delta = data.get("contentBlockIndex"), data.get("delta")
            if type(index) is not int or index < 0 or type(delta) is not dict:
                raise Failure("upstream", "The provider's stream holds a delta without index or content.")
            self._delta(data, delta, index, raw, events)
        elif name == "contentBlockStart":
            index, start = data.get("contentBlockIndex"), data.get("start")
            if type(index) is not int or index < 0 or type(start) is not dict:
                raise Failure("upstream", "The provider's stream holds a block without index or kind.")
            use = start.get("toolUse")
            if type(use) is dict and "type" not in use:
                self._blocks.add(index)
                self._called = True
                id_, tool = f.text(use.get("toolUseId")), f.text(use.get("name"))
                own = answer.left(use, "toolUseId", "name")
                payload = {"bedrock": f.bound_upstream(own)} if own else None
                events.append(BlockStarted(index, "tool_use", 0, id_, tool, payload, raw))
            elif not start.keys() & _STARTS:
                events.append(Other(data, "bedrock:contentBlockStart", raw))  # its first piece says what it is
            else:
                self._blocks.add(index)
                events.append(BlockStarted(index, "other", payload=Opaque("bedrock", f.bound_upstream(start)), raw=raw))
        elif name == "contentBlockStop":
            index = data.get("contentBlockIndex")
            if type(index) is int:
                events.append(BlockStopped(index, 0, raw))
        elif name == "messageStart":
            events.append(Started(*self._defaults, raw=raw))
        elif name == "messageStop":
            if self._stopped:
                return  # an answer ends once; clients count on it
            self._stopped = True
            end = answer.stopped(data.get("stopReason"), data.get("additionalModelResponseFields"), self._called)
            events.append(Stopped(end.reason, 0, end.sequence, end.extras, raw))
        elif name == "metadata" and type(data.get("usage")) is dict:
            if self._counted:
                return
            self._counted = True
            events.append(answer.counted(data, raw))
        elif name != NOTE:
            events.append(Other(data, f"bedrock:{name}", raw))

    def _delta(self, data: dict[str, Any], delta: dict[str, Any], index: int, raw: bytes, events: list[Event]) -> None:
        kind = next((name for name in _DELTAS if name in delta), "")
        value = delta.get(kind)
        if kind == "text":
            self._begin(index, "text", events)
            events.append(TextDelta(f.text(value), index, 0, raw))
        elif kind == "toolUse" and type(value) is dict:
            events.append(ToolCallDelta(f.text(value.get("input")), index, 0, raw))
        elif kind == "reasoningContent" and type(value) is dict:
            self._begin(index, "thinking", events)
            if "signature" in value:
                events.append(SignatureDelta(f.text(value["signature"]), index, 0, raw))
            elif "redactedContent" in value:
                events.append(ThinkingDelta("", index, 0, f.text(value["redactedContent"]), raw))
            else:
                events.append(ThinkingDelta(f.text(value.get("text")), index, 0, None, raw))
        elif kind == "citation":
            self._begin(index, "text", events)
            events.append(CitationDelta(value, index, 0, raw))
        else:
            events.append(Other(data, "bedrock:contentBlockDelta", raw))

    def _begin(self, index: int, kind: Any, events: list[Event]) -> None:
        if index not in self._blocks:
            self._blocks.add(index)
            events.append(BlockStarted(index, kind))


_NOTHING: dict[str, Any] = {}
_OWNERS = frozenset(("bedrock",))
_STARTS = {"toolUse", "toolResult", "image"}
_DELTAS = ("text", "toolUse", "reasoningContent", "citation")
_DELTA = eventstream.event_headers("contentBlockDelta")


class Encoder(StreamEncoder):
    """Events to frames."""

    content_type = eventstream.CONTENT_TYPE

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._begun = False
        self._blocks: dict[int, int] = {}
        self._open = -1
        self._skipped: set[int] = set()
        self._head = b""
        self._more: dict[str, Any] = {}
        self._stop: Stopped | None = None
        self._stop_sent = self._usage_sent = False

    def encode(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if type(event) is TextDelta:
                if event.choice or event.block in self._skipped:
                    continue
                if event.block != self._open:
                    self._enter(event.block, out)
                if (raw := event.raw) is not None and raw[0] == 0 and self._blocks[event.block] == event.block:
                    out.append(raw)
                elif event.text:
                    payload = b'%b"delta":{"text":%b}}' % (self._head, f.encode(event.text))
                    out.append(eventstream.frame(_DELTA, payload))
            else:
                self._event(event, out)
        return b"".join(out)

    def _event(self, event: Event, out: list[bytes]) -> None:
        raw = event.raw if event.raw is not None and event.raw[:1] == b"\0" else None
        if isinstance(event, Started):
            self._start(out, raw, event.extras)
            return
        if isinstance(event, Other):
            if raw is not None:
                out.append(raw)
            return
        if isinstance(event, Usage):
            self._usage_sent = True
            self._finish(out)
            data = {**answer.metadata(event.tokens, event.extras), **self._more}
            out.append(raw if raw is not None else eventstream.event("metadata", f.encode(data)))
            return
        if event.choice:
            self.omitted.add("choices")
            return
        if isinstance(event, Stopped):
            self._stop = event
            self.omitted |= foreign(event.extras, _OWNERS)
            self._finish(out, raw)
            return
        block = event.block
        if isinstance(event, BlockStarted):
            self._block(event, raw, out)
            return
        if block in self._skipped:
            return
        if isinstance(event, BlockStopped):
            if block == self._open:
                self._leave(out, raw)
            return
        note: Any = None
        if isinstance(event, CitationDelta) and raw is None:
            note = citations.translated("bedrock", event.citation, 0, 0)
            if note is None:
                self.omitted.add("citations")
                return
        if block != self._open:
            if isinstance(event, ToolCallDelta):
                raise astray()
            self._enter(block, out)
        if raw is not None and self._blocks[block] == block:
            out.append(raw)
            return
        if isinstance(event, ToolCallDelta):
            if not event.arguments:
                return
            delta: dict[str, Any] = {"toolUse": {"input": event.arguments}}
        elif isinstance(event, ThinkingDelta):
            inner = {"text": event.text} if event.redacted is None else {"redactedContent": event.redacted}
            delta = {"reasoningContent": inner}
        elif isinstance(event, SignatureDelta):
            delta = {"reasoningContent": {"signature": event.signature}}
        elif isinstance(event, CitationDelta):
            delta = {"citation": note}
        else:
            return
        out.append(eventstream.frame(_DELTA, b'%b"delta":%b}' % (self._head, f.encode(delta))))

    def _start(self, out: list[bytes], raw: bytes | None, extras: dict[str, Any] = _NOTHING) -> None:
        if self._begun:
            return
        self._begun = True
        if raw is None:
            # Of an answer that was kept whole: what stood around its content.
            self._more = extras.get("bedrock", {})
            around = {**extras.get("bedrock.output", {}), **extras.get("bedrock.message", {})}
            raw = eventstream.event("messageStart", f.encode({"role": "assistant", **around})) if around else _START
        out.append(raw)

    def _block(self, event: BlockStarted, raw: bytes | None, out: list[bytes]) -> None:
        if event.kind in ("text", "thinking"):
            return  # has no frame of its own
        if event.kind == "other" and not (isinstance(event.payload, Opaque) and event.payload.protocol == "bedrock"):
            self._skipped.add(event.block)
            self.omitted.add("blocks")
            return
        if event.block == self._open:
            return
        self._enter(event.block, out)
        number = self._blocks[event.block]
        if raw is not None and number == event.block:
            out.append(raw)
            return
        if event.kind == "tool_use":
            own = event.payload.get("bedrock", {}) if type(event.payload) is dict else {}
            start: Any = {"toolUse": {"toolUseId": event.id, "name": event.name, **own}}
        else:
            start = event.payload.payload
        data = {"contentBlockIndex": number, "start": start}
        out.append(eventstream.event("contentBlockStart", f.encode(data)))

    def _enter(self, block: int, out: list[bytes]) -> None:
        """Makes `block` the open one; a block that was left gets a new number."""
        if not self._begun:
            self._start(out, None)
        self._leave(out)
        number = self._blocks[block] = max(self._blocks.values(), default=-1) + 1
        self._open = block
        self._head = b'{"contentBlockIndex":%d,' % number

    def _leave(self, out: list[bytes], raw: bytes | None = None) -> None:
        if self._open < 0:
            return
        number = self._blocks[self._open]
        if raw is not None and number == self._open:
            out.append(raw)
        else:
            out.append(eventstream.event("contentBlockStop", b'{"contentBlockIndex":%d}' % number))
        self._open = -1

    def _finish(self, out: list[bytes], raw: bytes | None = None) -> None:
        if self._stop_sent:
            return
        self._stop_sent = True
        if not self._begun:
            self._start(out, None)
        self._leave(out)
        if raw is not None:
            out.append(raw)
            return
        stop = self._stop
        data: dict[str, Any] = {"stopReason": "end_turn"}
        if stop is not None:
            data["stopReason"] = word_for(stop.reason, BEDROCK, stop.extras.get(answer.WORD))
            data.update(stop.extras.get("bedrock", {}))
        out.append(eventstream.event("messageStop", f.encode(data)))

    def error(self, failure: Failure, request_id: str) -> bytes:
        return errors.exception(failure)

    def note(self, facts: dict[str, str]) -> bytes:
        return eventstream.event(NOTE, f.encode(facts))

    def end(self) -> bytes:
        out: list[bytes] = []
        self._finish(out)
        if not self._usage_sent:
            out.append(eventstream.event("metadata", f.encode(answer.metadata(None, {}))))
        return b"".join(out)


_START = eventstream.event("messageStart", b'{"role":"assistant"}')
