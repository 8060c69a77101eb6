"""OpenAI chat completions: writing a streamed answer, each event as one chunk made from prepared pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
from hapenny.core.messages import Request
from hapenny.protocols import fields as f
from hapenny.protocols import sse
from hapenny.protocols.codec import StreamEncoder
from hapenny.protocols.openai import errors, usage
from hapenny.protocols.stops import OPENAI

_TEXT_END = b'},"logprobs":null,"finish_reason":null}]'


class Encoder(StreamEncoder):
    """Events to chunks."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, request: Request) -> None:
        self._model = request.model
        self._usage = request.stream_usage
        self._tail = b',"usage":null}\n\n' if request.stream_usage else b"}\n\n"
        self._greeted: set[int] = set()
        self._calls: dict[tuple[int, int], int] = {}
        self._counts: dict[int, int] = {}
        self._skipped: set[tuple[int, int]] = set()
        self._thoughts: dict[tuple[int, int], list[str]] = {}
        self._text: dict[int, bytes] = {}
        self._begin("", "", 0.0, {})

    def encode(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if type(event) is TextDelta:
                if event.choice not in self._greeted:
                    self._greet(event.choice, out)
                if (raw := event.raw) is not None and raw.startswith(b"data:"):
                    out.append(raw)
                elif event.text:
                    out.append(self._text[event.choice] + f.encode(event.text) + _TEXT_END + self._tail)
            elif type(event) is BlockStopped:
                continue
            elif type(event) is Started:
                self._begin(event.id, event.model, event.created, event.extras.get("openai", {}))
                if (raw := event.raw) is not None and raw.startswith(b"data:"):
                    self._greeted.add(0)
                    self._prepare(0)
                    out.append(raw)
            else:
                self._other(event, out)
        return b"".join(out)

    def _begin(self, id_: str, model: str, created: float, extras: dict[str, Any]) -> None:
        head = {"id": id_, "object": "chat.completion.chunk", "created": int(created), "model": model or self._model}
        self._head = b"data: " + f.encode({**head, **extras})[:-1]
        for index in self._greeted:
            self._prepare(index)

    def _prepare(self, index: int) -> None:
        self._text[index] = self._head + b',"choices":[{"index":%d,"delta":{"content":' % index

    def _greet(self, index: int, out: list[bytes]) -> None:
        self._greeted.add(index)
        self._prepare(index)
        out.append(self._delta(index, b'{"role":"assistant","content":"","refusal":null}'))

    def _delta(self, index: int, delta: bytes, finish: bytes = b"null") -> bytes:
        return b'%b,"choices":[{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b}]%b' % (
            self._head,
            index,
            delta,
            finish,
            self._tail,
        )

    def _other(self, event: Event, out: list[bytes]) -> None:
        raw = event.raw if event.raw is not None and event.raw.startswith(b"data:") else None
        if isinstance(event, Usage):
            if self._usage:
                out.append(raw if raw is not None else self._total(event))
            return
        if isinstance(event, Other):
            if raw is not None:
                out.append(raw)
            elif event.kind == "openai:refusal":
                delta = f.encode({"refusal": event.payload["refusal"]})
                out.append(self._delta(event.payload["choice"], delta))
            return
        assert not isinstance(event, (Started, BlockStopped))
        index = event.choice
        if index not in self._greeted:
            self._greet(index, out)
        if isinstance(event, BlockStarted):
            self._block(event, raw, out)
        elif isinstance(event, ToolCallDelta):
            place = (index, event.block)
            if raw is not None:
                out.append(raw)
            elif place in self._calls and event.arguments:
                call = {"index": self._calls[place], "function": {"arguments": event.arguments}}
                out.append(self._delta(index, f.encode({"tool_calls": [call]})))
        elif isinstance(event, ThinkingDelta):
            if raw is not None:
                out.append(raw)
            elif event.redacted is not None:
                block = {"type": "redacted_thinking", "data": event.redacted}
                out.append(self._delta(index, f.encode({"thinking_blocks": [block]})))
            elif event.text:
                self._thoughts.setdefault((index, event.block), []).append(event.text)
                out.append(self._delta(index, f.encode({"reasoning_content": event.text})))
        elif isinstance(event, SignatureDelta):
            text = "".join(self._thoughts.pop((index, event.block), []))
            block = {"type": "thinking", "thinking": text, "signature": event.signature}
            out.append(raw if raw is not None else self._delta(index, f.encode({"thinking_blocks": [block]})))
        elif isinstance(event, Stopped):
            word = OPENAI[event.reason]
            out.append(raw if raw is not None else self._delta(index, b"{}", b'"' + word.encode() + b'"'))
        elif isinstance(event, CitationDelta) and raw is not None:
            out.append(raw)

    def _block(self, event: BlockStarted, raw: bytes | None, out: list[bytes]) -> None:
        index = event.choice
        if event.kind == "tool_use" or (event.kind == "other" and raw is not None):
            number = self._counts.get(index, 0)
            self._counts[index] = number + 1
            self._calls[index, event.block] = number
            if raw is not None:
                out.append(raw)
                return
            function = {"name": event.name, "arguments": ""}
            call = {"index": number, "id": event.id, "type": "function", "function": function}
            out.append(self._delta(index, f.encode({"tool_calls": [call]})))

    def _total(self, event: Usage) -> bytes:
        counts = usage.encode(event.tokens, event.extras.get("openai.usage"))
        return self._head + b',"choices":[],"usage":' + f.encode(counts) + b"}\n\n"

    def error(self, failure: Failure, request_id: str) -> bytes:
        body = errors.body_of(failure)
        body["error"]["request_id"] = request_id
        return b"data: " + f.encode(body) + b"\n\n"

    def note(self, facts: dict[str, str]) -> bytes:
        return sse.comment(facts)

    def end(self) -> bytes:
        return b"data: [DONE]\n\n"
