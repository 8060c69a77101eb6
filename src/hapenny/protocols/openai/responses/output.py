"""The items of a Responses answer, both ways: from blocks of ours, and into events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hapenny.core.errors import Failure
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Event,
    SignatureDelta,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from hapenny.core.messages import Block, Opaque, Text, Thinking, ToolUse
from hapenny.protocols import citations
from hapenny.protocols.fields import bound_upstream
from hapenny.protocols.openai.pieces import FORM, text_of
from hapenny.protocols.openai.responses.items import ITEM, PLACE, REDACTED, SIGNED, flat, nested, reasoning_text

OWNER = "responses"
"""Whose the extras of these answers are."""
PART = "part"
CUT: frozenset[StopReason] = frozenset(("max_tokens", "context_window"))
WITHHELD: frozenset[StopReason] = frozenset(("content_filtered", "guardrail", "refusal"))
_OF_PART = frozenset(("type", "text", "refusal", "annotations"))


def stem_of(id_: str) -> str:
    """What the ids of an answer and of its items have in common."""
    return id_.removeprefix("resp_") or "0"


def id_of(id_: str) -> str:
    """The id of an answer as this dialect writes it."""
    return id_ if id_.startswith("resp_") else f"resp_{id_ or 0}"


def ended(reason: StopReason | None, refused: bool) -> tuple[str, dict[str, str] | None]:
    """Status and `incomplete_details` of an answer; `refused`: it holds a refusal, which is a whole answer."""
    if reason in CUT:
        return "incomplete", {"reason": "max_output_tokens"}
    if reason in WITHHELD and not refused:
        return "incomplete", {"reason": "content_filter"}
    return "completed", None


# -- into events -----------------------------------------------------------------------------------------------------


def rest(item: dict[str, Any], *known: str) -> dict[str, Any]:
    """The fields of a provider's item that no event says."""
    return bound_upstream({key: value for key, value in item.items() if key not in known and value is not None})


def owned(item: dict[str, Any], part: dict[str, Any] | None = None, form: str = "") -> dict[str, Any]:
    """What a block keeps for its own dialect."""
    fields = {ITEM: item} if part is None else {ITEM: item, PART: part}
    return {OWNER: fields, FORM: form} if form else {OWNER: fields}


def item_rest(item: dict[str, Any]) -> dict[str, Any]:
    """The fields of an item beside its content."""
    if item.get("type") == "reasoning":
        return rest(item, "encrypted_content")
    return rest(item, "type", "role", "content", "call_id", "name", "arguments")


def part_rest(part: dict[str, Any]) -> dict[str, Any]:
    """The fields of a part beside its text."""
    return rest(part, *_OF_PART)


def events_of(item: Any, block: int) -> list[Event]:
    """The events of a whole item; its blocks are numbered from `block` on."""
    if type(item) is not dict:
        raise Failure("upstream", "The provider's answer holds an item that is no object.")
    kind = item.get("type")
    events: list[Event] = []
    if kind == "message" and type(listed := item.get("content")) is list:
        for part in listed:
            events += _part_events(part, item_rest(item), block)
            block += 1
        return events
    if kind == "function_call":
        id_, name = text_of(item.get("call_id")), text_of(item.get("name"))
        events.append(BlockStarted(block, "tool_use", 0, id_, name, owned(item_rest(item))))
        events.append(ToolCallDelta(text_of(item.get("arguments")), block))
    elif kind == "reasoning":
        events.append(BlockStarted(block, "thinking", payload=owned(item_rest(item))))
        events.append(ThinkingDelta(reasoning_text(item), block))
        if encrypted := text_of(item.get("encrypted_content")):
            events.append(SignatureDelta(encrypted, block))
    else:
        events.append(BlockStarted(block, "other", payload=opaque(item)))
    events.append(BlockStopped(block))
    return events


def opaque(item: dict[str, Any]) -> Opaque:
    """An item that no block of ours can say."""
    return Opaque("responses", bound_upstream(item), extras={PLACE: ITEM})


