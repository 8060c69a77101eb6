"""The items of a streamed Responses answer: what is open, what is done, and the frames in between.

Texts that follow each other are parts of one message; a call or reasoning is an item of its own. `silent` moves on
without writing.
"""

from __future__ import annotations

from typing import Any

from hapenny.core.messages import Opaque, Text, Thinking, ToolUse
from hapenny.protocols import citations
from hapenny.protocols import fields as f
from hapenny.protocols.openai.pieces import FORM
from hapenny.protocols.openai.responses import output
from hapenny.protocols.openai.responses.items import ITEM, PLACE, flat
from hapenny.protocols.openai.responses.output import OWNER


class Machine:
    """Writes frames. Blocks are named by the numbers of events; one is open at a time, a message may stay open."""

    def __init__(self) -> None:
        self.silent = False
        self.sequence = 0
        self.stem = "0"
        self.items: list[dict[str, Any]] = []
        """Those that are done or under way."""
        self._message: dict[str, Any] | None = None
        """The message that further texts may join, and what tells whether they do."""
        self._mark: Any = None
        self._block = -1
        self._kind = ""
        self._own: dict[str, Any] = {}
        self._form = ""
        self._pieces: list[str] = []
        self._notes: list[Any] = []
        self._redacted: str | None = None
        self._signature: str | None = None
        self._summary = False
        """Whether the summary of the open reasoning was announced."""
        self._payload: Opaque | None = None
        self._head = b""

    def write(self, kind: str, fields: dict[str, Any], out: list[bytes]) -> None:
        """One frame, unless all is silent."""
        if self.silent:
            return
        body = f.encode({"type": kind, **fields, "sequence_number": self.sequence})
        self.sequence += 1
        out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), body))

    @property
    def _place(self) -> dict[str, Any]:
        """Where in the answer the open item is."""
        return {"output_index": len(self.items) - 1, "item_id": self.items[-1].get("id", "")}

    @property
    def _part(self) -> dict[str, Any]:
        return {**self._place, "content_index": len(self.items[-1]["content"]) - 1}

    def _enter(self, block: int, kind: str, own: dict[str, Any], out: list[bytes]) -> None:
        if self._kind:
            self.stopped(self._block, out)
        self._block, self._kind, self._own, self._form = block, kind, own, ""
        self._pieces, self._notes = [], []
        self._redacted = self._signature = self._payload = None
        self._summary = False

    def _add(self, item: dict[str, Any], out: list[bytes]) -> None:
        """A further item begins; a message that was open is over."""
        self._close_message(out)
        self.items.append(item)
        self.write("response.output_item.added", {"output_index": len(self.items) - 1, "item": item}, out)

    def _id(self, prefix: str, own: dict[str, Any]) -> str:
        given = own.get(ITEM, {}).get("id")
        return given if type(given) is str and given else f"{prefix}_{self.stem}_{len(self.items)}"

    # -- texts ---------------------------------------------------------------------------------------------------

    def begin_text(self, block: int, form: str, own: dict[str, Any], out: list[bytes]) -> None:
        """A part of a message begins, and the message with it if none is open."""
        self._enter(block, "text", own, out)
        self._form = form
        self._join(own.get(ITEM), out)
        part = output.text_part(Text("", extras=self._extras()))
        self.items[-1]["content"].append(part)
        self.write("response.content_part.added", {**self._part, "part": part}, out)
        kind = "response.refusal.delta" if form == "refusal" else "response.output_text.delta"
        head = {"type": kind, **self._part, **({} if form == "refusal" else {"logprobs": []})}
        self._head = b"event: %b\ndata: %b" % (kind.encode(), f.encode(head)[:-1])

    def _join(self, mark: Any, out: list[bytes]) -> None:
        if self._message is not None and self._mark == mark:
            return
        item = {"id": self._id("msg", self._own), "type": "message", "status": "in_progress", "role": "assistant"}
        self._add({**item, **(mark or {}), "content": []}, out)
        self.items[-1]["status"] = "in_progress"
        self._message, self._mark = self.items[-1], mark

    def _extras(self) -> dict[str, Any]:
        return {OWNER: self._own, FORM: self._form} if self._form else {OWNER: self._own}

    def text(self, block: int, text: str, out: list[bytes]) -> None:
        """A piece of text; the part begins with it where nothing began it."""
        if block != self._block or self._kind != "text":
            self.begin_text(block, "", {}, out)
        if not text:
            return
        self._pieces.append(text)
        if not self.silent:
            out.append(b'%b,"delta":%b,"sequence_number":%d}\n\n' % (self._head, f.encode(text), self.sequence))
            self.sequence += 1

    def cited(self, block: int, note: Any, out: list[bytes]) -> bool:
        """A citation of the open text; whether the dialect has a word for it."""
        if block != self._block or self._kind != "text":
            self.begin_text(block, "", {}, out)
        end = sum(map(len, self._pieces))
        told = citations.translated("openai", note, 0, end)
        if told is None:
            return False
        written = flat(told)
        place = {**self._part, "annotation_index": len(self._notes), "annotation": written}
        self._notes.append(told)
        self.write("response.output_text.annotation.added", place, out)
        return True

    def _end_text(self, out: list[bytes]) -> None:
        text = "".join(self._pieces)
        part = output.text_part(Text(text, citations=tuple(self._notes), extras=self._extras()))
        place = self._part
        if self._form == "refusal":
            self.write("response.refusal.done", {**place, "refusal": text}, out)
        else:
            self.write("response.output_text.done", {**place, "text": text, "logprobs": []}, out)
        self.write("response.content_part.done", {**place, "part": part}, out)
        self.items[-1]["content"][-1] = part

    def _close_message(self, out: list[bytes], status: str = "completed") -> None:
        message, self._message = self._message, None
        if message is not None:
            message["status"] = status
            self.write("response.output_item.done", {"output_index": len(self.items) - 1, "item": message}, out)

    # -- calls ---------------------------------------------------------------------------------------------------

    def begin_call(self, block: int, id_: str, name: str, own: dict[str, Any], out: list[bytes]) -> None:
        """A call of one of the client's functions begins."""
        self._enter(block, "call", own, out)
        item = output.call_item(self._id("fc", own), ToolUse(id_, name, ""), own.get(ITEM, {}))
        self._add({**item, "arguments": "", "status": "in_progress"}, out)

    def arguments(self, block: int, text: str, out: list[bytes]) -> None:
        """A piece of a call's arguments, or of the input of a free-form tool."""
        if block != self._block or self._kind not in ("call", "custom") or not text:
            return
        self._pieces.append(text)
        kind = "function_call_arguments" if self._kind == "call" else "custom_tool_call_input"
        self.write(f"response.{kind}.delta", {**self._place, "delta": text}, out)

    def _end_call(self, out: list[bytes]) -> None:
        text = "".join(self._pieces)
        item = self.items[-1]
        if not text.strip():
            text = "{}"
            self.write("response.function_call_arguments.delta", {**self._place, "delta": text}, out)
        done = {**self._place, "name": item["name"], "arguments": text}
        self.write("response.function_call_arguments.done", done, out)
        item |= {"arguments": text, "status": "completed"}
        self.write("response.output_item.done", {"output_index": len(self.items) - 1, "item": item}, out)

    # -- reasoning -----------------------------------------------------------------------------------------------

    def begin_thought(self, block: int, own: dict[str, Any], out: list[bytes]) -> None:
        """Reasoning begins."""
        self._enter(block, "thought", own, out)
        item = {"id": self._id("rs", own), "type": "reasoning", "summary": []}
        self._add(item, out)

    def thought(self, block: int, text: str, redacted: str | None, out: list[bytes]) -> None:
        """A piece of reasoning, told as its summary."""
        if block != self._block or self._kind != "thought":
            self.begin_thought(block, {}, out)
        if redacted is not None:
            self._redacted = redacted
        if not text:
            return
        if not self._summary:
            self._summary = True
            part = {"type": "summary_text", "text": ""}
            place = {**self._place, "summary_index": 0}
            self.write("response.reasoning_summary_part.added", {**place, "part": part}, out)
        self._pieces.append(text)
        place = {**self._place, "summary_index": 0}
        self.write("response.reasoning_summary_text.delta", {**place, "delta": text}, out)

    def signed(self, block: int, signature: str) -> None:
        """The signature of the open reasoning."""
        if block == self._block and self._kind == "thought":
            self._signature = (self._signature or "") + signature

    def _end_thought(self, out: list[bytes]) -> None:
        text = "".join(self._pieces)
        if self._summary:
            place = {**self._place, "summary_index": 0}
            part = {"type": "summary_text", "text": text}
            self.write("response.reasoning_summary_text.done", {**place, "text": text}, out)
            self.write("response.reasoning_summary_part.done", {**place, "part": part}, out)
        block = Thinking(text, self._signature, self._redacted)
        self.items[-1] = output.reasoning_item(self.items[-1]["id"], block, self._own.get(ITEM))
        self.write("response.output_item.done", {"output_index": len(self.items) - 1, "item": self.items[-1]}, out)

    # -- anything else -------------------------------------------------------------------------------------------

    def begin_other(self, block: int, payload: Opaque, out: list[bytes]) -> None:
        """An item or a part that only this dialect knows."""
        item = payload.payload
        if payload.extras.get(PLACE) != ITEM:
            self._enter(block, "part", payload.extras.get(OWNER, {}), out)
            self._join(self._own.get(ITEM), out)
            self.items[-1]["content"].append(item)
            self.write("response.content_part.added", {**self._part, "part": item}, out)
            return
        self._enter(block, "custom" if item.get("type") == "custom_tool_call" else "other", {}, out)
        self._payload = payload
        self._add(dict(item), out)

    def _end_other(self, out: list[bytes]) -> None:
        item = self.items[-1]
        if self._kind == "part":
            self.write("response.content_part.done", {**self._part, "part": item["content"][-1]}, out)
            return
        if self._kind == "custom":
            item["input"] = "".join(self._pieces) or item.get("input", "")
            done = {**self._place, "input": item["input"]}
            self.write("response.custom_tool_call_input.done", done, out)
        self.write("response.output_item.done", {"output_index": len(self.items) - 1, "item": item}, out)

    def stopped(self, block: int, out: list[bytes]) -> None:
        """A block is over."""
        if block != self._block or not self._kind:
            return
        kind = self._kind
        if kind == "text":
            self._end_text(out)
        elif kind == "call":
            self._end_call(out)
        elif kind == "thought":
            self._end_thought(out)
        else:
            self._end_other(out)
        self._kind = ""

    def finish(self, status: str, out: list[bytes]) -> None:
        """The answer is over: nothing stays open. `status`: of the answer, and of its last message."""
        if self._kind:
            self.stopped(self._block, out)
        self._close_message(out, "incomplete" if status in ("incomplete", "failed") else "completed")
