"""One choice of a streamed OpenAI answer: which block is open, and the pieces of its tool calls."""

from __future__ import annotations

from typing import Any

from hapenny.core.errors import Failure
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Event,
    Other,
    SignatureDelta,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from hapenny.core.messages import Opaque
from hapenny.protocols.fields import bound_upstream, is_object
from hapenny.protocols.stops import FROM_OPENAI


class _Call:
    """A tool call: `block` is -1 as long as it waits for another one to be complete."""

    __slots__ = ("block", "id", "name", "payload", "pieces")

    def __init__(self, id_: str, name: str, payload: Any) -> None:
        self.id, self.name, self.payload = id_, name, payload
        self.pieces: list[str] = []
        self.block = -1


class Choice:
    """Turns the deltas of one choice into events.

    The wire may interleave tool calls, our events may not: a call waits until the open one is complete JSON, at most
    until the choice ends.
    """

    __slots__ = ("blocks", "calls", "extras", "index", "kind", "logprobs", "open", "stopped")

    def __init__(self, index: int) -> None:
        self.index = index
        self.open = -1
        self.kind = ""
        self.blocks = 0
        self.calls: dict[int, _Call] = {}
        self.logprobs: list[Any] = []
        self.extras: dict[str, Any] = {}
        self.stopped = False

    def take(self, data: dict[str, Any], events: list[Event]) -> None:
        """Appends the events of one entry of a chunk's `choices`."""
        delta = data.get("delta")
        if type(delta) is dict:
            text = delta.get("content")
            if type(text) is str and text:
                if self.kind != "text":
                    self._open("text", events)
                events.append(TextDelta(text, self.open, self.index))
            if len(delta) > ("content" in delta):
                self._rest(delta, events)
        logprobs = data.get("logprobs")
        if logprobs is not None:
            self.logprobs.append(logprobs)
        word = data.get("finish_reason")
        if type(word) is str and not self.stopped:
            self.stopped = True
            for call in self.calls.values():
                if call.block < 0:
                    self._begin(call, events)
            self._close(events)
            if self.logprobs:
                self.extras["logprobs"] = _joined(self.logprobs)
            extras = {"openai": self.extras} if self.extras else {}
            events.append(Stopped(FROM_OPENAI.get(word, "end_turn"), self.index, extras=extras))

    def _rest(self, delta: dict[str, Any], events: list[Event]) -> None:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if type(thought) is str and thought:
            if self.kind != "thinking":
                self._open("thinking", events)
            events.append(ThinkingDelta(thought, self.open, self.index))
        signed = delta.get("thinking_blocks")
        for block in signed if type(signed) is list else ():
            if type(block) is dict:
                self._signed(block, events)
        calls = delta.get("tool_calls")
        for call in calls if type(calls) is list else ():
            if type(call) is not dict:
                raise Failure("upstream", "The provider's stream holds a tool call that is no object.")
            self._call(call, events)
        notes = delta.get("annotations")
        for note in notes if type(notes) is list else ():
            if self.kind != "text":
                self._open("text", events)
            events.append(CitationDelta(note, self.open, self.index))
        refusal = delta.get("refusal")
        if type(refusal) is str:
            message = self.extras.setdefault("message", {})
            message["refusal"] = message.get("refusal", "") + refusal
            events.append(Other({"choice": self.index, "refusal": refusal}, "openai:refusal"))

    def _signed(self, block: dict[str, Any], events: list[Event]) -> None:
        if block.get("type") == "redacted_thinking":
            self._open("thinking", events)
            events.append(ThinkingDelta("", self.open, self.index, text_of(block.get("data"))))
            return
        if self.kind != "thinking":
            self._open("thinking", events)
            if text := text_of(block.get("thinking")):
                events.append(ThinkingDelta(text, self.open, self.index))
        if signature := text_of(block.get("signature")):
            events.append(SignatureDelta(signature, self.open, self.index))
            self._close(events)

    def _call(self, data: dict[str, Any], events: list[Event]) -> None:
        function = data.get("function")
        number = data.get("index")
        if type(number) is not int:
            number = len(self.calls) if data.get("id") or not self.calls else max(self.calls)
        arguments = text_of(function.get("arguments")) if type(function) is dict else ""
        call = self.calls.get(number)
        if call is not None:
            call.pieces.append(arguments)
            if call.block < 0:
                return
            if arguments:
                events.append(ToolCallDelta(arguments, call.block, self.index))
            self._release(events)
            return
        if type(function) is dict:
            id_ = text_of(data.get("id")) or f"call_{self.index}_{number}"
            call = _Call(id_, text_of(function.get("name")), None)
        else:
            call = _Call("", "", Opaque("openai", bound_upstream(data)))
        self.calls[number] = call
        call.pieces.append(arguments)
        self._release(events)

    def _release(self, events: list[Event]) -> None:
        """Opens the calls that wait, while the open one is complete."""
        for call in self.calls.values():
            if call.block < 0:
                if not self._complete():
                    return
                self._begin(call, events)

    def _complete(self) -> bool:
        if self.kind != "tool_use":
            return True
        return any(call.block == self.open and is_object("".join(call.pieces)) for call in self.calls.values())

    def _begin(self, call: _Call, events: list[Event]) -> None:
        if call.payload is None:
            self._open("tool_use", events, call.id, call.name)
        else:
            self._open("other", events, payload=call.payload)
        call.block = self.open
        if written := "".join(call.pieces):
            events.append(ToolCallDelta(written, self.open, self.index))

    def _open(self, kind: Any, events: list[Event], id_: str = "", name: str = "", payload: Any = None) -> None:
        self._close(events)
        self.open, self.kind = self.blocks, kind
        self.blocks += 1
        events.append(BlockStarted(self.open, kind, self.index, id_, name, payload))

    def _close(self, events: list[Event]) -> None:
        if self.kind:
            events.append(BlockStopped(self.open, self.index))
            self.kind = ""


def _joined(parts: list[Any]) -> Any:
    joined: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items() if type(part) is dict else ():
            if type(value) is list:
                joined.setdefault(key, []).extend(value)
    return joined


def text_of(value: Any) -> str:
    """`value`, if it is a string, else ""."""
    return value if type(value) is str else ""
