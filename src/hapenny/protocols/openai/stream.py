"""OpenAI chat completions: reading a streamed answer.

One chunk with one fact is one event that carries the chunk as `raw`; a chunk with several facts becomes
several events without `raw`. Text blocks are opened and closed here, since the wire has no word for it. Usage that
comes along with choices (some servers repeat it in every chunk) is held back; only the last one counts.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, structs

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
from hapenny.core.messages import Opaque
from hapenny.protocols import fields as f
from hapenny.protocols import sse
from hapenny.protocols.codec import StreamDecoder
from hapenny.protocols.openai import errors, usage
from hapenny.protocols.stops import FROM_OPENAI

_TOP = {"id", "object", "created", "model", "choices", "usage", "obfuscation"}


class _Choice:
    """Where one choice stands: the open block, and the blocks of its tool calls by their wire index."""

    __slots__ = ("blocks", "calls", "extras", "kind", "logprobs", "open", "stopped")

    def __init__(self) -> None:
        self.open = -1
        self.kind = ""
        self.blocks = 0
        self.calls: dict[int, int] = {}
        self.logprobs: list[Any] = []
        self.extras: dict[str, Any] = {}
        self.stopped = False


class _PlainDelta(Struct):
    content: str
    tool_calls: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    annotations: Any = None
    refusal: Any = None
    thinking_blocks: Any = None


class _PlainChoice(Struct):
    delta: _PlainDelta
    index: int
    logprobs: Any = None
    finish_reason: None = None


class _Plain(Struct):
    """A chunk with one choice, no end and no counts; anything else fails to decode."""

    choices: tuple[_PlainChoice]
    usage: None = None
    error: None = None


_decode_plain = msgspec.json.Decoder(_Plain).decode


class Decoder(StreamDecoder):
    """Chunks to events."""

    def __init__(self, model: str, id_: str, created: float) -> None:
        self._sse = sse.Parser()
        self._choices: dict[int, _Choice] = {}
        self._started = False
        self._done = False
        self._counted = False
        self._usage: dict[str, Any] | None = None
        self._defaults = (model, id_, created)

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for _, payload in self._sse.feed(data):
            self._frame(payload, events)
        return events

    def close(self) -> list[Event]:
        events: list[Event] = []
        for _, payload in self._sse.flush():
            self._frame(payload, events)
        if not self._done:
            self._count(events)
        whole = self._choices and all(choice.stopped for choice in self._choices.values())
        if not whole or not (self._done or self._counted):
            raise Failure("truncated", "The provider's stream ended before the answer was complete.")
        return events

    def _frame(self, payload: bytes, events: list[Event]) -> None:
        if self._done or (self._started and b"\n" not in payload and self._plain(payload, events)):
            return
        if payload == b"[DONE]":
            self._done = True
            self._count(events)
            return
        data = f.load_upstream(payload)
        if data.get("error"):
            raise errors.decode(200, {}, payload)
        raw = b"data: " + payload + b"\n\n" if b"\n" not in payload else None
        before = len(events)
        alone = self._started
        if not self._started:
            self._start(data, events)
        listed = data.get("choices")
        counts = data.get("usage")
        if type(counts) is dict:
            self._usage = counts
            if not listed:
                self._count(events)
            alone = alone and not listed
        if type(listed) is list:
            for choice in listed:
                if type(choice) is not dict:
                    raise Failure("upstream", "The provider's stream holds a choice that is no object.")
                self._choice(choice, events)
        if raw is None:
            return
        # The chunk may be forwarded as it is only if one event says all of it; block boundaries say nothing here.
        said = [i for i in range(before, len(events)) if not isinstance(events[i], BlockStopped)]
        said = [i for i in said if not _silent(events[i])]
        if len(said) == 1 and (alone or isinstance(events[said[0]], Started)):
            events[said[0]] = structs.replace(events[said[0]], raw=raw)

    def _plain(self, payload: bytes, events: list[Event]) -> bool:
        """The common chunk: one more piece of the text that is open. False if it is any other."""
        try:
            item = _decode_plain(payload).choices[0]
        except (ValueError, RecursionError):
            return False
        choice = self._choices.get(item.index)
        delta = item.delta
        if choice is None or choice.kind != "text" or not delta.content:
            return False
        if delta.tool_calls or delta.reasoning_content or delta.reasoning or delta.annotations:
            return False
        if delta.refusal is not None or delta.thinking_blocks:
            return False
        if item.logprobs is not None:
            choice.logprobs.append(item.logprobs)
        events.append(TextDelta(delta.content, choice.open, item.index, b"data: %b\n\n" % payload))
        return True

    def _start(self, data: dict[str, Any], events: list[Event]) -> None:
        self._started = True
        model, id_, created = self._defaults
        extras = {key: value for key, value in data.items() if key not in _TOP and value is not None}
        given = data.get("created")
        events.append(
            Started(
                _str(data.get("id")) or id_,
                _str(data.get("model")) or model,
                given if type(given) is int or type(given) is float else created,
                extras={"openai": extras} if extras else {},
            )
        )

    def _count(self, events: list[Event]) -> None:
        if self._usage is not None:
            left = usage.rest(self._usage)
            events.append(Usage(usage.decode(self._usage), {"openai.usage": left} if left else {}))
            self._usage, self._counted = None, True

    def _choice(self, data: dict[str, Any], events: list[Event]) -> None:
        index = data.get("index")
        if type(index) is not int or not 0 <= index < 1024:
            index = 0
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        delta = data.get("delta")
        if type(delta) is dict:
            text = delta.get("content")
            if type(text) is str and text:
                if choice.kind != "text":
                    self._open(choice, index, "text", events)
                events.append(TextDelta(text, choice.open, index))
                if len(delta) > 1:
                    self._rest(delta, choice, index, events)
            elif delta:
                self._rest(delta, choice, index, events)
        logprobs = data.get("logprobs")
        if logprobs is not None:
            choice.logprobs.append(logprobs)
        word = data.get("finish_reason")
        if type(word) is str and not choice.stopped:
            choice.stopped = True
            self._close(choice, index, events)
            extras = choice.extras
            if choice.logprobs:
                extras["logprobs"] = _joined(choice.logprobs)
            reason = FROM_OPENAI.get(word, "end_turn")
            events.append(Stopped(reason, index, extras={"openai": extras} if extras else {}))

    def _rest(self, delta: dict[str, Any], choice: _Choice, index: int, events: list[Event]) -> None:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if type(thought) is str and thought:
            if choice.kind != "thinking":
                self._open(choice, index, "thinking", events)
            events.append(ThinkingDelta(thought, choice.open, index))
        signed = delta.get("thinking_blocks")
        for block in signed if type(signed) is list else ():
            if type(block) is dict:
                self._signed(block, choice, index, events)
        calls = delta.get("tool_calls")
        for call in calls if type(calls) is list else ():
            if type(call) is not dict:
                raise Failure("upstream", "The provider's stream holds a tool call that is no object.")
            self._call(call, choice, index, events)
        notes = delta.get("annotations")
        for note in notes if type(notes) is list else ():
            if choice.kind != "text":
                self._open(choice, index, "text", events)
            events.append(CitationDelta(note, choice.open, index))
        refusal = delta.get("refusal")
        if type(refusal) is str:
            message = choice.extras.setdefault("message", {})
            message["refusal"] = message.get("refusal", "") + refusal
            events.append(Other({"choice": index, "refusal": refusal}, "openai:refusal"))

    def _signed(self, block: dict[str, Any], choice: _Choice, index: int, events: list[Event]) -> None:
        if block.get("type") == "redacted_thinking":
            self._open(choice, index, "thinking", events)
            events.append(ThinkingDelta("", choice.open, index, _str(block.get("data"))))
            return
        if choice.kind != "thinking":
            self._open(choice, index, "thinking", events)
            if text := _str(block.get("thinking")):
                events.append(ThinkingDelta(text, choice.open, index))
        if signature := _str(block.get("signature")):
            events.append(SignatureDelta(signature, choice.open, index))
            self._close(choice, index, events)

    def _call(self, call: dict[str, Any], choice: _Choice, index: int, events: list[Event]) -> None:
        function = call.get("function")
        number = call.get("index")
        if type(number) is not int:
            number = len(choice.calls) if call.get("id") or not choice.calls else max(choice.calls)
        block = choice.calls.get(number)
        arguments = function.get("arguments") if type(function) is dict else None
        if block is None:
            if type(function) is dict:
                id_ = _str(call.get("id")) or f"call_{index}_{number}"
                self._open(choice, index, "tool_use", events, id_, _str(function.get("name")))
            else:
                self._open(choice, index, "other", events, payload=Opaque("openai", call))
            block = choice.calls[number] = choice.open
        if type(arguments) is str and arguments:
            events.append(ToolCallDelta(arguments, block, index))

    def _open(
        self,
        choice: _Choice,
        index: int,
        kind: Any,
        events: list[Event],
        id_: str = "",
        name: str = "",
        payload: Any = None,
    ) -> None:
        self._close(choice, index, events)
        choice.open, choice.kind = choice.blocks, kind
        choice.blocks += 1
        events.append(BlockStarted(choice.open, kind, index, id_, name, payload))

    def _close(self, choice: _Choice, index: int, events: list[Event]) -> None:
        if choice.kind:
            events.append(BlockStopped(choice.open, index))
            choice.kind = ""


def _silent(event: Event) -> bool:
    return isinstance(event, BlockStarted) and event.kind in ("text", "thinking")


def _joined(parts: list[Any]) -> Any:
    joined: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items() if type(part) is dict else ():
            if type(value) is list:
                joined.setdefault(key, []).extend(value)
    return joined


def _str(value: Any) -> str:
    return value if type(value) is str else ""
