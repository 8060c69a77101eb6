"""A prompt as the provider sees it: blocks in the order tools, system, messages, with tokens and cache points."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from hapenny.core.messages import Data, Document, Image, Message, Opaque, Request, Text, Thinking, ToolResult, ToolUse
from hapenny.simulation.tokenizer import MESSAGE, REQUEST, TOOLS


class Counts(Protocol):
    """Counts tokens of text: a model's tokenizer, or what stands for one."""

    def count(self, text: str) -> int:
        """Tokens of `text`."""


class Part(Struct, frozen=True):
    """One block: its bytes without the cache point, its tokens, and the lifetime of a cache point behind it."""

    content: bytes
    tokens: int
    ttl: str = ""


def parts(request: Request, tokenizer: Counts) -> list[Part]:
    """The prompt's blocks in the order in which prefixes are cached."""
    pieces: list[Part] = []
    for number, tool in enumerate(request.tools):
        plain = msgspec.structs.replace(tool, checkpoint="") if tool.checkpoint else tool
        content = msgspec.json.encode(plain, order="deterministic")
        tokens = tokenizer.count(f"{tool.name} {tool.description or ''} {_json(tool.schema)}")
        pieces.append(Part(b"tool:" + content, tokens + (TOOLS if number == 0 else 0), _ttl(tool.checkpoint)))
    for block in request.system:
        pieces.append(_part(b"system:", block, tokenizer, 0))
    last = len(request.messages) - 1
    for number, message in enumerate(request.messages):
        pieces.extend(_message(message, tokenizer, _ttl(request.checkpoint) if number == last else ""))
    if not pieces:
        pieces.append(Part(b"", 0))
    pieces[0] = msgspec.structs.replace(pieces[0], tokens=pieces[0].tokens + REQUEST)
    return pieces


def _message(message: Message, tokenizer: Counts, closing: str) -> list[Part]:
    head = f"{message.role}:{message.name or ''}:".encode()
    pieces = []
    for number, block in enumerate(message.content):
        pieces.append(_part(head, block, tokenizer, MESSAGE if number == 0 else 0))
    if not pieces:
        pieces.append(Part(head, MESSAGE))
    if closing and not pieces[-1].ttl:
        pieces[-1] = msgspec.structs.replace(pieces[-1], ttl=closing)
    return pieces


def _part(head: bytes, block: Any, tokenizer: Counts, extra: int) -> Part:
    checkpoint = getattr(block, "checkpoint", "")
    if isinstance(block, Text):
        return Part(
            head + block.text.encode("utf-8", "surrogatepass"), tokenizer.count(block.text) + extra, _ttl(checkpoint)
        )
    plain = msgspec.structs.replace(block, checkpoint="") if checkpoint else block
    content = msgspec.json.encode(plain, order="deterministic", enc_hook=str)
    return Part(head + content, _tokens(block, tokenizer) + extra, _ttl(checkpoint))


def _tokens(block: Any, tokenizer: Counts) -> int:
    match block:
        case Text():
            return tokenizer.count(block.text)
        case Image():
            return max(85, min(1600, len(block.data or b"") // 400)) if block.data else 1100
        case Document():
            text = block.text or ""
            inner = sum(tokenizer.count(_json(part)) for part in block.content or ())
            return tokenizer.count(text) + inner + len(block.data or b"") // 6 + 10
        case ToolUse():
            return tokenizer.count(block.name) + tokenizer.count(block.arguments) + 8
        case ToolResult():
            return sum(_tokens(inner, tokenizer) for inner in block.content) + 8
        case Data():
            return tokenizer.count(_json(block.value))
        case Thinking():
            return tokenizer.count(block.text)
        case Opaque():
            return tokenizer.count(_json(block.payload))
    return 0


def _ttl(checkpoint: str) -> str:
    return "5m" if checkpoint == "default" else checkpoint


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def fingerprint(pieces: list[Part]) -> str:
    """A short name of a whole prompt."""
    digest = hashlib.blake2b(digest_size=12)
    for part in pieces:
        digest.update(part.content)
        digest.update(b"\x00")
    return digest.hexdigest()
