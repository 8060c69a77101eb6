"""Ids and names of tools as a service takes them: rewritten alike wherever they stand, and given back in the answer.

A new id or name is made from the old one alone (and from how often an id came before), so that the turns that a
provider has cached keep their bytes from request to request.
"""

from __future__ import annotations

import hashlib
import re

from msgspec.structs import replace

from hapenny.core.messages import Block, Message, Tool, ToolResult, ToolUse
from hapenny.protocols.rules.chat import ID as OPENAI_ID
from hapenny.protocols.rules.draft import Draft
from hapenny.protocols.rules.unchanged import mapped
from hapenny.protocols.rules.undo import Renamed

_SAFE = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NATIVE = {
    "converse": re.compile(r"[a-zA-Z0-9_.:-]{1,64}"),
    "invoke": re.compile(r"[a-zA-Z0-9_-]+"),
    "anthropic": re.compile(r"[a-zA-Z0-9_-]+"),
}
_OPENAI = re.compile(rf".{{1,{OPENAI_ID}}}", re.DOTALL)
_MISTRAL = re.compile(r"[a-zA-Z0-9]{9}")
_LONG_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_UNSAFE = re.compile(r"[^a-zA-Z0-9_-]+")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def rewritten(draft: Draft) -> None:
    """Gives the draft ids and names that its service takes."""
    names, ids = _names(draft), _ids(draft)
    if names or ids:
        draft.undo.append(Renamed(names, ids))


def _names(draft: Draft) -> dict[str, str]:
    """Shortened names, by what they are now: the client's names."""
    request = draft.request
    longer = (draft.native or draft.kin) and draft.subject.service in ("anthropic", "invoke")
    taken = _LONG_NAME if longer else _SAFE
    given = [tool.name for tool in request.tools if not tool.kind]
    given += [block.name for turn in request.messages for block in turn.content if isinstance(block, ToolUse)]
    changed = {name: _short(name) for name in dict.fromkeys(given) if not taken.fullmatch(name)}
    if not changed:
        return {}

    def named(tool: Tool) -> Tool:
        return replace(tool, name=changed[tool.name]) if not tool.kind and tool.name in changed else tool

    def called(block: Block) -> Block:
        if isinstance(block, ToolUse) and block.name in changed:
            return replace(block, name=changed[block.name])
        return block

    choice = request.tool_choice
    if choice is not None and choice.name in changed:
        choice = replace(choice, name=changed[choice.name])
    draft.change(
        tools=tuple([named(tool) for tool in request.tools]),
        tool_choice=choice,
        messages=mapped(request.messages, called),
    )
    draft.note(f"tool_names={len(changed)} rewritten for the service, given back in the answer")
    return {new: old for old, new in changed.items()}


def _short(name: str) -> str:
    digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=4).hexdigest()
    return f"{_UNSAFE.sub('_', name)[:55].strip('_') or 'tool'}_{digest}"


def _ids(draft: Draft) -> dict[str, str]:
    """New ids, by what they are now: the client's ids."""
    service = draft.subject.service
    mistral = draft.subject.maker == "mistral" and service in ("converse", "openai")
    if mistral:
        taken = _MISTRAL
    elif service == "openai":
        taken = _OPENAI
    else:
        taken = _SAFE if draft.foreign else _NATIVE[service]
    unique = service != "openai" and not draft.native
    if not _odd(draft.request.messages, taken, unique):
        return {}
    back: dict[str, str] = {}
    used: dict[str, int] = {}
    waiting: dict[str, list[str]] = {}
    last: dict[str, str] = {}

    def made(old: str) -> str:
        count = used.get(old, 0)
        used[old] = count + 1
        if taken.fullmatch(old) and not (unique and count):
            return old
        new = _hashed(f"{old}\0{count if unique else 0}", mistral)
        back[new] = old
        return new

    def one(block: Block) -> Block:
        if isinstance(block, ToolUse):
            new = last[block.id] = made(block.id)
            waiting.setdefault(block.id, []).append(new)
            return replace(block, id=new) if new != block.id else block
        if isinstance(block, ToolResult):
            queue = waiting.get(block.id)
            new = queue.pop(0) if queue else last.get(block.id) or made(block.id)
            return replace(block, id=new) if new != block.id else block
        return block

    draft.change(messages=mapped(draft.request.messages, one))
    if back:
        draft.note(f"tool_ids={len(back)} rewritten for the service")
    return back


def _odd(messages: tuple[Message, ...], taken: re.Pattern[str], unique: bool) -> bool:
    """Whether any id must be rewritten."""
    seen: set[str] = set()
    for message in messages:
        for block in message.content:
            if isinstance(block, ToolUse):
                if not taken.fullmatch(block.id) or (unique and block.id in seen):
                    return True
                seen.add(block.id)
            elif isinstance(block, ToolResult) and not taken.fullmatch(block.id):
                return True
    return False


def _hashed(text: str, mistral: bool) -> str:
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12)
    if not mistral:
        return "call_" + digest.hexdigest()
    number = int.from_bytes(digest.digest(), "big")
    letters = []
    for _ in range(9):
        number, rest = divmod(number, 62)
        letters.append(_DIGITS[rest])
    return "".join(letters)
