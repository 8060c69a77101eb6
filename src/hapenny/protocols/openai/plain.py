"""The everyday forms of chat completions, read in one go: turns of text with a few parameters, an answer of one text.

Exactly these forms, field by field: whatever else stands in a body is left to the readers of the whole dialect, which
read these the same, and say what is wrong with others.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, MsgspecError, Struct
from msgspec.json import Decoder

from hapenny.core.events import BlockStarted, BlockStopped, Event, Started, Stopped, StopReason, TextDelta
from hapenny.core.messages import Block, Message, Parameters, Request, Text
from hapenny.protocols.openai import usage

LONGEST = 1 << 16
"""Bytes of the longest request that is tried: a longer one of another form would be read twice for nothing."""
_INT64 = (1 << 63) - 1
_REASONS: dict[str, StopReason] = {"stop": "end_turn", "length": "max_tokens"}


class _Turn(Struct, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant"]
    content: str


class _StreamOptions(Struct, forbid_unknown_fields=True):
    include_usage: bool = False


class _Asked(Struct, forbid_unknown_fields=True):
    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[_Turn], Meta(min_length=1)]
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=0, le=_INT64)] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


class _Said(Struct, forbid_unknown_fields=True):
    content: Annotated[str, Meta(min_length=1)]
    role: Literal["assistant"] = "assistant"
    refusal: None = None
    annotations: Annotated[list[Any], Meta(max_length=0)] | None = None


class _Choice(Struct, forbid_unknown_fields=True):
    message: _Said
    finish_reason: Literal["stop", "length"]
    index: Literal[0] = 0
    logprobs: None = None


class _Answered(Struct, forbid_unknown_fields=True):
    id: Annotated[str, Meta(min_length=1)]
    object: Literal["chat.completion"]
    created: int
    model: Annotated[str, Meta(min_length=1)]
    choices: Annotated[list[_Choice], Meta(min_length=1, max_length=1)]
    usage: dict[str, Any]
    service_tier: str | None = None
    system_fingerprint: str | None = None


_asked = Decoder(_Asked).decode
_answered = Decoder(_Answered).decode


def request(body: bytes, stream: bool | None) -> Request | None:
    """The request in a body of the everyday form; None for any other."""
    if len(body) > LONGEST:
        return None
    try:
        asked = _asked(body)
    except (MsgspecError, ValueError, RecursionError):
        return None
    system: list[Block] = []
    messages: list[Message] = []
    for turn in asked.messages:
        text = Text(turn.content)
        if turn.role == "system" and not messages:
            system.append(text)
        else:
            messages.append(Message(turn.role, (text,)))
    options = asked.stream_options
    return Request(
        protocol="openai",
        model=asked.model,
        messages=tuple(messages),
        system=tuple(system),
        parameters=Parameters(max_tokens=asked.max_tokens, temperature=asked.temperature, top_p=asked.top_p),
        stream=bool(asked.stream) if stream is None else stream,
        stream_usage=options is not None and options.include_usage,
    )


def answer(body: bytes) -> list[Event] | None:
    """The events of a whole answer of the everyday form; None for any other."""
    try:
        said = _answered(body)
    except (MsgspecError, ValueError, RecursionError):
        return None
    choice = said.choices[0]
    extras: dict[str, Any] = {}
    if said.service_tier is not None:
        extras["service_tier"] = said.service_tier
    if said.system_fingerprint is not None:
        extras["system_fingerprint"] = said.system_fingerprint
    return [
        Started(said.id, said.model, said.created, extras={"openai": extras} if extras else {}),
        BlockStarted(0, "text"),
        TextDelta(choice.message.content, 0),
        BlockStopped(0),
        Stopped(_REASONS[choice.finish_reason]),
        usage.counted(said.usage),
    ]
