"""OpenAI completions: a streamed answer, both ways.

A provider's frame travels with a mark before it, so that no encoder of chat completions takes it for one of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from hapenny.core.errors import Failure
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    Event,
    Other,
    Shared,
    Started,
    Stopped,
    TextDelta,
    Tokens,
    ToolCallDelta,
    Usage,
    last_of,
    shared,
)
from hapenny.core.messages import Request
from hapenny.protocols import fields as f
from hapenny.protocols import sse
from hapenny.protocols.codec import StreamDecoder, StreamEncoder, foreign
from hapenny.protocols.openai import errors, usage
from hapenny.protocols.openai.completions import answer
from hapenny.protocols.openai.completions.answer import OWNER
from hapenny.protocols.openai.pieces import folded
from hapenny.protocols.openai.pieces import text_of as string_of

_MARK = b": completions\n"


class Tally:
    """What the streams of one request have in common, one a prompt: the last one counts for all and ends them."""

    def __init__(self, streams: int) -> None:
        self.left = streams
        self.tokens = Tokens()
        self.extras: dict[str, Any] = {}

    def add(self, event: Usage) -> None:
        """Adds the counts of one stream."""
        ours, more = self.tokens, event.tokens
        names = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning")
        summed = {name: getattr(ours, name) + getattr(more, name) for name in names}
        self.tokens = Tokens(**summed, units=ours.units + more.units)
        self.extras = event.extras.get("openai.usage") or self.extras


class Decoder(StreamDecoder):
    """Chunks to events."""

    def __init__(self, model: str, id_: str, created: float) -> None:
        self._sse = sse.Parser()
        self._defaults = (model, id_, created)
        self._started = self._done = self._counted = False
        self._open: set[int] = set()
        self._ended: set[int] = set()
        self._rest: dict[int, list[dict[str, Any]]] = {}

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for name, payload in self._sse.feed(data):
            self._frame(name, payload, events)
        return events

    def close(self) -> list[Event]:
        if not self._started and self._sse.rest.lstrip().startswith(b"{"):
            raise errors.not_streamed()
        events: list[Event] = []
        for name, payload in self._sse.flush():
            self._frame(name, payload, events)
        if self._open or not self._ended or not (self._done or self._counted):
            raise Failure("truncated", "The provider's stream ended before the answer was complete.")
        return events

    def _frame(self, name: bytes, payload: bytes, events: list[Event]) -> None:
        text = payload.strip()
        if self._done or not text:
            return
        if text == b"[DONE]":
            self._done = True
            return
        data = f.load_frame(payload)
        if data.get("error") or name == b"error":
            raise errors.decode(200, {}, payload)
        said: list[Event] = []
        if not self._started:
            self._started = True
            said.append(answer.started(data, *self._defaults))
        choices = data.get("choices")
        for position, choice in enumerate(choices if type(choices) is list else ()):
            if type(choice) is not dict:
                raise Failure("upstream", "The provider's stream holds a choice that is no object.")
            self._choice(choice, answer.index_of(choice, position), said)
        if type(counts := data.get("usage")) is dict and not choices:
            self._counted = True
            said.append(usage.counted(counts))
        if not said:
            said.append(Other({}, "completions"))
        raw = shared(_MARK + b"data: %b\n\n" % payload.replace(b"\n", b" "), len(said))
        events += [structs.replace(event, raw=raw) for event in said]

    def _choice(self, choice: dict[str, Any], index: int, out: list[Event]) -> None:
        if index in self._ended:
            return
        if index not in self._open:
            self._open.add(index)
            out.append(BlockStarted(0, "text", index))
        if text := string_of(choice.get("text")):
            out.append(TextDelta(text, 0, index))
        if more := answer.rest(choice):
            self._rest.setdefault(index, []).append(more)
        if string_of(choice.get("finish_reason")):
            self._open.discard(index)
            self._ended.add(index)
            out.append(BlockStopped(0, index))
            out.append(answer.stopped(choice, index, folded(self._rest.pop(index, []), continued=False)))


class Encoder(StreamEncoder):
    """Events to chunks, the choices numbered from `first` on."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, request: Request, first: int, tally: Tally) -> None:
        super().__init__()
        self._request = request
        self._first = first
        self._tally = tally
        self._head = answer.head("", request.model, 0.0, None)
        self._own: Any = None
        self._passing = False
        self._echoed: set[int] = set()

    def encode(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        past = -1
        for index, event in enumerate(events):
            if index <= past:
                continue
            raw = event.raw if event.raw is not None and event.raw.startswith(_MARK) else None
            last = last_of(events, index) if type(raw) is Shared else index
            whole = raw is not None and last >= 0 and not self._first
            if not whole:
                self._write(event, out)
                continue
            past = last
            for each in events[index : last + 1]:
                if isinstance(each, Started):
                    self._begin(each)
            if isinstance(events[last], Usage):
                self._write(events[last], out)
            elif raw is not None:
                out.append(raw.removeprefix(_MARK))
        return b"".join(out)

    def _begin(self, event: Started) -> None:
        self._own = event.extras.get(OWNER)
        self.omitted |= foreign(event.extras, frozenset((OWNER,)))
        self._head = answer.head(event.id, event.model or self._request.model, event.created, self._own)

    def _write(self, event: Event, out: list[bytes]) -> None:
        if isinstance(event, Started):
            self._begin(event)
        elif isinstance(event, TextDelta):
            if event.text:
                out.append(self._chunk(event.choice, self._before(event.choice) + event.text))
        elif isinstance(event, Stopped):
            self.omitted |= foreign(event.extras, frozenset((OWNER,)))
            more = event.extras.get(OWNER, {})
            word = answer.word_of(event.reason, event.extras)
            out.append(self._chunk(event.choice, self._before(event.choice), word, more))
        elif isinstance(event, ToolCallDelta):
            self.omitted.add("tool calls")
        elif isinstance(event, Usage):
            self._tally.add(event)

    def _before(self, choice: int) -> str:
        if choice in self._echoed:
            return ""
        self._echoed.add(choice)
        return answer.echoed(self._request, self._own)

    def _chunk(self, choice: int, text: str, word: str | None = None, more: dict[str, Any] | None = None) -> bytes:
        fields = {"index": self._first + choice, "text": text, "logprobs": None, "finish_reason": word, **(more or {})}
        chunk = {**self._head, "choices": [fields]}
        if self._request.stream_usage:
            chunk["usage"] = None
        return b"data: " + f.encode(chunk) + b"\n\n"

    def error(self, failure: Failure, request_id: str) -> bytes:
        body = errors.body_of(failure)
        body["error"]["request_id"] = request_id
        return b"data: " + f.encode(body) + b"\n\n"

    def note(self, facts: dict[str, str]) -> bytes:
        return sse.comment(facts)

    def end(self) -> bytes:
        tally = self._tally
        tally.left -= 1
        if tally.left:
            return b""
        out = b""
        if self._request.stream_usage:
            chunk = {**self._head, "choices": [], "usage": usage.encode(tally.tokens, tally.extras)}
            out = b"data: " + f.encode(chunk) + b"\n\n"
        return out + b"data: [DONE]\n\n"
