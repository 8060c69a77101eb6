"""What servers other than OpenAI's own refuse of chat completions that OpenAI takes.

Many read a message's content as one string (DeepSeek: "invalid type: sequence, expected a string"), and some answer
fields that OpenAI does not have with 400 or 422 (Mistral, Gemini: `top_k`).
Sources: github.com/tbphp/gpt-load/issues/743; BerriAI/litellm/issues/6642; cline/cline/issues/247.
"""

from __future__ import annotations

from msgspec.structs import replace

from hapenny.core.messages import Block, Message, Text, ToolResult
from hapenny.protocols.rules.draft import Draft

BETWEEN = "\n\n"


def several(blocks: tuple[Block, ...]) -> bool:
    """Whether a content is several texts and nothing else."""
    return len(blocks) > 1 and all(type(block) is Text for block in blocks)


def joined(draft: Draft) -> None:
    """Several texts of a turn, a result or the system prompt become one."""
    request = draft.request
    system = _one(request.system)
    messages = tuple([_turn(message) for message in request.messages])
    if system is not request.system or any(a is not b for a, b in zip(messages, request.messages, strict=True)):
        draft.change(system=system, messages=messages)


def _turn(message: Message) -> Message:
    content = _one(message.content)
    if content is message.content and any(isinstance(block, ToolResult) for block in content):
        content = tuple([_result(block) if isinstance(block, ToolResult) else block for block in content])
        if all(a is b for a, b in zip(content, message.content, strict=True)):
            return message
    return message if content is message.content else replace(message, content=content)


def _result(block: ToolResult) -> ToolResult:
    content = _one(block.content)
    return block if content is block.content else replace(block, content=content)


def _one(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    if not several(blocks):
        return blocks
    return (Text(BETWEEN.join([block.text for block in blocks if isinstance(block, Text)])),)


def unknown_fields(draft: Draft) -> None:
    """Leaves out what the server is known to refuse."""
    p = draft.request.parameters
    if p.top_k is not None and (draft.subject.maker == "mistral" or "gemini" in draft.subject.model):
        draft.change(parameters=replace(p, top_k=None))
        draft.note("top_k=not sent: the server refuses the field")
