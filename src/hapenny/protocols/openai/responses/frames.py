"""OpenAI Responses: writing a streamed answer, in OpenAI's order of events.

Theory of operation. Each event of ours moves one state machine, which knows the item and the part that are open and
writes the frames that lead there. While a provider of the same dialect is passed on, the machine moves silently and the
provider's frames go out as they came; as soon as a stage has changed, dropped or added anything, the machine writes
from there on, with the next sequence number. The last frame repeats the whole answer and is written with the counts,
when the answer is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hapenny.core.errors import Failure, Kind
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Event,
    Other,
    Shared,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    last_of,
)
from hapenny.core.messages import Opaque, Request
from hapenny.protocols import sse
from hapenny.protocols.codec import StreamEncoder, foreign
from hapenny.protocols.openai import errors
from hapenny.protocols.openai.pieces import FORM
from hapenny.protocols.openai.responses import answer, output, usage
from hapenny.protocols.openai.responses.machine import Machine
from hapenny.protocols.openai.responses.stream import SAID

_OWN = b"event: response."
_CODES: dict[Kind, str] = {
    "rate_limited": "rate_limit_exceeded",
    "invalid_request": "invalid_prompt",
    "context_overflow": "context_length_exceeded",
}
"""Codes of failed answers; everything else is a `server_error`."""


class Encoder(StreamEncoder):
    """Events to frames."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request
        self._machine = Machine()
        self._passing = self._started = self._over = self._refused = False
        self._said = 0
        self._head: dict[str, Any] = {}
        self._stop: Stopped | None = None
        self._usage: Usage | None = None

    def encode(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        past = -1
        for index, event in enumerate(events):
            if index <= past:
                continue
            raw = event.raw if event.raw is not None and event.raw.startswith(_OWN) else None
            if isinstance(event, Started):
                self._passing = raw is not None
            last = index
            if self._passing:
                last = last_of(events, index) if type(raw) is Shared else index
                structural = isinstance(event, (BlockStarted, BlockStopped))
                self._passing = last >= 0 and (raw is not None or structural) and self._agrees(events[last])
            self._machine.silent = self._passing
            for each in events[index : last + 1] if self._passing else (event,):
                self._take(each, out)
            if self._passing:
                past = last
                if raw is not None:
                    out.append(raw)
                    self._machine.sequence += 1
                    self._over |= self._stop is not None
        return b"".join(out)

    def _agrees(self, event: Event) -> bool:
        """Whether all that the provider said until here came this far."""
        said = None
        if isinstance(event, Other):
            said = event.payload.get("said") if type(event.payload) is dict else None
        elif isinstance(event, Stopped):
            said = event.extras.get(SAID)
        elif isinstance(event, Usage) and self._stop is not None:
            said = self._stop.extras.get(SAID)
        return said is None or said == self._said

    def _take(self, event: Event, out: list[bytes]) -> None:
        machine = self._machine
        if isinstance(event, Started):
            self._begin(event, out)
        elif isinstance(event, Usage):
            self._usage = event
        elif isinstance(event, Other):
            return
        elif event.choice:
            self.omitted.add("choices")
        elif isinstance(event, Stopped):
            self._stop = event
            self.omitted |= foreign(event.extras, frozenset((output.OWNER,)))
        elif isinstance(event, TextDelta):
            self._said += len(event.text)
            machine.text(event.block, event.text, out)
        elif isinstance(event, BlockStarted):
            self._block(event, out)
        elif isinstance(event, ToolCallDelta):
            self._said += len(event.arguments)
            machine.arguments(event.block, event.arguments, out)
        elif isinstance(event, ThinkingDelta):
            self._said += len(event.text)
            machine.thought(event.block, event.text, event.redacted, out)
        elif isinstance(event, SignatureDelta):
            machine.signed(event.block, event.signature)
        elif isinstance(event, CitationDelta):
            if not machine.cited(event.block, event.citation, out):
                self.omitted.add("citations")
        elif isinstance(event, BlockStopped):
            machine.stopped(event.block, out)

    def _begin(self, event: Started, out: list[bytes]) -> None:
        if self._started:
            return
        self._started = True
        own = event.extras.get(output.OWNER)
        self.omitted |= foreign(event.extras, frozenset((output.OWNER,)))
        self._head = answer.head(event.id, event.model, event.created, self._request, own)
        self._machine.stem = output.stem_of(event.id)
        for kind in ("response.created", "response.in_progress"):
            self._machine.write(kind, {"response": {**self._head, "status": "in_progress"}}, out)

    def _block(self, event: BlockStarted, out: list[bytes]) -> None:
        if not self._started:
            self._begin(Started(), out)
        payload = event.payload
        own = payload.get(output.OWNER, {}) if type(payload) is dict else {}
        if event.kind == "text":
            form = payload.get(FORM, "") if type(payload) is dict else ""
            self._refused |= form == "refusal"
            self._machine.begin_text(event.block, form, own, out)
        elif event.kind == "tool_use":
            self._machine.begin_call(event.block, event.id, event.name, own, out)
        elif event.kind == "thinking":
            self._machine.begin_thought(event.block, own, out)
        elif type(payload) is Opaque and payload.protocol == output.OWNER:
            self._machine.begin_other(event.block, payload, out)
        else:
            self.omitted.add("blocks")

    def _whole(self, status: str, details: Any, out: list[bytes]) -> dict[str, Any]:
        machine = self._machine
        machine.finish(status, out)
        response = {**self._head, "status": status, "incomplete_details": details, "output": machine.items}
        if self._usage is not None:
            counts = usage.encode(self._usage.tokens, self._usage.extras.get(usage.OWN))
            response["usage"] = counts
        return response

    def error(self, failure: Failure, request_id: str) -> bytes:
        self._over = True
        self._machine.silent = False
        out: list[bytes] = []
        if not self._started:
            error = errors.body_of(failure)["error"]
            fields = {"code": error["code"], "message": error["message"], "param": error["param"]}
            self._machine.write("error", fields, out)
            return b"".join(out)
        code = _CODES.get(failure.kind, "server_error")
        self._machine.silent = True
        response = self._whole("failed", None, out)
        self._machine.silent = False
        response["error"] = {"code": code, "message": failure.sentence()}
        self._machine.write("response.failed", {"response": response}, out)
        return b"".join(out)

    def note(self, facts: dict[str, str]) -> bytes:
        return sse.comment(facts)

    def end(self) -> bytes:
        if self._over:
            return b""
        self._over = True
        self._machine.silent = False
        out: list[bytes] = []
        if not self._started:
            self._begin(Started(), out)
        stop = self._stop
        status, details = output.ended(stop.reason if stop is not None else None, self._refused)
        kept = stop.extras.get(answer.WORD) if stop is not None else None
        if stop is not None and kept and kept[0] == stop.reason and kept[1]:
            status, details = kept[1], kept[2]
        response = self._whole(status, details, out)
        if status == "completed":
            response.setdefault("completed_at", response["created_at"])
        kind = "response.incomplete" if status == "incomplete" else "response.completed"
        self._machine.write(kind, {"response": response}, out)
        return b"".join(out)
