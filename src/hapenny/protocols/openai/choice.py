"""One choice of a streamed OpenAI answer: which block is open, and in which order its pieces become events.

Theory of operation. The wire may mix text, reasoning and the pieces of several calls at will; our events may not: a
block that was left is over. So whatever comes while a tool call is open whose arguments are not yet a whole JSON
object waits until they are, at most until the choice ends. Events of one chunk carry that chunk as their frame, whether
they come at once or later. A finish reason ends nothing at once either: some servers (Gemini behind several layers)
put "stop" into every chunk. The reason that came last is told when the stream is over.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from msgspec import structs

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
    shared,
)
from hapenny.protocols.fields import bound_upstream
from hapenny.protocols.openai import errors
from hapenny.protocols.openai.calls import Call, Calls, call_extras, entry_of
from hapenny.protocols.openai.pieces import WORD, Piece, flattened, folded, kept, left_over, matched, pieces_of
from hapenny.protocols.stops import OPENAI, openai_stop, told

_KNOWN = {"index", "delta", "message", "finish_reason", "logprobs", "usage"}
"""`message` repeats all that was said so far (Perplexity), or stands for the delta where a server streams in one go."""


_BARE = Piece("text")


class Frame:
    """The chunk that events come from: how many it makes, where they stand, and its bytes once it is read."""

    __slots__ = ("count", "mended", "places", "raw")

    def __init__(self) -> None:
        self.count = 0
        self.mended = False
        self.places: list[int] | None = []
        self.raw: bytes | None = None

    def close(self, raw: bytes | None, events: list[Event]) -> None:
        """Gives the events of the chunk its bytes."""
        if raw is not None and self.count:
            self.raw = raw = shared(raw, self.count)
            for place in self.places or ():
                events[place] = structs.replace(events[place], raw=raw)
        self.places = None


class Choice:
    """Turns the deltas of one choice into events."""

    __slots__ = ("_calls", "_closing", "_nameless", "_rest", "_thought", "_top", "_under", "_waiting", "_word",
                 "blocks", "form", "index", "kind", "logprobs", "open", "refused", "stopped")  # fmt: skip

    def __init__(self, index: int, stem: str) -> None:
        self.index = index
        self.open = -1
        self.kind = ""
        self.form = ""
        self.blocks = 0
        self.logprobs: list[Any] = []
        self.refused = False
        self.stopped = False
        self._word = ""
        self._closing: Frame | None = None
        self._calls = Calls(stem)
        self._under: Call | None = None
        """The call whose block is open."""
        self._waiting: deque[tuple[Piece | Call, Frame]] = deque()
        self._nameless: list[tuple[Call, Frame]] = []
        """Calls whose name has not come yet."""
        self._thought: list[str] = []
        """The reasoning of the open block."""
        self._rest: list[dict[str, Any]] = []
        self._top: list[dict[str, Any]] = []

    @property
    def plain(self) -> bool:
        """Whether a piece of text can go on at once."""
        return self.kind == "text" and not self.form and not self._waiting and not self._word

    @property
    def ends(self) -> bool:
        """Whether the choice has a finish reason."""
        return bool(self._word) or self.stopped

    def take(self, data: dict[str, Any], frame: Frame, events: list[Event]) -> bool:
        """Appends the events of one entry of a chunk's `choices`; whether it holds something that no event says.

        `data` is mended where its server departs from what OpenAI sends.
        """
        delta = data.get("delta")
        if type(delta) is not dict:
            message = data.get("message")
            delta = data["delta"] = message if type(message) is dict else {}
            frame.mended = True
        odd = False
        before = frame.count
        frame.mended |= flattened(delta)
        for piece in pieces_of(delta, streamed=True):
            if piece.kind == "call":
                odd |= self._call(entry_of(piece.value), piece.form, frame, events)
            else:
                self._piece(piece, frame, events)
        if rest := left_over(delta):
            self._rest.append(bound_upstream(rest))
            odd = True
        if data.get("logprobs") is not None:
            self.logprobs.append(data["logprobs"])
            odd = True
        if not data.keys() <= _KNOWN:
            top = {key: value for key, value in data.items() if key not in _KNOWN and value is not None}
            if top:
                self._top.append(bound_upstream(top))
                odd = True
        if (word := data.get("finish_reason")) is not None:
            self._finish(word, data, frame, frame.count > before)
        return odd

    def _finish(self, word: Any, data: dict[str, Any], frame: Frame, spoken: bool) -> None:
        if type(word) is not str or not word:
            data["finish_reason"] = None  # Ollama, SGLang: "" in every chunk but the last
            frame.mended = True
            return
        if type(data.get("error")) is dict:
            raise errors.within(data["error"])
        self._word = told(word, data.get("native_finish_reason"))
        self._closing = None
        if spoken:
            # The text goes on at once, its end is told when it is sure.
            data["finish_reason"] = None
            frame.mended = True
        else:
            self._closing = frame
            frame.count += 1

    def end(self, events: list[Event]) -> None:
        """Appends what still waits, and the stop."""
        if self.stopped or not self._word:
            return
        self.stopped = True
        for waits in (*self._waiting, *self._nameless):
            self._perform(*waits, events)
        self._waiting.clear()
        self._nameless = []
        self._close(events)
        extras = self._extras()
        word, frame = self._word, self._closing
        sequence = matched(extras)
        reason, usual = openai_stop(word, called=self._calls.count > 0, refused=self.refused, matched=bool(sequence))
        owned: dict[str, Any] = {"openai": extras} if extras else {}
        if OPENAI[reason] != word and (usual or word in OPENAI.values()):
            owned[WORD] = (reason, word)
        raw = frame.raw if frame is not None and usual else None
        events.append(Stopped(reason, self.index, sequence, owned, raw))

    def _extras(self) -> dict[str, Any]:
        extras = folded(self._top, continued=False) if self._top else {}
        if self._rest:
            extras["message"] = folded(self._rest)
        if logprobs := [part for part in self.logprobs if type(part) is dict]:
            extras["logprobs"] = folded(logprobs, continued=False)
        return extras

    # -- pieces --------------------------------------------------------------------------------------------------

    def _piece(self, piece: Piece, frame: Frame, events: list[Event]) -> None:
        frame.count += 1
        if piece.form == "refusal":
            self.refused = True
        if self._blocked(events):
            self._waiting.append((piece, frame))
        else:
            self._perform(piece, frame, events)

    def _call(self, entry: dict[str, Any], form: str, frame: Frame, events: list[Event]) -> bool:
        call, fresh, arguments, mended = self._calls.take(entry, form)
        frame.mended |= mended
        if not call.begun and arguments and call.payload is None:
            arguments = arguments.lstrip()  # white space before the arguments says nothing
        extras = call_extras(entry, form) if call.payload is None else {}
        pieces: list[tuple[str, Any, Frame]] = []
        if fresh:
            pieces.append(("begin", extras, frame))
        if arguments:
            call.pieces.append(arguments)
            pieces.append(("piece", arguments, frame))
        frame.count += len(pieces)
        bare = False
        """Whether the entry says the name alone, which the call's begin has told already."""
        if fresh and not call.name and call.payload is None:
            call.held = pieces
            self._nameless.append((call, frame))
        elif fresh or (call.name and self._named(call)):
            bare = not fresh and not pieces
            call.held += pieces
            if self._blocked(events):
                self._waiting.append((call, frame))
            else:
                self._perform(call, frame, events)
        elif call.block < 0:
            call.held += pieces
        else:
            self._written(call, pieces, events)
        self._drain(events)
        return bare or (not fresh and "openai" in extras)

    def _named(self, call: Call) -> bool:
        """Whether a call had to wait for its name, and has it now."""
        kept = [each for each in self._nameless if each[0] is not call]
        waited = len(kept) < len(self._nameless)
        self._nameless = kept
        return waited

    def _blocked(self, events: list[Event]) -> bool:
        """Whether a tool call is open that may go on; lets what waits go first."""
        self._drain(events)
        return bool(self._waiting) or (self._under is not None and not self._under.complete())

    def _drain(self, events: list[Event]) -> None:
        while self._waiting and (self._under is None or self._under.complete()):
            self._perform(*self._waiting.popleft(), events)

    def _perform(self, piece: Piece | Call, frame: Frame, events: list[Event]) -> None:
        if isinstance(piece, Call):
            pieces, piece.held = piece.held, []
            self._written(piece, pieces, events)
            return
        kind, choice = piece.kind, self.index
        if kind == "text":
            self._enter("text", piece, events)
            self._say(TextDelta(piece.text, self.open, choice), frame, events)
        elif kind == "thinking":
            if piece.form == "signed" and self.kind == "thinking" and piece.text == "".join(self._thought):
                frame.count -= 1  # the whole of what came in pieces: said already
                return
            self._enter("thinking", piece, events)
            self._thought.append(piece.text)
            self._say(ThinkingDelta(piece.text, self.open, choice), frame, events)
        elif kind == "redacted":
            self._begin("thinking", piece, events)
            self._say(ThinkingDelta("", self.open, choice, piece.text), frame, events)
        elif kind == "signature":
            if self.kind != "thinking":
                self._begin("thinking", _BARE, events)
            self._say(SignatureDelta(piece.text, self.open, choice), frame, events)
            self._close(events)
        elif kind == "note":
            if self.kind != "text":
                self._begin("text", _BARE, events)
            self._say(CitationDelta(kept(piece.value), self.open, choice), frame, events)
        else:
            self._close(events)
            self._say(self._new("other", piece.opaque()), frame, events)

    def _written(self, call: Call, pieces: list[tuple[str, Any, Frame]], events: list[Event]) -> None:
        for what, value, frame in pieces:
            if what == "begin":
                self._close(events)
                kind: Any = "tool_use" if call.payload is None else "other"
                payload = (value or None) if call.payload is None else call.payload
                event = self._new(kind, payload, call.id if call.payload is None else "", call.name)
                call.block, self._under = event.block, call
                self._say(event, frame, events)
            elif call.block == self.open and self.kind:
                self._say(ToolCallDelta(value, call.block, self.index), frame, events)
            elif value.strip():
                raise Failure("upstream", "The provider's stream goes on with a tool call after it was complete.")
            else:
                frame.count -= 1

    def _enter(self, kind: Any, piece: Piece, events: list[Event]) -> None:
        """Opens a block for `piece`, unless it goes on with the open one."""
        goes_on = self.kind == kind and (piece.form == "signed" or (self.form == piece.form and not piece.extras))
        if not goes_on:
            self._begin(kind, piece, events)

    def _begin(self, kind: Any, piece: Piece, events: list[Event]) -> None:
        self._close(events)
        events.append(self._new(kind, piece.owned()))
        self.form = piece.form

    def _new(self, kind: Any, payload: Any, id_: str = "", name: str = "") -> BlockStarted:
        self.open, self.kind, self.form = self.blocks, kind, ""
        self._thought = []
        self.blocks += 1
        return BlockStarted(self.open, kind, self.index, id_, name, payload)

    def _close(self, events: list[Event]) -> None:
        self._under = None
        if self.kind:
            events.append(BlockStopped(self.open, self.index))
            self.kind = ""

    def _say(self, event: Event, frame: Frame, events: list[Event]) -> None:
        if frame.places is not None:
            frame.places.append(len(events))
        elif frame.raw is not None:
            event = structs.replace(event, raw=frame.raw)
        events.append(event)
