"""What must be undone in the answer to a rewritten request: names and ids given back, a tool's input told as text,
an answer in JSON cut out and checked, stop sequences that the provider does not take.

Synchronous transforms of events, the same for whole and streamed answers. An event that is left alone keeps its frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from hapenny.core.answer import EventTransform, Transform
from hapenny.core.errors import Failure
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Event,
    SignatureDelta,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)

_CUT = frozenset(("max_tokens", "context_window", "refusal", "content_filtered", "guardrail", "tool_use"))
"""Reasons after which an answer need not be whole JSON."""


class Renamed(EventTransform):
    """Gives tools and calls the names and ids that the client knows."""

    def __init__(self, names: Mapping[str, str], ids: Mapping[str, str]) -> None:
        self._names = names
        self._ids = ids

    def one(self, event: Event) -> Sequence[Event]:
        """Only the start of a call is changed."""
        if type(event) is not BlockStarted or event.kind != "tool_use":
            return (event,)
        name, id_ = self._names.get(event.name, event.name), self._ids.get(event.id, event.id)
        if name == event.name and id_ == event.id:
            return (event,)
        return (replace(event, name=name, id=id_, raw=None),)


class Spoken(EventTransform):
    """Tells the input of one tool, which the model was made to call, as the answer's text."""

    def __init__(self, tool: str) -> None:
        self._tool = tool
        self._blocks: set[tuple[int, int]] = set()

    def one(self, event: Event) -> Sequence[Event]:
        """Calls of the tool become text."""
        match event:
            case BlockStarted() if event.kind == "tool_use" and event.name == self._tool:
                self._blocks.add((event.choice, event.block))
                return (BlockStarted(event.block, "text", event.choice),)
            case ToolCallDelta() if (event.choice, event.block) in self._blocks:
                return (TextDelta(event.arguments, event.block, event.choice),)
            case BlockStopped() if (event.choice, event.block) in self._blocks:
                return (replace(event, raw=None),)
            case Stopped() if event.reason == "tool_use" and self._blocks:
                return (replace(event, reason="end_turn", raw=None),)
        return (event,)


class OneObject(EventTransform):
    """Lets through the first JSON object of the answer's text, and fails an answer that holds none.

    Reads character by character: braces outside of strings are counted, so that fences and words around the object are
    dropped while it streams. `begun`: the model was made to begin with a brace, which is not in its answer.
    """

    def __init__(self, begun: bool = False) -> None:
        self._begun = begun
        self._before: list[str] = []
        self._inside: list[str] = []
        self._depth = 0
        self._quoted = self._escaped = self._done = False
        self._calls = False

    def one(self, event: Event) -> Sequence[Event]:
        """Text is cut; the end is checked."""
        if type(event) is TextDelta and event.choice == 0:
            text = self._cut(event.text)
            return (replace(event, text=text, raw=None),) if text else ()
        if type(event) is BlockStarted and event.kind == "tool_use":
            self._calls = True
        elif type(event) is Stopped and event.choice == 0:
            return self._ended(event)
        return (event,)

    def _cut(self, text: str) -> str:
        if self._done:
            return ""
        start = 0
        if not self._depth:
            if self._begun and not "".join(self._before).strip() and (first := text.lstrip()):
                self._begun = False
                if first[0] != "{":
                    text = "{" + text
            start = text.find("{")
            if start < 0:
                self._before.append(text)
                return ""
            self._before.append(text[:start])
        end = self._scan(text, start)
        piece = text[start:end]
        self._inside.append(piece)
        return piece

    def _scan(self, text: str, start: int) -> int:
        """Where the object ends in `text`, or its length."""
        for place in range(start, len(text)):
            letter = text[place]
            if self._escaped:
                self._escaped = False
            elif self._quoted:
                if letter == "\\":
                    self._escaped = True
                elif letter == '"':
                    self._quoted = False
            elif letter == '"':
                self._quoted = True
            elif letter == "{":
                self._depth += 1
            elif letter == "}":
                self._depth -= 1
                if not self._depth:
                    self._done = True
                    return place + 1
        return len(text)

    def _ended(self, event: Stopped) -> Sequence[Event]:
        if self._done:
            try:
                msgspec.json.decode("".join(self._inside))
                return (event,)
            except (msgspec.DecodeError, RecursionError):
                pass
        elif self._calls or event.reason in _CUT:
            held = "" if self._inside else "".join(self._before)
            return (TextDelta(held), event) if held else (event,)
        raise Failure(
            "upstream",
            "The model did not answer with a JSON object, which response_format asks for.",
            field="response_format",
            fix="ask for JSON in the prompt, give a json_schema, or take a model with structured output",
        )


class StopsHere(EventTransform):
    """Ends the text at stop sequences that the provider was not told. What the model writes after one is read to its
    end, since it is paid, and dropped."""

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = tuple(one for one in sequences if one)
        self._keep = max(len(one) for one in self._sequences) - 1
        self._held: dict[int, tuple[int, str]] = {}
        """By choice: the block, and the end of its text that may begin a sequence."""
        self._hit: dict[int, str] = {}

    def one(self, event: Event) -> Sequence[Event]:
        """Text is held back as far as it may begin a sequence."""
        match event:
            case TextDelta():
                return self._text(event)
            case Stopped():
                hit = self._hit.get(event.choice)
                if hit is not None:
                    return (replace(event, reason="stop_sequence", sequence=hit, raw=None),)
                return (*self._rest(event.choice), event)
            case (
                BlockStarted() | BlockStopped() | ThinkingDelta() | SignatureDelta() | ToolCallDelta() | CitationDelta()
            ):
                if event.choice in self._hit:
                    return (event,) if type(event) is BlockStopped and self._opened(event) else ()
                return (*self._rest(event.choice), event)
        return (event,)

    def _opened(self, event: BlockStopped) -> bool:
        return self._held.get(event.choice, (-1, ""))[0] == event.block

    def _text(self, event: TextDelta) -> Sequence[Event]:
        if event.choice in self._hit:
            return ()
        block, before = self._held.get(event.choice, (event.block, ""))
        text = before + event.text
        places = [(place, one) for one in self._sequences if (place := text.find(one)) >= 0]
        if places:
            place, hit = min(places)
            self._hit[event.choice] = hit
            self._held[event.choice] = (event.block, "")
            return (TextDelta(text[:place], event.block, event.choice),) if place else ()
        cut = max(0, len(text) - self._keep)
        self._held[event.choice] = (block, text[cut:])
        return (TextDelta(text[:cut], event.block, event.choice),) if cut else ()

    def _rest(self, choice: int) -> tuple[Event, ...]:
        block, text = self._held.pop(choice, (0, ""))
        return (TextDelta(text, block, choice),) if text else ()


class Undo:
    """All that must be undone in one answer, in order."""

    __slots__ = ("transforms",)

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = tuple(transforms)

    def flow(self, batch: Sequence[Event]) -> Sequence[Event]:
        """What the client gets for `batch`; possibly nothing."""
        for transform in self.transforms:
            batch = transform.flow(batch)
        return batch
