"""OpenAI completions: the whole answer, both ways."""

from __future__ import annotations

from typing import Any

from hapenny.core.errors import Failure
from hapenny.core.events import BlockStarted, BlockStopped, Choice, Completion, Event, Started, Stopped, TextDelta
from hapenny.core.messages import Request, Text
from hapenny.protocols import fields as f
from hapenny.protocols.openai import errors, usage
from hapenny.protocols.openai.completions.request import text_of
from hapenny.protocols.openai.pieces import text_of as string_of
from hapenny.protocols.stops import OPENAI, openai_stop

OWNER = "completions"
"""Whose the extras of these answers are."""
WORD = "completions.word"
"""The key under which a choice's extras hold (our reason, the wire's word)."""
_TOP = frozenset(("id", "object", "created", "model", "choices", "usage"))
_CHOICE = frozenset(("index", "text", "finish_reason"))
MOST_CHOICES = 1024


def started(data: dict[str, Any], model: str, id_: str, created: float) -> Started:
    """The head of an answer."""
    given = data.get("created")
    extras = {key: value for key, value in data.items() if key not in _TOP and value is not None}
    return Started(
        string_of(data.get("id")) or id_,
        string_of(data.get("model")) or model,
        given if type(given) is int or type(given) is float else created,
        extras={OWNER: f.bound_upstream(extras)},
    )


def stopped(choice: dict[str, Any], index: int, more: dict[str, Any]) -> Stopped:
    """The end of a choice; `more`: its further fields."""
    word = string_of(choice.get("finish_reason")) or "stop"
    reason, _ = openai_stop(word, called=False, refused=False, matched=type(more.get("stop_reason")) is str)
    extras: dict[str, Any] = {OWNER: more} if more else {}
    if word_of(reason, {}) != word:
        extras[WORD] = (reason, word)
    return Stopped(reason, index, extras=extras)


def rest(choice: dict[str, Any]) -> dict[str, Any]:
    """The fields of a choice that no event says."""
    return f.bound_upstream({key: value for key, value in choice.items() if key not in _CHOICE and value is not None})


def index_of(choice: dict[str, Any], position: int) -> int:
    """The number of a choice."""
    index = choice.get("index")
    return index if type(index) is int and 0 <= index < MOST_CHOICES else position


def decode(body: bytes, model: str, id_: str, created: float) -> list[Event]:
    """The events of a whole answer."""
    data = f.load_upstream(body)
    if data.get("error"):
        raise errors.decode(200, {}, body)
    choices = data.get("choices")
    if type(choices) is not list:
        raise Failure("upstream", "The provider's answer has no choices.")
    events: list[Event] = [started(data, model, id_, created)]
    for position, choice in enumerate(choices):
        if type(choice) is not dict:
            raise Failure("upstream", "The provider's answer has a choice that is no object.")
        index = index_of(choice, position)
        text = TextDelta(string_of(choice.get("text")), 0, index)
        events += [BlockStarted(0, "text", index), text, BlockStopped(0, index), stopped(choice, index, rest(choice))]
    if type(counts := data.get("usage")) is dict:
        events.append(usage.counted(counts))
    return events


def word_of(reason: Any, extras: dict[str, Any]) -> str:
    """The finish reason. There are no tools here."""
    kept = extras.get(WORD)
    if kept and kept[0] == reason:
        return str(kept[1])
    word = OPENAI[reason]
    return "stop" if word == "tool_calls" else word


def head(id_: str, model: str, created: float, own: Any) -> dict[str, Any]:
    """The fields of an answer, or of a chunk, before its choices."""
    out = {"id": id_, "object": "text_completion", "created": int(created), "model": model}
    return {**out, **own} if type(own) is dict else out


def echoed(request: Request, own: Any) -> str:
    """The prompt, where the client wants it before the answer and the provider (`own`: its extras) has not put it."""
    return text_of(request) if request.extras.get("echo") and type(own) is not dict else ""


def encode(completion: Completion, request: Request, first: int = 0) -> bytes:
    """The body of a whole answer; its choices are numbered from `first` on."""
    own = completion.extras.get(OWNER)
    out = head(completion.id, completion.model or request.model, completion.created, own)
    before = echoed(request, own)
    out["choices"] = [_written(choice, first + i, before) for i, choice in enumerate(completion.choices)]
    if completion.tokens is not None:
        out["usage"] = usage.encode(completion.tokens, completion.extras.get("openai.usage"))
    return f.encode(out)


def _written(choice: Choice, index: int, before: str) -> dict[str, Any]:
    text = "".join(block.text for block in choice.content if isinstance(block, Text))
    reason = None if choice.reason is None else word_of(choice.reason, choice.extras)
    fields = {"index": index, "text": before + text, "logprobs": None, "finish_reason": reason}
    return {**fields, **choice.extras.get(OWNER, {})}