def _part_events(part: Any, item: dict[str, Any], block: int) -> list[Event]:
    if type(part) is not dict:
        raise Failure("upstream", "The provider's answer holds a part that is no object.")
    kind = part.get("type")
    if kind not in ("output_text", "refusal"):
        return [BlockStarted(block, "other", payload=part_opaque(part, item)), BlockStopped(block)]
    form = "refusal" if kind == "refusal" else ""
    events: list[Event] = [
        BlockStarted(block, "text", payload=owned(item, part_rest(part), form)),
        TextDelta(text_of(part.get("refusal" if form else "text")), block),
    ]
    notes = part.get("annotations")
    for note in notes if type(notes) is list else ():
        events.append(CitationDelta(nested(note), block))
    return [*events, BlockStopped(block)]


def part_opaque(part: dict[str, Any], item: dict[str, Any]) -> Opaque:
    """A part of a message that no block of ours can say."""
    return Opaque("responses", bound_upstream(part), extras={OWNER: {ITEM: item}})


# -- from blocks -----------------------------------------------------------------------------------------------------


def own(block: Block) -> dict[str, Any]:
    """What a block keeps for this dialect."""
    fields = getattr(block, "extras", {}).get(OWNER)
    return fields if type(fields) is dict else {}


def written(content: Sequence[Block], stem: str, status: str) -> list[dict[str, Any]]:
    """The items of an answer. Texts that follow each other are parts of one message; `status` is the last item's."""
    out: list[dict[str, Any]] = []
    message: tuple[list[Any], Any] | None = None
    for block in content:
        kept = own(block)
        if isinstance(block, Text) or (isinstance(block, Opaque) and PLACE not in block.extras):
            if isinstance(block, Opaque) and block.protocol != "responses":
                continue
            part = text_part(block) if isinstance(block, Text) else block.payload
            if message is not None and message[1] == kept.get(ITEM):
                message[0].append(part)
                continue
            message = ([part], kept.get(ITEM))
            head = {"id": f"msg_{stem}_{len(out)}", "type": "message", "status": "completed", "role": "assistant"}
            out.append({**head, "content": message[0], **kept.get(ITEM, {})})
            continue
        message = None
        if isinstance(block, ToolUse):
            out.append(call_item(f"fc_{stem}_{len(out)}", block, kept.get(ITEM, {})))
        elif isinstance(block, Thinking):
            out.append(reasoning_item(f"rs_{stem}_{len(out)}", block, kept.get(ITEM)))
        elif isinstance(block, Opaque) and block.protocol == "responses":
            out.append(block.payload)
    if out and status == "incomplete" and out[-1].get("type") in ("message", "function_call"):
        out[-1]["status"] = "incomplete"
    return out


def text_part(block: Text) -> dict[str, Any]:
    """A part of a message. Places of citations count within the part, as OpenAI's do."""
    kept = own(block).get(PART, {})
    if block.extras.get(FORM) == "refusal":
        return {"type": "refusal", "refusal": block.text, **kept}
    notes = [flat(note) for note in citations.written("openai", block.citations, 0, len(block.text))]
    return {"type": "output_text", "text": block.text, "annotations": notes, "logprobs": [], **kept}


def call_item(id_: str, block: ToolUse, kept: dict[str, Any]) -> dict[str, Any]:
    """A call of one of the client's functions."""
    arguments = block.arguments if block.arguments.strip() else "{}"
    head = {"id": id_, "type": "function_call", "status": "completed"}
    return {**head, "call_id": block.id, "name": block.name, "arguments": arguments, **kept}


def reasoning_item(id_: str, block: Thinking, kept: dict[str, Any] | None) -> dict[str, Any]:
    """Reasoning: as the provider wrote it, else as a summary. Signatures of other models travel as encrypted content,
    so that clients bring them back."""
    if kept is not None:
        item = {**kept, "type": "reasoning"}
        if reasoning_text(kept) != block.text:
            item["summary"] = [{"type": "summary_text", "text": block.text}]
        return {**item, "encrypted_content": block.signature} if block.signature is not None else item
    summary = [{"type": "summary_text", "text": block.text}] if block.text else []
    item = {"id": id_, "type": "reasoning", "summary": summary}
    if block.redacted is not None:
        item["encrypted_content"] = REDACTED + block.redacted
    elif block.signature is not None:
        item["encrypted_content"] = SIGNED + block.signature
    return item
