"""A request as a chain of prefix segments, cache points written into it, and the proof that the bytes before stayed."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hapenny.core.messages import Block, Request, Text, Thinking, Tool, ToolUse, Ttl

_encode = msgspec.msgpack.Encoder(order="deterministic", enc_hook=repr).encode


Place: TypeAlias = tuple[str, int, int]
"""Part of the request (tools, system, messages), item, and block of a message (0 elsewhere)."""


class Segment(Struct, frozen=True):
    """A stretch that a cache point may end: a tool list, a system block, or a block of a message.

    `hash` covers the model and every byte before and in it; `place` says where the point goes.
    """

    hash: bytes
    tokens: int
    place: Place


PARTS = ("tools", "system", "messages")


def segments(
    request: Request,
    model: str,
    count: Callable[[str], int],
    *,
    places: Sequence[str] = PARTS,
    behind_text: bool = False,
) -> list[Segment]:
    """The chain of a request: tools -> system -> messages, as providers read it. `count` estimates tokens of a text.

    The last message is part of the chain: a long question may come again. Marks do not change hashes. A block that
    takes no mark (thinking, an empty text) belongs to the segment behind it, as does what stands in a part that is not
    of `places`, and with `behind_text` whatever in a message is no text.
    """
    running = hashlib.blake2b(model.encode(), digest_size=16)
    out: list[Segment] = []
    waiting = ""

    def add(item: object, place: Place | None) -> None:
        nonlocal waiting
        body = _encode(item)
        running.update(len(body).to_bytes(8, "big") + body)
        waiting += body.decode("utf-8", "ignore")
        if place is not None and place[0] in places:
            out.append(Segment(running.copy().digest(), count(waiting), place))
            waiting = ""

    if request.tools:
        add([_unmarked(tool) for tool in request.tools], ("tools", len(request.tools) - 1, 0))
    for at, block in enumerate(request.system):
        add([_unmarked(block)], ("system", at, 0) if _markable(block) else None)
    for at, message in enumerate(request.messages):
        add([message.role, message.name, message.extras], None)
        for where, block in enumerate(message.content):
            takes = _markable(block) and (isinstance(block, Text) or not behind_text)
            add([_unmarked(block)], ("messages", at, where) if takes else None)
    return out


def proof(chain: Sequence[Segment], depth: int) -> str:
    """The running hash at a point, for the exchange: equal from turn to turn as long as the prefix is."""
    return chain[depth - 1].hash.hex() if 0 < depth <= len(chain) else ""


def marked(request: Request) -> int:
    """How many cache points the caller has set already."""
    items: list[Tool | Block] = [*request.tools, *request.system]
    items += [block for message in request.messages for block in message.content]
    return sum(bool(getattr(item, "checkpoint", "")) for item in items) + bool(request.checkpoint)


def mark(request: Request, places: Sequence[Place], ttls: Sequence[Ttl]) -> Request:
    """The request with cache points at `places`, each of its lifetime; nothing else changes."""
    tools, system, messages = list(request.tools), list(request.system), list(request.messages)
    for (part, at, where), ttl in zip(places, ttls, strict=True):
        if part == "tools":
            tools[at] = replace(tools[at], checkpoint=ttl)
        elif part == "system":
            system[at] = replace(system[at], checkpoint=ttl)
        else:
            content = list(messages[at].content)
            content[where] = replace(content[where], checkpoint=ttl)
            messages[at] = replace(messages[at], content=tuple(content))
    return replace(request, tools=tuple(tools), system=tuple(system), messages=tuple(messages))


def _markable(block: Block) -> bool:
    """Whether providers take a cache point behind it: not behind thinking, nor behind a text without content."""
    return not isinstance(block, Thinking) and not (isinstance(block, Text) and not block.text.strip())


def _unmarked(item: Tool | Block) -> object:
    if getattr(item, "checkpoint", ""):
        item = replace(item, checkpoint="")
    if isinstance(item, ToolUse):  # providers take a value: how a client spaced its JSON is not part of it
        with contextlib.suppress(msgspec.DecodeError):
            return ("ToolUse", item.id, item.name, msgspec.json.decode(item.arguments), item.extras)
    return (type(item).__name__, *[getattr(item, name) for name in item.__struct_fields__])
