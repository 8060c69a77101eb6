"""Cache points where the model and its service take them, and no more than four."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from hapenny.core.messages import Block, Message, Request, Text, Thinking, Tool, ToolResult
from hapenny.protocols.rules.common import POINTS
from hapenny.protocols.rules.draft import Draft
from hapenny.protocols.rules.unchanged import same


def placed(draft: Draft) -> None:
    """Leaves out the cache points that the service would refuse."""
    request, subject = draft.request, draft.subject
    count = _count(request)
    if not count:
        return
    if subject.service == "openai":
        if draft.foreign:
            draft.note("not sent=cache_control")
        return
    if not subject.caches:
        if subject.service != "anthropic":
            draft.change(**_mapped(request, lambda place, ttl: ""))
            draft.note(f"cache_points={count} not sent: the model keeps no prompt cache")
        return
    if subject.maker == "nova" and any(tool.checkpoint for tool in request.tools):
        draft.change(tools=tuple([replace(tool, checkpoint="") if tool.checkpoint else tool for tool in request.tools]))
        draft.note("cache_points=none among the tools: the model takes none there")
    if subject.maker == "nova" and (late := _not_behind_text(draft.request)):
        draft.change(**_mapped(draft.request, lambda place, ttl: "" if place in late else ttl))
        draft.note(f"cache_points={len(late)} not sent: the model takes none behind tool calls and results")
    lifetimes = subject.card.cache_ttls if subject.card is not None else ("5m", "1h")
    if lifetimes == ("5m",) and _has(draft.request, ("1h", "5m")):
        if _has(draft.request, ("1h",)):
            draft.note("cache_points=1h sent as 5m: the model keeps nothing for longer")
        draft.change(**_mapped(draft.request, lambda place, ttl: "default" if ttl else ""))
    if not draft.native:
        _fewer(draft)
        _ordered(draft)


Place = tuple[str, int, int, int]
"""tools, system or messages; the item; the block; the block within a result, or -1."""


def _places(request: Request) -> list[tuple[Place, str]]:
    """All cache points in the order in which prefixes are cached."""
    places: list[tuple[Place, str]] = []
    places += [(("tools", i, 0, -1), tool.checkpoint) for i, tool in enumerate(request.tools) if tool.checkpoint]
    places += [(("system", i, 0, -1), ttl) for i, block in enumerate(request.system) if (ttl := _ttl(block))]
    for i, message in enumerate(request.messages):
        for j, block in enumerate(message.content):
            if isinstance(block, ToolResult):
                places += [(("messages", i, j, k), ttl) for k, one in enumerate(block.content) if (ttl := _ttl(one))]
            if ttl := _ttl(block):
                places.append((("messages", i, j, -1), ttl))
    return places


def _not_behind_text(request: Request) -> set[Place]:
    """Cache points in messages that follow something else than a text; that of the request follows all."""
    late = set()
    last = request.messages[-1].content[-1:] if request.messages else ()
    if request.checkpoint and not (last and isinstance(last[0], Text)):
        late.add(_behind_all(request))
    for place, _ in _places(request):
        part, i, j, k = place
        if part == "messages" and (k >= 0 or not isinstance(request.messages[i].content[j], Text)):
            late.add(place)
    return late


def _behind_all(request: Request) -> Place:
    """The place of the cache point that the request as a whole asks for."""
    return ("messages", len(request.messages), 0, -1)


def _ttl(block: Block) -> str:
    return "" if isinstance(block, Thinking) else block.checkpoint


def _count(request: Request) -> int:
    return len(_places(request)) + bool(request.checkpoint)


def _has(request: Request, lifetimes: tuple[str, ...]) -> bool:
    return request.checkpoint in lifetimes or any(ttl in lifetimes for _, ttl in _places(request))


def _mapped(request: Request, change: Any) -> dict[str, Any]:
    """Fields of `request` with each cache point as `change(place, ttl)` says; "" takes it away."""

    def one(block: Block, place: Place) -> Block:
        if isinstance(block, Thinking):
            return block
        changed: Block = block
        if isinstance(block, ToolResult):
            inner = tuple([one(part, (*place[:3], k)) for k, part in enumerate(block.content)])
            if not same(inner, block.content):
                changed = replace(block, content=inner)
        ttl = block.checkpoint and change(place, block.checkpoint)
        return changed if ttl == block.checkpoint else replace(changed, checkpoint=ttl)

    def tool(item: Tool, place: Place) -> Tool:
        ttl = item.checkpoint and change(place, item.checkpoint)
        return item if ttl == item.checkpoint else replace(item, checkpoint=ttl)

    def turn(message: Message, i: int) -> Message:
        content = tuple([one(block, ("messages", i, j, -1)) for j, block in enumerate(message.content)])
        return message if same(content, message.content) else replace(message, content=content)

    whole = request.checkpoint and change(_behind_all(request), request.checkpoint)
    return {
        "tools": tuple([tool(item, ("tools", i, 0, -1)) for i, item in enumerate(request.tools)]),
        "system": tuple([one(block, ("system", i, 0, -1)) for i, block in enumerate(request.system)]),
        "messages": tuple([turn(message, i) for i, message in enumerate(request.messages)]),
        "checkpoint": whole,
    }


def _fewer(draft: Draft) -> None:
    """Of more than four, the last of the tools, the last of the system prompt and the latest of the turns stay: a
    prefix is looked for backwards from each point."""
    request = draft.request
    places = [place for place, _ in _places(request)]
    room = POINTS - bool(request.checkpoint)
    if len(places) <= room:
        return
    kept: list[Place] = []
    for part in ("tools", "system"):
        own = [place for place in places if place[0] == part]
        kept += own[-1:]
    turns = [place for place in places if place[0] == "messages"]
    kept += turns[max(0, len(turns) - (room - len(kept))) :] if room > len(kept) else []
    for place in reversed(places):  # what is left of the room
        if len(kept) >= room:
            break
        if place not in kept:
            kept.append(place)
    stay = set(kept[:room])
    whole = _behind_all(request)
    draft.change(**_mapped(request, lambda place, ttl: ttl if place in stay or place == whole else ""))
    draft.note(f"cache_points={len(places) - len(stay)} not sent: the service takes {POINTS}")


def _ordered(draft: Draft) -> None:
    """A longer lifetime does not follow a shorter one."""
    places = _places(draft.request)
    short = next((n for n, (_, ttl) in enumerate(places) if ttl != "1h"), len(places))
    late = {place for place, ttl in places[short:] if ttl == "1h"}
    whole = draft.request.checkpoint == "1h" and short < len(places)
    if not late and not whole:
        return
    end = _behind_all(draft.request)
    draft.change(
        **_mapped(draft.request, lambda place, ttl: "5m" if place in late or (whole and place == end) else ttl)
    )
    draft.note("cache_points=1h sent as 5m behind a shorter one")
