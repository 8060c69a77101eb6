"""What an answer is made of: events, token counts, and the collected completion.

`block` counts content blocks of one answer, `choice` the alternatives (n > 1). An event may carry its `raw` wire
frame: the encoder forwards it when both protocols are the same and nothing replaced the event. A frame that says
several events is carried by each of them (`Shared`) and forwarded when all of them are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import DecodeError, Struct, json

from hapenny.core.messages import Block, Json, Opaque, Text, Thinking, ToolUse

StopReason: TypeAlias = Literal[
    "end_turn",
    "stop_sequence",
    "max_tokens",
    "context_window",
    "tool_use",
    "content_filtered",
    "guardrail",
    "refusal",
    "pause_turn",
    "malformed",
]


class Tokens(Struct, frozen=True, gc=False, kw_only=True):
    """Counts of one call. `input` leaves out what was read from or written to the provider's prompt cache."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    """Written with the short lifetime (5 minutes)."""
    cache_write_1h: int = 0
    reasoning: int = 0
    """The part of `output` that is hidden reasoning."""
    queries: int = 0
    """Queries billed by a reranking model; 0 for every other."""
    units: tuple[tuple[str, int], ...] = ()
    """What is billed beside text, (unit, count) by the names of `PROMPT_UNITS`, `OUTPUT_UNITS` and the catalog's fees.
    Tokens among them are in no other count of this struct."""

    @property
    def prompt(self) -> int:
        """All tokens that went in, cached or not, of whatever kind."""
        total = self.input + self.cache_read + self.cache_write + self.cache_write_1h
        if self.units:
            total += sum(count for unit, count in self.units if unit in PROMPT_UNITS)
        return total

    @property
    def made(self) -> int:
        """All tokens that came out, of whatever kind."""
        if not self.units:
            return self.output
        return self.output + sum(count for unit, count in self.units if unit in OUTPUT_UNITS)


PROMPT_UNITS = frozenset(
    {"audio_input", "image_input", "video_input", "audio_cache_read", "image_cache_read", "video_cache_read"}
)
"""Tokens of a prompt that are priced apart from its text."""
OUTPUT_UNITS = frozenset({"audio_output", "image_output"})
"""Tokens of an answer that are priced apart from its text."""


class Shared(bytes):
    """A wire frame that says several events: each of them carries this very object as its `raw`."""

    events: int
    """How many events carry it."""


def shared(raw: bytes, count: int) -> bytes:
    """`raw` for each of `count` events."""
    if count < 2:
        return raw
    frame = Shared(raw)
    frame.events = count
    return frame


class Started(Struct, frozen=True, gc=False):
    """The provider accepted: not yet content (Bedrock may still throttle after it)."""

    id: str = ""
    model: str = ""
    created: float = 0.0
    tokens: Tokens | None = None
    """What the provider already reports of the prompt (Anthropic's message_start)."""
    extras: dict[str, Json] = {}
    raw: bytes | None = None


class BlockStarted(Struct, frozen=True, gc=False):
    """A block begins. `id` and `name` belong to tool calls. `payload` is the block itself (an `Opaque`) for kinds only
    one protocol knows, else its further fields by protocol (a dict)."""

    block: int
    kind: Literal["text", "tool_use", "thinking", "other"]
    choice: int = 0
    id: str = ""
    name: str = ""
    payload: Json = None
    raw: bytes | None = None


class TextDelta(Struct, frozen=True, gc=False):
    """A piece of text."""

    text: str
    block: int = 0
    choice: int = 0
    raw: bytes | None = None


class ThinkingDelta(Struct, frozen=True, gc=False):
    """A piece of reasoning; `redacted` is an encrypted whole."""

    text: str
    block: int = 0
    choice: int = 0
    redacted: str | None = None
    raw: bytes | None = None


class SignatureDelta(Struct, frozen=True, gc=False):
    """The signature of a reasoning block."""

    signature: str
    block: int = 0
    choice: int = 0
    raw: bytes | None = None


class ToolCallDelta(Struct, frozen=True, gc=False):
    """A piece of a tool call's JSON arguments."""

    arguments: str
    block: int = 0
    choice: int = 0
    raw: bytes | None = None


class CitationDelta(Struct, frozen=True, gc=False):
    """A citation, as the provider wrote it."""

    citation: Json
    block: int = 0
    choice: int = 0
    raw: bytes | None = None


class BlockStopped(Struct, frozen=True, gc=False):
    """A block is complete."""

    block: int
    choice: int = 0
    raw: bytes | None = None


class Usage(Struct, frozen=True, gc=False):
    """What the provider will bill."""

    tokens: Tokens
    extras: dict[str, Json] = {}
    raw: bytes | None = None


class Stopped(Struct, frozen=True, gc=False):
    """The model stopped (one for each choice). An answer without it is truncated."""

    reason: StopReason
    choice: int = 0
    sequence: str | None = None
    extras: dict[str, Json] = {}
    raw: bytes | None = None


