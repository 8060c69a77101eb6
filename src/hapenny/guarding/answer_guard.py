"""An answer on its way out, redacted: events in, events out.

Theory of operation. Text goes through a `TextStream` a block and leaves as soon as it is decided. A tool call's
arguments are JSON, so they are held until their block is whole, with the block's beginning; reasoning may be signed
and is never edited, so a block of it is held too, and dropped whole if it holds what must not go out (later blocks
move up by one). Where a rule blocks, what was decided before stays, a sentence of the operator's follows, every open
block is closed and the answer stops with the reason `guardrail`, which each dialect says in its own word; nothing
behind that is read.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

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
    StopReason,
    TextDelta,
    ThinkingDelta,
    Tokens,
    ToolCallDelta,
    Usage,
)
from hapenny.core.messages import Opaque
from hapenny.guarding.policy import Policy
from hapenny.guarding.redaction import Redactor
from hapenny.guarding.streaming import Tally, TextStream

MOST_HELD = 4_000_000
"""Characters of one block of arguments or reasoning that are held."""
_CHARACTERS_A_TOKEN = 4


class _Held:
    """A block that is judged when it is whole."""

    __slots__ = ("events", "pieces", "size")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.pieces: list[str] = []
        self.size = 0

    def add(self, event: Event, piece: str = "") -> None:
        self.events.append(event)
        if piece:
            self.pieces.append(piece)
            self.size += len(piece)
            if self.size > MOST_HELD:
                raise Failure("too_large", f"a block of the answer is longer than {MOST_HELD} characters")


class AnswerGuard:
    """Redacts and stops one answer.

    Args:
        policy: what is done about what is found.
        message: what is said where the answer is stopped; "" says nothing.
        most: characters of text that an answer may have; None: as many as it likes.
    """

    def __init__(self, policy: Policy, message: str = "", most: int | None = None) -> None:
        self.tally = Tally()
        self.stopped = False
        """Nothing more goes out: the source may be closed."""
        self.changed = False
        """Whether anything went out other than it came."""
        self._policy = policy
        self._message = message
        self._most = most
        self._texts: dict[tuple[int, int], TextStream] = {}
        self._tools: dict[tuple[int, int], _Held] = {}
        self._thoughts: dict[tuple[int, int], _Held] = {}
        self._dropped: dict[int, list[int]] = {}
        self._open: dict[tuple[int, int], None] = {}
        """Blocks whose beginning went out, and whose end did not."""
        self._highest: dict[int, int] = {}
        self._written: dict[int, int] = {}
        """Characters of text that went out, by choice."""
        self._done: set[int] = set()
        self._tokens = Tokens()

    def feed(self, batch: Sequence[Event]) -> list[Event]:
        """What goes on in place of a batch."""
        out: list[Event] = []
        for event in batch:
            if self.stopped:
                break
            self._one(event, out)
        return out

    def end(self) -> list[Event]:
        """What is still held of an answer that ended without saying so."""
        out: list[Event] = []
        for choice, block in [*self._texts, *self._tools, *self._thoughts]:
            if not self.stopped:
                self._finish(choice, block, out)
        return out

    def _one(self, event: Event, out: list[Event]) -> None:
        match event:
            case TextDelta():
                self._text(event, out)
            case ToolCallDelta():
                if (held := self._tools.get((event.choice, event.block))) is None:
                    held = self._tools[event.choice, event.block] = _Held()
                held.add(event, event.arguments)
                if not self._policy.rewrites:
                    self._put(event, out)
            case ThinkingDelta() | SignatureDelta():
                held = self._thoughts.setdefault((event.choice, event.block), _Held())
                held.add(event, event.text if isinstance(event, ThinkingDelta) else "")
                if not self._policy.rewrites:
                    self._put(event, out)
            case BlockStarted():
                self._start(event, out)
            case BlockStopped():
                self._finish(event.choice, event.block, out)
                if not self.stopped and event.block not in self._dropped.get(event.choice, ()):
                    self._put(event, out)
            case Stopped():
                for choice, block in [*self._thoughts, *self._texts, *self._tools]:
                    if choice == event.choice and not self.stopped:
                        self._finish(choice, block, out)
                if not self.stopped:
                    self._done.add(event.choice)
                    out.append(event)
            case CitationDelta() | Other():
                self._foreign(event, out)
            case _:
                if isinstance(event, Usage | Started):
                    self._tokens = event.tokens or self._tokens
                out.append(event)

    def _text(self, event: TextDelta, out: list[Event]) -> None:
        place = event.choice, event.block
        stream = self._texts.get(place)
        if stream is None:
            stream = self._texts[place] = TextStream(self._policy, self.tally)
            self._written.setdefault(event.choice, 0)
        fresh = not stream.held
        text = stream.feed(event.text)
        if fresh and text == event.text:
            self._say(event, out)
        elif text:
            self._say(TextDelta(text, event.block, event.choice), out)
        if stream.blocked and not self.stopped:
            self._stop(event.choice, event.block, out)

    def _say(self, event: TextDelta, out: list[Event]) -> None:
        """Text goes out, as long as the answer may be longer."""
        written = self._written.get(event.choice, 0)
        most = self._most
        if most is not None and written + len(event.text) > most:
            rest = event.text[: most - written]
            if rest:
                self._put(TextDelta(rest, event.block, event.choice), out)
            self._written[event.choice] = most
            self.tally.add("cut at its greatest length")
            self._close(event.choice, out, "max_tokens")
            return
        self._written[event.choice] = written + len(event.text)
        self._put(event, out)

    def _start(self, event: BlockStarted, out: list[Event]) -> None:
        place = event.choice, event.block
        self._highest[event.choice] = max(self._highest.get(event.choice, -1), event.block)
        if self._policy.rewrites and event.kind in ("tool_use", "thinking"):
            held = _Held()
            held.add(event)
            (self._tools if event.kind == "tool_use" else self._thoughts)[place] = held
            return
        if isinstance(event.payload, Opaque):
            redactor = Redactor(self._policy, self.tally)
            payload = redactor.json(event.payload.payload)
            if redactor.blocked:
                self._stop(*place, out)
                return
            if payload is not event.payload.payload:
                event = structs.replace(event, payload=structs.replace(event.payload, payload=payload), raw=None)
        self._put(event, out)

    def _finish(self, choice: int, block: int, out: list[Event]) -> None:
        """Nothing more comes of a block."""
        place = choice, block
        stream = self._texts.pop(place, None)
        if stream is not None:
            rest = stream.flush()
            if rest:
                self._say(TextDelta(rest, block, choice), out)
            if stream.blocked and not self.stopped:
                self._stop(choice, block, out)
        tool, thought = self._tools.pop(place, None), self._thoughts.pop(place, None)
        if tool is not None and not self.stopped:
            self._tool(choice, block, tool, out)
        if thought is not None and not self.stopped:
            self._thought(choice, block, thought, out)

    def _tool(self, choice: int, block: int, held: _Held, out: list[Event]) -> None:
        written = "".join(held.pieces)
        redactor = Redactor(self._policy, self.tally)
        arguments = redactor.arguments(written)
        if not self._policy.rewrites:
            return
        if redactor.blocked:
            self._stop(choice, block, out)
            return
        if arguments == written:
            for event in held.events:
                self._put(event, out)
            return
        started = [event for event in held.events if isinstance(event, BlockStarted)]
        for begun in started:
            self._put(structs.replace(begun, raw=None), out)
        self._put(ToolCallDelta(arguments, block, choice), out)

    def _thought(self, choice: int, block: int, held: _Held, out: list[Event]) -> None:
        written = "".join(held.pieces)
        redactor = Redactor(self._policy, self.tally)
        kept = redactor.text(written)
        if not self._policy.rewrites:
            return
        if kept == written and not redactor.blocked:
            for event in held.events:
                self._put(event, out)
            return
        self.changed = True
        self.tally.add("reasoning left out")
        if isinstance(held.events[0], BlockStarted):
            self._dropped.setdefault(choice, []).append(block)

    def _foreign(self, event: CitationDelta | Other, out: list[Event]) -> None:
        """What is passed on as the provider wrote it."""
        redactor = Redactor(self._policy, self.tally)
        value = event.citation if isinstance(event, CitationDelta) else event.payload
        made = redactor.json(value)
        if redactor.blocked:
            self._stop(getattr(event, "choice", 0), getattr(event, "block", 0), out)
        elif made is value:
            self._put(event, out) if isinstance(event, CitationDelta) else out.append(event)
        elif isinstance(event, CitationDelta):
            self.changed = True
            self._put(structs.replace(event, citation=made, raw=None), out)
        else:
            self.changed = True
            out.append(structs.replace(event, payload=made, raw=None))

    def _put(self, event: Event, out: list[Event]) -> None:
        """An event of a block goes out, under the number that its block has behind those that were dropped."""
        choice, block = event.choice, event.block  # type: ignore[union-attr]
        before = sum(each < block for each in self._dropped.get(choice, ()))
        if before:
            event = structs.replace(event, block=block - before, raw=None)
        if isinstance(event, BlockStarted):
            self._open[choice, block] = None
        elif isinstance(event, BlockStopped):
            self._open.pop((choice, block), None)
        elif isinstance(event, TextDelta | ToolCallDelta):
            self._open.setdefault((choice, block))
        out.append(event)

    def _stop(self, choice: int, block: int, out: list[Event]) -> None:
        """A rule blocks: a sentence, and the end."""
        self._highest[choice] = highest = max(self._highest.get(choice, -1), block)
        place = (choice, block)
        said = self._written.get(choice, 0) > 0
        if self._message:
            if place in self._open and place not in self._tools and place not in self._thoughts:
                text = f"\n{self._message}" if said else self._message
                self._put(TextDelta(text, block, choice), out)
            else:
                for each in [each for each in self._open if each[0] == choice]:
                    self._put(BlockStopped(each[1], each[0]), out)
                number = highest + 1
                self._put(BlockStarted(number, "text", choice), out)
                self._put(TextDelta(self._message, number, choice), out)
        self._close(choice, out, "guardrail")

    def _close(self, choice: int, out: list[Event], reason: StopReason) -> None:
        """Ends the answer in good order. Other alternatives of it end where they are."""
        self.stopped = self.changed = True
        for each in list(self._open):
            self._put(BlockStopped(each[1], each[0]), out)
        choices = {choice, *self._highest, *self._written, *(each for each, _ in self._texts)} - self._done
        out.extend(Stopped(reason, each) for each in sorted(choices))
        made = sum(self._written.values()) // _CHARACTERS_A_TOKEN
        out.append(Usage(structs.replace(self._tokens, output=max(self._tokens.output, made))))
