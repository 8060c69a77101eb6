"""The texts of a request that a provider's guardrail reads, and the request with what it made of them."""

from __future__ import annotations

from msgspec.structs import replace

from hapenny.core.exchange import Exchange
from hapenny.core.guardrails import Direction
from hapenny.core.messages import Block, Document, Message, Request, Text, ToolResult
from hapenny.core.stage import Ask
from hapenny.guarding.remote_guard import RemoteGuard, Ruling
from hapenny.guarding.request_guard import texts_of


async def judged(
    remote: RemoteGuard, exchange: Exchange, ask: Ask, request: Request, direction: Direction
) -> tuple[Request, Ruling]:
    """A request as a provider's guardrail lets it go on. What the assistant said before went through on its way out.

    Raises:
        Failure: as `RemoteGuard.judge`.
    """
    turns = [message for message in request.messages if message.role != "assistant"]
    texts = [text for message in turns for block in message.content for text in texts_of(block)]
    if not texts:
        return request, Ruling(())
    ruling = await remote.judge(exchange, ask, texts, direction)
    if ruling.blocked or ruling.texts == tuple(texts):
        return request, ruling
    waiting = list(reversed(ruling.texts))
    messages = tuple(
        message if message.role == "assistant" else _with(message, waiting) for message in request.messages
    )
    return replace(request, messages=messages), ruling


def _with(message: Message, texts: list[str]) -> Message:
    return replace(message, content=tuple([_block(block, texts) for block in message.content]))


def _block(block: Block, texts: list[str]) -> Block:
    """A block with the next of `texts`, which stand last first."""
    if isinstance(block, Text):
        return replace(block, text=texts.pop())
    if isinstance(block, ToolResult):
        return replace(block, content=tuple([_block(each, texts) for each in block.content]))
    if isinstance(block, Document) and block.text is not None:
        return replace(block, text=texts.pop())
    return block