class Other(Struct, frozen=True, gc=False):
    """A frame the codec passes on unread, to the same protocol only."""

    payload: Json
    kind: str = ""
    raw: bytes | None = None


Event: TypeAlias = (
    Started
    | BlockStarted
    | TextDelta
    | ThinkingDelta
    | SignatureDelta
    | ToolCallDelta
    | CitationDelta
    | BlockStopped
    | Usage
    | Stopped
    | Other
)

CONTENT = (TextDelta, ThinkingDelta, ToolCallDelta, CitationDelta)
"""The events with which an answer has begun (besides Stopped)."""


def begins(event: Event) -> bool:
    """Whether an answer has begun with `event`: its first content, or its end."""
    return isinstance(event, (TextDelta, ThinkingDelta, ToolCallDelta, Stopped, CitationDelta))


def last_of(events: Sequence[Event], start: int) -> int:
    """The index of the last event of the shared frame that begins at `start`; -1 where not all of its events follow
    (one was replaced or dropped, or comes later). Block boundaries without a frame of their own are skipped."""
    raw = events[start].raw
    left = raw.events if type(raw) is Shared else 0
    for index in range(start, len(events)):
        event = events[index]
        if event.raw is raw:
            left -= 1
            if not left:
                return index
        elif event.raw is not None or not isinstance(event, (BlockStarted, BlockStopped)):
            break
    return -1


class Choice(Struct, kw_only=True):
    """One alternative of a collected answer."""

    content: list[Block]
    reason: StopReason | None = None
    sequence: str | None = None
    extras: dict[str, Json] = {}


class Completion(Struct, kw_only=True):
    """A whole answer."""

    id: str = ""
    model: str = ""
    created: float = 0.0
    choices: list[Choice]
    tokens: Tokens | None = None
    extras: dict[str, Json] = {}
    others: list[Other] = []

    @property
    def text(self) -> str:
        """The text of the first choice, text blocks joined."""
        if not self.choices:
            return ""
        return "".join(block.text for block in self.choices[0].content if isinstance(block, Text))

    @property
    def tool_use(self) -> ToolUse | None:
        """The first tool call of the first choice; None: it calls none."""
        blocks = self.choices[0].content if self.choices else ()
        return next((block for block in blocks if isinstance(block, ToolUse)), None)

    @property
    def reason(self) -> StopReason | None:
        """Why the first choice stopped; None: truncated."""
        return self.choices[0].reason if self.choices else None


class Collector:
    """Folds events into a `Completion`."""

    def __init__(self) -> None:
        self.completion = Completion(choices=[])
        self._open: dict[tuple[int, int], list[object]] = {}
        self._order: list[tuple[int, int]] = []

    def feed(self, event: Event) -> None:
        """Takes one event, in order."""
        done = self.completion
        match event:
            case TextDelta():
                self._block(event.choice, event.block, "text")[1].append(event.text)  # type: ignore[attr-defined]
            case ToolCallDelta():
                self._block(event.choice, event.block, "tool_use")[1].append(event.arguments)  # type: ignore[attr-defined]
            case ThinkingDelta():
                slot = self._block(event.choice, event.block, "thinking")
                slot[1].append(event.text)  # type: ignore[attr-defined]
                if event.redacted is not None:
                    slot[4] = event.redacted
            case SignatureDelta():
                slot = self._block(event.choice, event.block, "thinking")
                slot[3] = (slot[3] or "") + event.signature  # type: ignore[operator]
            case CitationDelta():
                self._block(event.choice, event.block, "text")[2].append(event.citation)  # type: ignore[attr-defined]
            case BlockStarted():
                slot = self._block(event.choice, event.block, event.kind)
                slot[0], slot[5], slot[6], slot[7] = event.kind, event.id, event.name, event.payload
            case Stopped():
                choice = self._choice(event.choice)
                choice.reason, choice.sequence, choice.extras = event.reason, event.sequence, event.extras
            case Usage():
                done.tokens = event.tokens
                if event.extras:
                    done.extras = merged(done.extras, event.extras)
            case Started():
                done.id, done.model, done.created = event.id, event.model, event.created
                if event.extras:
                    done.extras = merged(done.extras, event.extras)
            case Other():
                done.others = [*done.others, event]
            case _:
                pass

    def take(self, events: Sequence[Event]) -> bool:
        """Takes an answer of one text that came whole, as most do, as `feed` takes its events one by one; False, and
        nothing is taken, for any other."""
        done = self.completion
        if len(events) != 6 or done.choices or self._order:
            return False
        started, opened, said, closed, stopped, used = events
        if (
            type(started) is not Started or type(opened) is not BlockStarted or type(said) is not TextDelta
            or type(closed) is not BlockStopped or type(stopped) is not Stopped or type(used) is not Usage
            or opened.kind != "text" or not (opened.block == said.block == closed.block)
            or opened.choice or said.choice or stopped.choice
        ):  # fmt: skip
            return False
        done.id, done.model, done.created, done.tokens = started.id, started.model, started.created, used.tokens
        if started.extras or used.extras:
            done.extras = merged(merged(done.extras, started.extras), used.extras)
        text = Text(said.text, extras=opened.payload if isinstance(opened.payload, dict) else {})
        done.choices.append(
            Choice(content=[text], reason=stopped.reason, sequence=stopped.sequence, extras=stopped.extras)
        )
        return True

    def text(self, choice: int, block: int) -> list[str]:
        """The pieces of a block's text; whoever appends to them need not hand in the events."""
        return self._block(choice, block, "text")[1]  # type: ignore[return-value]

    def finish(self) -> Completion:
        """The completion, its blocks in the order of their indices within each choice."""
        for choice, block in sorted(self._order):
            kind, parts, citations, signature, redacted, id_, name, payload = self._open[choice, block]
            content = self._choice(choice).content
            text = "".join(parts)  # type: ignore[arg-type]
            extras = payload if isinstance(payload, dict) else {}
            if kind == "text":
                content.append(Text(text, citations=tuple(citations), extras=extras))  # type: ignore[arg-type]
            elif kind == "tool_use":
                content.append(ToolUse(id_, name, text, extras=extras))  # type: ignore[arg-type]
            elif kind == "thinking":
                content.append(Thinking(text, signature, redacted, extras))  # type: ignore[arg-type]
            elif payload is not None:
                if text and isinstance(payload, Opaque):  # pieces of arguments: a provider's own tool
                    payload = _filled(payload, text)
                content.append(payload)  # type: ignore[arg-type]
        self._order.clear()
        self._open.clear()
        return self.completion

    def _choice(self, index: int) -> Choice:
        choices = self.completion.choices
        while len(choices) <= index:
            choices.append(Choice(content=[]))
        return choices[index]

    def _block(self, choice: int, block: int, kind: str) -> list[object]:
        slot = self._open.get((choice, block))
        if slot is None:
            slot = self._open[choice, block] = [kind, [], [], None, None, "", "", None]
            self._order.append((choice, block))
        return slot


