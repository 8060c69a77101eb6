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
from hapenny.protocols.codec import StreamEncoder
from hapenny.protocols.openai import errors, usage
from hapenny.protocols.openai.pieces import FORM, WORD
from hapenny.protocols.openai.written import asked_by_functions, call_of, thinking_part
from hapenny.protocols.stops import openai_word

_TEXT_END = b'},"logprobs":null,"finish_reason":null}]'
_Place = tuple[int, int]
"""Choice and block."""


class Encoder(StreamEncoder):
    """Events to chunks."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request
        self._model = request.model
        self._usage = request.stream_usage
        self._tail = b',"usage":null}\n\n' if request.stream_usage else b"}\n\n"
        self._functions = asked_by_functions(request)
        self._forwarded = False
        """Whether any chunk of the provider went out as it came."""
        self._greeted: set[int] = set()
        self._calls: dict[_Place, int] = {}
        self._counts: dict[int, int] = {}
        self._bare: set[_Place] = set()
        """Tool calls without arguments so far."""
        self._forms: dict[_Place, tuple[str, dict[str, Any]]] = {}
        """Blocks of another form than usual, and their further fields."""
        self._thoughts: dict[_Place, list[str]] = {}
        self._lengths: dict[int, int] = {}
        """Characters of text so far, by choice, and where the open block began."""
        self._begins: dict[int, int] = {}
        self._text: dict[int, bytes] = {}
        self._begin("", "", 0.0, {})

    def encode(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        past = -1
        lengths, greeted = self._lengths, self._greeted
        for index, event in enumerate(events):
            if index <= past:
                continue
            raw = event.raw
            if type(event) is TextDelta and type(raw) is bytes and event.choice in greeted and raw.startswith(b"data:"):
                lengths[event.choice] += len(event.text)  # as ever
                self._forwarded = True
                out.append(raw)
                continue
            if type(raw) is Shared:
                last = last_of(events, index) if raw.startswith(b"data:") else -1
                if last >= 0:
                    self._forward(events[index : last + 1], raw, out)
                    past = last
                    continue
                raw = None  # not all that it says goes out
            if type(event) is TextDelta:
                if event.choice not in self._greeted:
                    self._greet(event.choice, out)
                self._lengths[event.choice] += len(event.text)
                if raw is not None and raw.startswith(b"data:"):
                    self._forwarded = True
                    out.append(raw)
                elif event.text:
                    if (event.choice, event.block) in self._forms:
                        self._formed(event, out)
                    else:
                        out.append(self._text[event.choice] + f.encode(event.text) + _TEXT_END + self._tail)
            elif raw is not None and raw.startswith(b"data:"):
                self._forward((event,), raw, out)
            else:
                self._write(event, out)
        return b"".join(out)

    def _forward(self, events: Sequence[Event], raw: bytes, out: list[bytes]) -> None:
        """Sends a chunk of the provider on, and notes what it says."""
        for event in events:
            if isinstance(event, Usage):
                if not self._usage:
                    return
            elif isinstance(event, Started):
                self._begin(event.id, event.model, event.created, event.extras.get("openai", {}))
                if b'"role"' in raw:
                    self._greeted.add(0)
                    self._prepare(0)
            elif isinstance(event, Other):
                if b'"role"' in raw:
                    self._greeted.add(event.payload["choice"])
                    self._prepare(event.payload["choice"])
            else:
                if event.choice not in self._greeted:
                    if b'"role"' in raw:
                        self._greeted.add(event.choice)
                        self._prepare(event.choice)
                    else:
                        self._greet(event.choice, out)
                self._note(event)
        self._forwarded = True
        out.append(raw)

    def _note(self, event: Event) -> None:
        """Keeps the numbers of blocks and calls, whoever writes the chunk."""
        if isinstance(event, BlockStarted):
            place = (event.choice, event.block)
            if event.kind == "text":
                self._begins[event.choice] = self._lengths.get(event.choice, 0)
            if type(event.payload) is dict and (event.kind == "text" or event.kind == "thinking"):
                form, own = event.payload.get(FORM, ""), event.payload.get("openai", {})
                if form or own:
                    self._forms[place] = (form, own)
            elif event.kind == "tool_use" or (event.kind == "other" and _is_call(event.payload)):
                number = self._counts.get(event.choice, 0)
                self._counts[event.choice] = number + 1
                self._calls[place] = number
                if event.kind == "tool_use":
                    self._bare.add(place)
        elif isinstance(event, ToolCallDelta):
            if event.arguments:
                self._bare.discard((event.choice, event.block))
        elif isinstance(event, TextDelta):
            self._lengths[event.choice] = self._lengths.get(event.choice, 0) + len(event.text)

    def _begin(self, id_: str, model: str, created: float, extras: dict[str, Any]) -> None:
        head = {"id": id_, "object": "chat.completion.chunk", "created": int(created), "model": model or self._model}
        self._fields = {**head, **extras}
        self._head = b"data: " + f.encode(self._fields)[:-1]
        for index in self._greeted:
            self._prepare(index)

    def _prepare(self, index: int) -> None:
        self._lengths.setdefault(index, 0)
        self._text[index] = self._head + b',"choices":[{"index":%d,"delta":{"content":' % index

    def _greet(self, index: int, out: list[bytes]) -> None:
        self._greeted.add(index)
        self._prepare(index)
        out.append(self._delta(index, b'{"role":"assistant","content":"","refusal":null}'))

    def _delta(self, index: int, delta: bytes, finish: bytes = b"null", more: dict[str, Any] | None = None) -> bytes:
        logprobs = b"null"
        if more:
            logprobs = f.encode(more.pop("logprobs", None))
            finish += b"," + f.encode(more)[1:-1] if more else b""
        return b'%b,"choices":[{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":%b}]%b' % (
            self._head,
            index,
            delta,
            logprobs,
            finish,
            self._tail,
        )

    def _write(self, event: Event, out: list[bytes]) -> None:
        """Writes a chunk of our own for `event`, if it shows anything here."""
        if isinstance(event, Started):
            self._begin(event.id, event.model, event.created, event.extras.get("openai", {}))
            return
        if isinstance(event, Usage):
            if self._usage:
                out.append(self._total(event))
            return
        if isinstance(event, Other):
            return
        index = event.choice
        place = (index, event.block) if not isinstance(event, Stopped) else (index, -1)
        if isinstance(event, BlockStopped):
            if place in self._bare:  # clients parse arguments, and "" is no JSON
                self._bare.discard(place)
                self._arguments(place, "{}", out)
            return
        if index not in self._greeted:
            self._greet(index, out)
        self._note(event)
        if isinstance(event, BlockStarted):
            self._block(event, place, out)
        elif isinstance(event, ToolCallDelta):
            if place in self._calls and event.arguments:
                self._arguments(place, event.arguments, out)
        elif isinstance(event, ThinkingDelta):
            self._thinking(event, place, out)
        elif isinstance(event, SignatureDelta):
            text = "".join(self._thoughts.pop(place, []))
            own = self._forms.get(place, ("", {}))[1]
            block = {"type": "thinking", "thinking": text, "signature": event.signature, **own}
            out.append(self._delta(index, f.encode({"thinking_blocks": [block]})))
        elif isinstance(event, CitationDelta):
            begin, end = self._begins.get(index, 0), self._lengths.get(index, 0)
            note = citations.translated("openai", event.citation, begin, end)
            if note is None:
                self.omitted.add("citations")
            else:
                out.append(self._delta(index, f.encode({"annotations": [note]})))
        elif isinstance(event, Stopped):
            self._stop(event, out)

    def _arguments(self, place: _Place, text: str, out: list[bytes]) -> None:
        form = self._forms.get(place, ("", {}))[0]
        if form == "function_call":
            delta: dict[str, Any] = {"function_call": {"arguments": text}}
        else:
            inner = {"custom": {"input": text}} if form == "custom" else {"function": {"arguments": text}}
            delta = {"tool_calls": [{"index": self._calls[place], **inner}]}
        out.append(self._delta(place[0], f.encode(delta)))

    def _formed(self, event: TextDelta, out: list[bytes]) -> None:
        form, own = self._forms[event.choice, event.block]
        delta: dict[str, Any] = {"content": event.text}
        if form == "refusal":
            delta = {"refusal": event.text}
        elif form == "part":
            delta = {"content": [{"type": "text", "text": event.text, **own}]}
            self._forms[event.choice, event.block] = (form, {})
        out.append(self._delta(event.choice, f.encode(delta)))

    def _thinking(self, event: ThinkingDelta, place: _Place, out: list[bytes]) -> None:
        form, own = self._forms.get(place, ("", {}))
        if event.redacted is not None:
            block = {"type": "redacted_thinking", "data": event.redacted, **own}
            out.append(self._delta(event.choice, f.encode({"thinking_blocks": [block]})))
        elif event.text:
            self._thoughts.setdefault(place, []).append(event.text)
            delta: dict[str, Any] = {form or "reasoning_content": event.text}
            if form == "part":
                delta = {"content": [thinking_part(event.text, own)]}
                self._forms[place] = (form, {})
            if form != "reasoning_details":  # told whole, beside the message
                out.append(self._delta(event.choice, f.encode(delta)))

    def _block(self, event: BlockStarted, place: _Place, out: list[bytes]) -> None:
        payload = event.payload
        if event.kind == "tool_use":
            own = payload.get("openai", {}) if type(payload) is dict else {}
            call = call_of(event.id, event.name, "", own)
            if (type(payload) is dict and payload.get(FORM) == "function_call") or (
                self._functions and not self._calls[place]
            ):
                self._forms[place] = ("function_call", {})
                out.append(self._delta(event.choice, f.encode({"function_call": call["function"]})))
                return
            call = {"index": self._calls[place], **call}
            out.append(self._delta(event.choice, f.encode({"tool_calls": [call]})))
        elif event.kind == "other" and type(payload) is Opaque and payload.protocol == "openai":
            if _is_call(payload):
                self._forms[place] = ("custom", {})
                call = {**payload.payload, "index": self._calls[place]}
                out.append(self._delta(event.choice, f.encode({"tool_calls": [call]})))
            else:
                out.append(self._delta(event.choice, f.encode({"content": [payload.payload]})))
        elif event.kind == "other":
            self.omitted.add("blocks")

    def _stop(self, event: Stopped, out: list[bytes]) -> None:
        extras = {} if self._forwarded else dict(event.extras.get("openai", {}))
        message = extras.pop("message", None)
        if message:
            out.append(self._delta(event.choice, f.encode(message)))
        kept = event.extras.get(WORD)
        word = openai_word(event.reason, kept, self._request.tool_choice, functions=self._functions)
        out.append(self._delta(event.choice, b"{}", f.encode(word), extras))

    def _total(self, event: Usage) -> bytes:
        counts = usage.encode(event.tokens, event.extras.get("openai.usage"))
        chunk = {**self._fields, **event.extras.get("openai", {}), "choices": [], "usage": counts}
        return b"data: " + f.encode(chunk) + b"\n\n"

    def error(self, failure: Failure, request_id: str) -> bytes:
        body = errors.body_of(failure)
        body["error"]["request_id"] = request_id
        return b"data: " + f.encode(body) + b"\n\n"

    def note(self, facts: dict[str, str]) -> bytes:
        return sse.comment(facts)

    def end(self) -> bytes:
        return b"data: [DONE]\n\n"


def _is_call(payload: Any) -> bool:
    """Whether a block of OpenAI's own is a tool call: a part of the content is marked as such."""
    return type(payload) is Opaque and payload.protocol == "openai" and payload.extras.get(FORM) != "part"
