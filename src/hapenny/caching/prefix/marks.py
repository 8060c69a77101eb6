"""A request as a chain of prefix segments, cache points written into it, and the proof that the bytes before stayed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from hapenny.core.messages import Block, Message, Request, Tool, Ttl

_encode = msgspec.msgpack.Encoder(order="deterministic", enc_hook=repr).encode


class Segment(Struct, frozen=True):
    """A stretch that a cache point may end: a tool list, a system block, or a message.

    `hash` covers the model and every byte before and in it; `place` says where the point goes.
    """

    hash: bytes
    tokens: int
    place: tuple[str, int]


def segments(request: Request, model: str, count: Callable[[str], int]) -> list[Segment]:
    """The chain of a request: tools -> system -> messages, as providers read it. `count` estimates tokens of a text.

    The last message is part of the chain: a long question may come again. Marks do not change hashes.
    """
    running = hashlib.blake2b(model.encode(), digest_size=16)
    out: list[Segment] = []

    def add(place: tuple[str, int], items: Sequence[Tool | Block | Message]) -> None:
        body = _encode([_unmarked(item) for item in items])
        running.update(len(body).to_bytes(8, "big") + body)
        out.append(Segment(running.copy().digest(), count(body.decode("utf-8", "ignore")), place))

    if request.tools:
        add(("tools", len(request.tools) - 1), request.tools)
    for at, block in enumerate(request.system):
        add(("system", at), [block])
    for at, message in enumerate(request.messages):
        add(("messages", at), [message])
    return out


def proof(chain: Sequence[Segment], depth: int) -> str:
    """The running hash at a point, for the exchange: equal from turn to turn as long as the prefix is."""
    return chain[depth - 1].hash.hex() if 0 < depth <= len(chain) else ""


def marked(request: Request) -> int:
    """How many cache points the caller has set already."""
    items: list[Tool | Block] = [*request.tools, *request.system]
    items += [block for message in request.messages for block in message.content]
    return sum(bool(getattr(item, "checkpoint", "")) for item in items) + bool(request.checkpoint)


def mark(request: Request, places: Sequence[tuple[str, int]], ttls: Sequence[Ttl]) -> Request:
    """The request with cache points at `places`, each of its lifetime; nothing else changes."""
    tools, system, messages = list(request.tools), list(request.system), list(request.messages)
    for (part, at), ttl in zip(places, ttls, strict=True):
        if part == "tools":
            tools[at] = msgspec.structs.replace(tools[at], checkpoint=ttl)
        elif part == "system":
            if hasattr(system[at], "checkpoint"):
                system[at] = msgspec.structs.replace(system[at], checkpoint=ttl)
        else:
            content = list(messages[at].content)
            if content and hasattr(content[-1], "checkpoint"):
                content[-1] = msgspec.structs.replace(content[-1], checkpoint=ttl)
                messages[at] = msgspec.structs.replace(messages[at], content=tuple(content))
    return msgspec.structs.replace(request, tools=tuple(tools), system=tuple(system), messages=tuple(messages))


def _unmarked(item: Tool | Block | Message) -> object:
    if isinstance(item, Message):
        return (item.role, item.name, item.extras, [_unmarked(block) for block in item.content])
    if getattr(item, "checkpoint", ""):
        item = msgspec.structs.replace(item, checkpoint="")
    return (type(item).__name__, *[getattr(item, name) for name in item.__struct_fields__])