def events_of(completion: Completion) -> list[Event]:
    """The shortest event sequence that collects to `completion`; the form in which answers are stored."""
    counted: dict[str, Json] = {}
    extras = completion.extras
    if extras:
        counted = {key: value for key, value in extras.items() if key.endswith(".usage")}
        extras = {key: value for key, value in extras.items() if key not in counted}
    events: list[Event] = [Started(completion.id, completion.model, completion.created, extras=extras)]
    for index, choice in enumerate(completion.choices):
        for number, block in enumerate(choice.content):
            match block:
                case Text():
                    events.append(BlockStarted(number, "text", index, payload=block.extras or None))
                    if block.text:
                        events.append(TextDelta(block.text, number, index))
                    for citation in block.citations:
                        events.append(CitationDelta(citation, number, index))
                case ToolUse():
                    events.append(BlockStarted(number, "tool_use", index, block.id, block.name, block.extras or None))
                    events.append(ToolCallDelta(block.arguments, number, index))
                case Thinking():
                    events.append(BlockStarted(number, "thinking", index, payload=block.extras or None))
                    events.append(ThinkingDelta(block.text, number, index, block.redacted))
                    if block.signature is not None:
                        events.append(SignatureDelta(block.signature, number, index))
                case _:
                    events.append(BlockStarted(number, "other", index, payload=block))
            events.append(BlockStopped(number, index))
        if choice.reason is not None:
            events.append(Stopped(choice.reason, index, choice.sequence, choice.extras))
    events.extend(completion.others)
    if completion.tokens is not None:
        events.append(Usage(completion.tokens, counted))
    return events


def _filled(tool: Opaque, written: str) -> Opaque:
    """A call of a provider's own tool with the input that came in pieces."""
    custom = tool.payload.get("custom")
    if isinstance(custom, dict):  # OpenAI: its input is text
        payload = {**tool.payload, "custom": {**custom, "input": written}}
    elif tool.protocol == "responses":  # likewise
        payload = {**tool.payload, "input": written}
    else:
        payload = {**tool.payload, "input": json_or_text(written)}
    return Opaque(tool.protocol, payload, extras=tool.extras)


def merged(known: dict[str, Json], more: dict[str, Json]) -> dict[str, Json]:
    """Extras by owner, those of one owner joined."""
    out = dict(known)
    for owner, fields in more.items():
        before = out.get(owner)
        out[owner] = {**before, **fields} if isinstance(before, dict) and isinstance(fields, dict) else fields
    return out


def json_or_text(text: str) -> Json:
    """The JSON value in `text`, or `text` itself if it holds none."""
    try:
        return json.decode(text)
    except (DecodeError, RecursionError):
        return text
