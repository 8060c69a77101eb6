"""OpenAI Responses: the whole answer, both ways."""

from __future__ import annotations

from typing import Any

from hapenny.core.errors import Failure
from hapenny.core.events import BlockStarted, Completion, Event, Started, Stopped, StopReason
from hapenny.core.messages import Request
from hapenny.protocols import fields as f
from hapenny.protocols.openai import errors
from hapenny.protocols.openai.pieces import FORM, text_of
from hapenny.protocols.openai.responses import output, usage
from hapenny.protocols.openai.responses.compose import echo
from hapenny.protocols.openai.responses.output import OWNER

WORD = "responses.word"
"""The key under which a choice's extras hold (our reason, status, incomplete_details), as the provider said them."""
_TOP = frozenset(("id", "model", "created_at", "output", "usage", "status", "incomplete_details", "error"))


def decode(body: bytes, model: str, id_: str, created: float) -> list[Event]:
    """The events of a whole answer."""
    data = f.load_upstream(body)
    refused(data, body)
    if type(data.get("output")) is not list:
        if not text_of(data.get("id")):
            raise Failure("upstream", "The provider's answer has no output.")
        data = {**data, "output": []}  # the provider made a response, and it is the client's to look it up or delete it
    events: list[Event] = [started(data, model, id_, created)]
    blocks = 0
    for item in data["output"]:
        more = output.events_of(item, blocks)
        blocks += sum(isinstance(event, BlockStarted) for event in more)
        events += more
    return events + ending(data, events)


def refused(data: dict[str, Any], body: bytes) -> None:
    """Raises the failure that an answer reports instead of being one."""
    status = data.get("status")
    if status in ("failed", "cancelled") or (data.get("error") and status is None):
        raise errors.decode(200, {}, body if data.get("error") else b"{}")


def started(data: dict[str, Any], model: str, id_: str, created: float) -> Started:
    """The head of an answer, from its response object."""
    given = data.get("created_at")
    extras = {key: value for key, value in data.items() if key not in _TOP and value is not None}
    return Started(
        text_of(data.get("id")) or id_,
        text_of(data.get("model")) or model,
        given if type(given) is int or type(given) is float else created,
        extras={OWNER: f.bound_upstream(extras)},
    )


def ending(data: dict[str, Any], events: list[Event]) -> list[Event]:
    """The end of an answer and its counts; `events` are those of its items."""
    kinds = [text_of(item.get("type")) for item in data["output"] if type(item) is dict]
    refusal = any(isinstance(event, BlockStarted) and _refuses(event) for event in events)
    reason = reason_of(data, kinds, refusal)
    word = (reason, data.get("status"), data.get("incomplete_details"))
    out: list[Event] = [Stopped(reason, extras={WORD: word})]
    if type(counts := data.get("usage")) is dict:
        out.append(usage.counted(counts, kinds))
    return out


def _refuses(event: BlockStarted) -> bool:
    return type(event.payload) is dict and event.payload.get(FORM) == "refusal"


def reason_of(data: dict[str, Any], kinds: list[str], refusal: bool) -> StopReason:
    """Why the model stopped."""
    if data.get("status") == "incomplete":
        details = data.get("incomplete_details")
        why = details.get("reason") if type(details) is dict else None
        return "content_filtered" if why == "content_filter" else "max_tokens"
    if "function_call" in kinds or "custom_tool_call" in kinds:
        return "tool_use"
    return "refusal" if refusal else "end_turn"


def encode(completion: Completion, request: Request) -> bytes:
    """The response object for `completion`."""
    choice = completion.choices[0] if completion.choices else None
    content = choice.content if choice is not None else []
    reason = choice.reason if choice is not None else None
    kept = choice.extras.get(WORD) if choice is not None else None
    refusal = any(block.extras.get(FORM) == "refusal" for block in content)
    status, details = output.ended(reason, refusal)
    if kept and kept[0] == reason and kept[1]:
        status, details = kept[1], kept[2]
    out = head(completion.id, completion.model, completion.created, request, completion.extras.get(OWNER))
    out["status"], out["incomplete_details"] = status, details
    out["output"] = output.written(content, output.stem_of(completion.id), status)
    if completion.tokens is not None:
        out["usage"] = usage.encode(completion.tokens, completion.extras.get(usage.OWN))
    if status == "completed":
        out.setdefault("completed_at", out["created_at"])
    return f.encode(out)


def head(id_: str, model: str, created: float, request: Request, own: Any) -> dict[str, Any]:
    """A response object without its output; `own`: what a provider of the same dialect said of it."""
    out = {
        "id": id_ if type(own) is dict and id_ else output.id_of(id_),
        "object": "response",
        "created_at": int(created),
        "status": "in_progress",
        "model": model or request.model,
        "output": [],
        "usage": None,
        **echo(request),
    }
    if type(own) is dict:
        out.update(own)
    return out
