"""OpenAI chat completions: reading a streamed answer.

A chunk whose facts all became events is carried by them as `raw`; where its server departs from what OpenAI sends, it
is mended first (calls renumbered, arguments as text, counts taken out), and nothing else of it is touched. A chunk with
nothing but fields that no event knows goes on as `Other`. Text blocks are opened and closed here, since the wire has no
word for it. Usage may come in any chunk, or in several; the last one counts, and is told when the answer is over.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, structs

from hapenny.core.errors import Failure
from hapenny.core.events import Event, Other, Started, TextDelta
from hapenny.protocols import fields as f
from hapenny.protocols import sse
from hapenny.protocols.codec import StreamDecoder
from hapenny.protocols.openai import errors, usage
from hapenny.protocols.openai.choice import Choice, Frame
from hapenny.protocols.openai.pieces import stem_of, text_of
from hapenny.protocols.openai.runs import TRIES, Runs

_TOP = {"id", "object", "created", "model", "choices", "usage", "obfuscation"}
_FIGURES = ("prompt_tokens", "completion_tokens", "total_tokens")
MOST_CHOICES = 1024


class _PlainDelta(Struct, forbid_unknown_fields=True):
    content: str
    role: Any = None
    tool_calls: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    annotations: Any = None
    refusal: Any = None
    function_call: None = None


class _PlainChoice(Struct, forbid_unknown_fields=True):
    delta: _PlainDelta
    index: int
    logprobs: Any = None
    finish_reason: None = None
    stop_reason: None = None
    matched_stop: None = None
    token_ids: None = None


class _Plain(Struct, forbid_unknown_fields=True):
    """A chunk with one choice, no end and no counts; anything else fails to decode."""

    choices: tuple[_PlainChoice]
    id: Any = None
    object: Any = None
    created: Any = None
    model: Any = None
    system_fingerprint: Any = None
    service_tier: Any = None
    obfuscation: Any = None
    usage: None = None
    error: None = None


_decode_plain = msgspec.json.Decoder(_Plain).decode


class Decoder(StreamDecoder):
    """Chunks to events."""

    def __init__(self, model: str, id_: str, created: float) -> None:
        self._sse = sse.Parser()
        self._runs = Runs()
        self._of = 0
        """The choice whose chunks make runs."""
        self._choices: dict[int, Choice] = {}
        self._started = False
        self._done = False
        self._counted = False
        self._usage: dict[str, Any] | None = None
        self._extras: dict[str, Any] = {}
        """Fields of the answer as a whole that were said so far."""
        self._later: dict[str, Any] = {}
        """Those of them that came after the first chunk."""
        self._stem = ""
        self._defaults = (model, id_, created)

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        runs = self._runs
        if runs.wanted:
            for _ in range(TRIES):  # one at a time, until their form is known
                end = data.find(b"\n\n") + 2
                if end < 2 or runs.known:
                    break
                self._read(data[:end], events)
                data = data[end:]
        if runs.known and self._sse.idle:
            choice = self._choices[self._of]
            if choice.plain and not self._done:
                run, data = runs.take(data, choice.open, choice.index, self._plain)
                events += run
        if data:
            self._read(data, events)
        return events

    def _read(self, data: bytes, events: list[Event]) -> None:
        """Chunk by chunk."""
        if self._started and (only := self._sse.only(data)) is not None and self._plain(only, events, data):
            return
        for name, payload in self._sse.feed(data):
            if not (self._started and not name and payload.find(b"\n") < 0 and self._plain(payload, events)):
                self._frame(name, payload, events)

    def close(self) -> list[Event]:
        events: list[Event] = []
        if not self._started and self._sse.rest.lstrip().startswith(b"{"):
            raise errors.not_streamed()
        for name, payload in self._sse.flush():
            self._frame(name, payload, events)
        if not self._done:
            self._over(events)
        choices = self._choices.values()
        whole = choices and all(choice.stopped for choice in choices)
        if not whole or not (self._done or self._counted):  # one of them ends every stream: counts are asked for
            raise Failure("truncated", "The provider's stream ended before the answer was complete.")
        return events

    def _frame(self, name: bytes, payload: bytes, events: list[Event]) -> None:
        text = payload.strip()
        if self._done or not text:
            return
        if text == b"[DONE]":
            self._done = True
            self._over(events)
            return
        data = f.load_frame(payload)
        if data.get("error") or name == b"error" or data.get("object") == "error":
            raise errors.decode(200, {}, payload)
        frame = Frame()
        if not self._started:
            frame.places.append(len(events))  # type: ignore[union-attr]
            frame.count += 1
            self._start(data, events)
        odd = self._told(data)
        listed = data.get("choices")
        if type(listed) is list and listed:
            for position, choice in enumerate(listed):
                if type(choice) is not dict:
                    raise Failure("upstream", "The provider's stream holds a choice that is no object.")
                odd |= self._choice(choice, position, frame, events)
            self._take_usage(data, listed, frame)
        elif type(counts := data.get("usage")) is dict:
            told = self._count(counts)
            if self._choices and all(choice.ends for choice in self._choices.values()):
                self._over(events, payload if told and not frame.count else None)
                return
            odd = False
        if not frame.count and odd:
            frame.places.append(len(events))  # type: ignore[union-attr]
            frame.count += 1
            first = listed[0]["index"] if type(listed) is list and listed and "index" in listed[0] else 0
            events.append(Other({"choice": first}, "openai:chunk"))
        if frame.count:
            if frame.mended:
                payload = f.encode(data)
            elif payload.find(b"\n") >= 0:
                payload = payload.replace(b"\n", b" ")  # between tokens: JSON text holds no bare line ends
            frame.close(b"data: %b\n\n" % payload, events)

    def _plain(self, payload: bytes, events: list[Event], raw: bytes = b"") -> bool:
        """The common chunk: one more piece of the text that is open. False if it is any other. `raw`: its frame."""
        try:
            item = _decode_plain(payload).choices[0]
        except (ValueError, RecursionError):
            return False
        choice = self._choices.get(item.index)
        delta = item.delta
        if choice is None or not choice.plain or self._done or not delta.content:
            return False
        if delta.tool_calls or delta.reasoning_content or delta.reasoning or delta.annotations or delta.refusal:
            return False
        if item.logprobs is not None:
            choice.logprobs.append(item.logprobs)
        elif self._runs.wanted:
            self._of = item.index
            self._runs.learn(payload, delta.content)
        events.append(TextDelta(delta.content, choice.open, item.index, raw or b"data: %b\n\n" % payload))
        return True

    def _start(self, data: dict[str, Any], events: list[Event]) -> None:
        self._started = True
        model, id_, created = self._defaults
        extras = f.bound_upstream({key: value for key, value in data.items() if key not in _TOP and value is not None})
        self._extras.update(extras)
        given = data.get("created")
        id_ = text_of(data.get("id")) or id_
        self._stem = stem_of(id_, given or created)
        events.append(
            Started(
                id_,
                text_of(data.get("model")) or model,
                given if type(given) is int or type(given) is float else created,
                extras={"openai": extras} if extras else {},
            )
        )

    def _told(self, data: dict[str, Any]) -> bool:
        """Notes fields of the answer as a whole that are new; whether there were any."""
        if data.keys() <= _TOP:
            return False
        known = self._extras
        new = {k: v for k, v in data.items() if k not in _TOP and v is not None and known.get(k) != v}
        if new:
            f.bound_upstream(new)
            known.update(new)
            self._later.update(new)
        return bool(new)

    def _take_usage(self, data: dict[str, Any], listed: list[Any], frame: Frame) -> None:
        """Counts beside choices, in a choice (Moonshot) or in a field of their own (Groq)."""
        counts = data.get("usage")
        if counts is not None:
            del data["usage"]
            frame.mended = True
        for choice in listed:
            if counts is None and type(inner := choice.get("usage")) is dict:
                counts = inner
        groq = data.get("x_groq")
        if counts is None and type(groq) is dict:
            counts = groq.get("usage")
        if type(counts) is dict and counts:
            self._count(counts)

    def _count(self, counts: dict[str, Any]) -> bool:
        """The latest counts, whether they are now these: noughts after figures are a server's way to say nothing."""
        if self._usage is not None and not any(counts.get(name) for name in _FIGURES):
            return False
        self._usage = counts
        return True

    def _over(self, events: list[Event], payload: bytes | None = None) -> None:
        """The choices end, then come the counts; `payload` is a chunk that holds nothing but these."""
        for choice in self._choices.values():
            choice.end(events)
        if self._usage is not None:
            event = usage.counted(self._usage, self._later)
            if payload is not None and b"\n" not in payload:
                event = structs.replace(event, raw=b"data: %b\n\n" % payload)
            events.append(event)
            self._usage, self._counted = None, True

    def _choice(self, data: dict[str, Any], position: int, frame: Frame, events: list[Event]) -> bool:
        given = data.get("index")
        index = int(given) if type(given) is str and given.isdecimal() and len(given) < 5 else given
        if type(index) is not int or not 0 <= index < MOST_CHOICES:
            index = position if position < MOST_CHOICES else 0
        if index != given:
            data["index"] = index
            frame.mended = True
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = Choice(index, f"{self._stem}_{index}" if index else self._stem)
        return choice.take(data, frame, events)
