"""OpenAI Responses: reading a streamed answer.

Theory of operation. The wire tells items, parts of items and pieces of parts, each with its beginning and its end; an
event of ours is made of the frame that first says a thing, and carries that frame as `raw`. Frames that say again what
was said (`….done` of texts and messages) go on as `Other` with the number of characters that came before them, so that
the writing side can tell whether a stage has changed or left out any. Calls and reasoning are blocks from their item's
first frame to its last; a message is one block a part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

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
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    shared,
)
from hapenny.protocols import fields as f
from hapenny.protocols import sse
from hapenny.protocols.codec import StreamDecoder
from hapenny.protocols.openai import errors
from hapenny.protocols.openai.pieces import text_of
from hapenny.protocols.openai.responses import answer, output
from hapenny.protocols.openai.responses.items import nested

SAID = "responses.said"
"""The key under which the end of an answer tells how many characters came before it."""
_CALLS = frozenset(("function_call", "custom_tool_call"))
_Place = tuple[int, int]
"""Numbers of an item and of a part in it; -1 is the item itself."""


class _Piece(Struct):
    """A piece of text, by far the most frequent frame."""

    type: str
    delta: str
    output_index: int
    content_index: int


_piece = msgspec.json.Decoder(_Piece).decode


class Decoder(StreamDecoder):
    """Frames to events."""

    def __init__(self, model: str, id_: str, created: float) -> None:
        self._sse = sse.Parser()
        self._defaults = (model, id_, created)
        self._started = self._done = self._refusal = False
        self._blocks = 0
        self._open: dict[_Place, int] = {}
        """Blocks under way."""
        self._items: dict[int, dict[str, Any]] = {}
        """Further fields of messages, by their number."""
        self._told: set[int] = set()
        """Items of which something was said."""
        self._said = 0

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for name, payload in self._sse.feed(data):
            if name != b"response.output_text.delta" or b"\n" in payload or not self._text(payload, events):
                self._frame(name, payload, events)
        return events

    def close(self) -> list[Event]:
        if not self._started and self._sse.rest.lstrip().startswith(b"{"):
            raise errors.not_streamed()
        events: list[Event] = []
        for name, payload in self._sse.flush():
            self._frame(name, payload, events)
        if not self._done:
            raise Failure("truncated", "The provider's stream ended before the answer was complete.")
        return events

    def _text(self, payload: bytes, events: list[Event]) -> bool:
        """The common frame: one more piece of a text that is open. False if it is any other."""
        try:
            piece = _piece(payload)
        except (ValueError, RecursionError):
            return False
        block = self._open.get((piece.output_index, piece.content_index))
        if block is None or self._done:
            return False
        self._said += len(piece.delta)
        events.append(TextDelta(piece.delta, block, 0, b"event: response.output_text.delta\ndata: %b\n\n" % payload))
        return True

    def _frame(self, name: bytes, payload: bytes, events: list[Event]) -> None:
        text = payload.strip()
        if self._done or not text or text == b"[DONE]":
            return
        data = f.load_frame(payload)
        kind = text_of(data.get("type")) or name.decode("utf-8", "replace")
        if kind == "error" or (kind != "response.failed" and data.get("error")):
            raise errors.decode(200, {}, payload)
        said: list[Event] = []
        if not self._started:
            given = data.get("response")
            said.append(answer.started(given if type(given) is dict else {}, *self._defaults))
            self._started = True
        reader = self._READERS.get(kind)
        if reader is not None:
            reader(self, data, said)
        if not said:
            said.append(Other({"said": self._said}, "responses"))
        raw = shared(b"event: %b\ndata: %b\n\n" % (kind.encode(), payload.replace(b"\n", b" ")), len(said))
        events += [structs.replace(event, raw=raw) for event in said]

    # -- items ---------------------------------------------------------------------------------------------------

    def _item_added(self, data: dict[str, Any], out: list[Event]) -> None:
        item, number = _object(data, "item"), _number(data, "output_index")
        kind = item.get("type")
        if kind in _CALLS or kind == "reasoning":
            self._begin_item(item, number, out)
        elif kind == "message":
            self._items[number] = output.item_rest(item)

    def _begin_item(self, item: dict[str, Any], number: int, out: list[Event]) -> int:
        self._told.add(number)
        block = self._opened((number, -1))
        kind = item.get("type")
        if kind == "function_call":
            id_, name = text_of(item.get("call_id")), text_of(item.get("name"))
            out.append(BlockStarted(block, "tool_use", 0, id_, name, output.owned(output.item_rest(item))))
        elif kind == "custom_tool_call":
            out.append(BlockStarted(block, "other", payload=output.opaque({**item, "input": ""})))
        else:
            out.append(BlockStarted(block, "thinking", payload=output.owned(output.item_rest(item))))
        return block

    def _item_done(self, data: dict[str, Any], out: list[Event]) -> None:
        item, number = _object(data, "item"), _number(data, "output_index")
        kind = item.get("type")
        block = self._open.pop((number, -1), None)
        if block is not None:
            if kind == "reasoning" and (encrypted := text_of(item.get("encrypted_content"))):
                out.append(SignatureDelta(encrypted, block))
            out.append(BlockStopped(block))
        elif number not in self._told:  # all at once
            more = output.events_of(item, self._blocks)
            self._blocks += sum(isinstance(event, BlockStarted) for event in more)
            self._told.add(number)
            self._said += sum(map(_length, more))
            out += more

    # -- parts of messages ---------------------------------------------------------------------------------------

    def _part_added(self, data: dict[str, Any], out: list[Event]) -> None:
        part = _object(data, "part")
        if part.get("type") in ("output_text", "refusal"):
            self._begin_part(data, part, out)

    def _begin_part(self, data: dict[str, Any], part: dict[str, Any], out: list[Event]) -> int:
        number = _number(data, "output_index")
        self._told.add(number)
        form = "refusal" if part.get("type") == "refusal" else ""
        self._refusal |= bool(form)
        block = self._opened((number, _number(data, "content_index")))
        payload = output.owned(self._items.get(number, {}), output.part_rest(part), form)
        out.append(BlockStarted(block, "text", payload=payload))
        return block

    def _part_done(self, data: dict[str, Any], out: list[Event]) -> None:
        number = _number(data, "output_index")
        block = self._open.pop((number, _number(data, "content_index")), None)
        if block is not None:
            out.append(BlockStopped(block))
            return
        part = _object(data, "part")
        if part.get("type") not in ("output_text", "refusal", "reasoning_text"):
            self._told.add(number)
            payload = output.part_opaque(part, self._items.get(number, {}))
            out += [BlockStarted(self._blocks, "other", payload=payload), BlockStopped(self._blocks)]
            self._blocks += 1

    def _spoken(self, data: dict[str, Any], out: list[Event], kind: str = "output_text") -> None:
        place = (_number(data, "output_index"), _number(data, "content_index"))
        block = self._open.get(place)
        if block is None:
            block = self._begin_part(data, {"type": kind}, out)
        out.append(TextDelta(self._piece(data), block))

    def _refused(self, data: dict[str, Any], out: list[Event]) -> None:
        self._spoken(data, out, "refusal")

    def _noted(self, data: dict[str, Any], out: list[Event]) -> None:
        block = self._open.get((_number(data, "output_index"), _number(data, "content_index")))
        if block is not None:
            out.append(CitationDelta(f.bound_upstream({"kept": nested(data.get("annotation"))})["kept"], block))

    # -- pieces of calls and of reasoning ------------------------------------------------------------------------

    def _written(self, data: dict[str, Any], out: list[Event]) -> None:
        block = self._open.get((_number(data, "output_index"), -1))
        if block is None:
            raise Failure("upstream", "The provider's stream holds a piece of a tool call that is not under way.")
        out.append(ToolCallDelta(self._piece(data), block))

    def _thought(self, data: dict[str, Any], out: list[Event]) -> None:
        number = _number(data, "output_index")
        block = self._open.get((number, -1))
        if block is None:
            block = self._begin_item({"type": "reasoning", "id": data.get("item_id")}, number, out)
        out.append(ThinkingDelta(self._piece(data), block))

    def _summary_added(self, data: dict[str, Any], out: list[Event]) -> None:
        block = self._open.get((_number(data, "output_index"), -1))
        if block is not None and _number(data, "summary_index"):
            self._said += 2
            out.append(ThinkingDelta("\n\n", block))

    # -- the end -------------------------------------------------------------------------------------------------

    def _ended(self, data: dict[str, Any], out: list[Event]) -> None:
        response = _object(data, "response")
        if type(response.get("output")) is not list:
            response["output"] = []
        if not self._blocks:
            for item in response["output"]:
                more = output.events_of(item, self._blocks)
                self._blocks += sum(isinstance(event, BlockStarted) for event in more)
                self._said += sum(map(_length, more))
                out += more
        for block in self._open.values():
            out.append(BlockStopped(block))
        self._open.clear()
        refusal = [BlockStarted(0, "text", payload=output.owned({}, {}, "refusal"))] if self._refusal else []
        for event in answer.ending(response, [*out, *refusal]):
            if isinstance(event, Stopped):
                event = structs.replace(event, extras={**event.extras, SAID: self._said})
            out.append(event)
        self._done = True

    def _failed(self, data: dict[str, Any], out: list[Event]) -> None:
        error = _object(data, "response").get("error")
        raise errors.decode(200, {}, f.encode({"error": error if type(error) is dict else {"code": "server_error"}}))

    def _opened(self, place: _Place) -> int:
        block = self._open[place] = self._blocks
        self._blocks += 1
        return block

    def _piece(self, data: dict[str, Any]) -> str:
        text = text_of(data.get("delta"))
        self._said += len(text)
        return text

    _READERS: ClassVar[dict[str, Callable[[Decoder, dict[str, Any], list[Event]], None]]] = {
        "response.output_item.added": _item_added,
        "response.output_item.done": _item_done,
        "response.content_part.added": _part_added,
        "response.content_part.done": _part_done,
        "response.output_text.delta": _spoken,
        "response.refusal.delta": _refused,
        "response.output_text.annotation.added": _noted,
        "response.function_call_arguments.delta": _written,
        "response.custom_tool_call_input.delta": _written,
        "response.reasoning_summary_text.delta": _thought,
        "response.reasoning_text.delta": _thought,
        "response.reasoning_summary_part.added": _summary_added,
        "response.completed": _ended,
        "response.incomplete": _ended,
        "response.failed": _failed,
    }


def _object(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if type(value) is dict else {}


def _number(data: dict[str, Any], key: str) -> int:
    value = data.get(key)
    return value if type(value) is int and 0 <= value < 1 << 20 else 0


def _length(event: Event) -> int:
    """Characters that an event says."""
    if isinstance(event, (TextDelta, ThinkingDelta)):
        return len(event.text)
    return len(event.arguments) if isinstance(event, ToolCallDelta) else 0
