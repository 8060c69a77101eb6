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
    Event,
    Started,
    TextDelta,
    Usage,
)
from hapenny.protocols import fields as f
from hapenny.protocols import sse
from hapenny.protocols.codec import StreamDecoder
from hapenny.protocols.openai import errors, usage
from hapenny.protocols.openai.choice import Choice, text_of

_TOP = {"id", "object", "created", "model", "choices", "usage", "obfuscation"}


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
        self._choices: dict[int, Choice] = {}
        self._started = False
        self._done = False
        self._counted = False
        self._usage: dict[str, Any] | None = None
        self._defaults = (model, id_, created)

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for _, payload in self._sse.feed(data):
            if not (self._started and b"\n" not in payload and self._plain(payload, events)):
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
        if self._done:
            return
        if payload == b"[DONE]":
            self._done = True
            self._count(events)
            return
        data = f.load_frame(payload)
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
        place, said = -1, 0
        for i in range(before, len(events)):
            event = events[i]
            if type(event) is not BlockStopped and not (type(event) is BlockStarted and event.kind in _SILENT):
                place, said = i, said + 1
        if said == 1 and (alone or type(events[place]) is Started):
            events[place] = structs.replace(events[place], raw=raw)

    def _plain(self, payload: bytes, events: list[Event]) -> bool:
        """The common chunk: one more piece of the text that is open. False if it is any other."""
        try:
            item = _decode_plain(payload).choices[0]
        except (ValueError, RecursionError):
            return False
        choice = self._choices.get(item.index)
        delta = item.delta
        if choice is None or choice.kind != "text" or self._done or not delta.content:
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
        extras = f.bound_upstream({key: value for key, value in data.items() if key not in _TOP and value is not None})
        given = data.get("created")
        events.append(
            Started(
                text_of(data.get("id")) or id_,
                text_of(data.get("model")) or model,
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
            choice = self._choices[index] = Choice(index)
        choice.take(data, events)


_SILENT = ("text", "thinking")
