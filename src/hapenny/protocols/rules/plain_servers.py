"""What servers other than OpenAI's own refuse of chat completions that OpenAI takes.

Many read a message's content as one string (DeepSeek: "invalid type: sequence, expected a string"), and some answer
fields that OpenAI does not have with 400 or 422 (Mistral, Gemini: `top_k`), or its role `developer` (DeepSeek, GLM).
Sources: github.com/tbphp/gpt-load/issues/743; BerriAI/litellm/issues/6642; cline/cline/issues/247.
"""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from hapenny.core.messages import Block, Message, Text, ToolResult
from hapenny.protocols.rules.draft import Draft
from hapenny.protocols.rules.unchanged import same

BETWEEN = "\n\n"
_Said = TypeVar("_Said", Text, Message)


def joined(draft: Draft) -> None:
    """Several texts of a turn, a result or the system prompt become one."""
    request = draft.request
    system = _one(request.system)
    messages = tuple([_turn(message) for message in request.messages])
    if system is not request.system or not same(messages, request.messages):
        draft.change(system=system, messages=messages)


def _turn(message: Message) -> Message:
    content = tuple([_result(block) if isinstance(block, ToolResult) else block for block in _one(message.content)])
    return message if same(content, message.content) else replace(message, content=content)


def _result(block: ToolResult) -> ToolResult:
    content = _one(block.content)
    return block if content is block.content else replace(block, content=content)


def _one(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """Several texts and nothing else as one text; anything else as it is."""
    texts = [block.text for block in blocks if type(block) is Text]
    return (Text(BETWEEN.join(texts)),) if 1 < len(texts) == len(blocks) else blocks


def unknown_fields(draft: Draft) -> None:
    """Leaves out what the server is known to refuse."""
    p = draft.request.parameters
    if p.top_k is not None and (draft.subject.maker == "mistral" or "gemini" in draft.subject.model):
        draft.change(parameters=replace(p, top_k=None))
        draft.note("top_k=not sent: the server refuses the field")


def by_the_system(draft: Draft) -> None:
    """What the developer says, the system says: the role has a newer name at OpenAI alone."""
    request = draft.request
    system = tuple([_renamed(block) if isinstance(block, Text) else block for block in request.system])
    messages = tuple([_renamed(message) if message.role == "system" else message for message in request.messages])
    if not same(system, request.system) or not same(messages, request.messages):
        draft.change(system=system, messages=messages)
        draft.note("role=developer said as system: the server knows no other name")


def _renamed(said: _Said) -> _Said:
    if said.extras.get("role") != "developer":
        return said
    return replace(said, extras={key: value for key, value in said.extras.items() if key != "role"})
