"""What breaks a provider's prefix: named findings on a request, and on what changed between two turns."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from hapenny.core.messages import Block, Document, Request, Text, ToolResult
from hapenny.core.patterns import pattern

_VOLATILE = {
    "timestamp": pattern(
        r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}|\b\d{1,2}:\d{2}:\d{2}\b|"
        r"\b(?:today is|current (?:date|time)|the time is)\b[^.\n]{0,40}\d",
        re.IGNORECASE,
    ),
    "random-id": pattern(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE),
}
_PASSAGES = pattern(r"<(?:context|documents?|passages?|chunks?|search_results)\b")


class Finding(Struct, frozen=True):
    """One thing that breaks, or will break, the prefix. `where` is a path into the request."""

    rule: str
    where: str
    advice: str


def lint(request: Request) -> list[Finding]:
    """Findings on one request, in the order of the prefix: tools, system, messages."""
    findings: list[Finding] = []
    names = [tool.name for tool in request.tools]
    if names != sorted(names):
        findings.append(
            Finding("unsorted-tools", "tools", "send tools in one fixed order: a new order is a new prefix")
        )
    for at, tool in enumerate(request.tools):
        findings += _volatile(tool.description or "", f"tools[{at}].description")
    for at, block in enumerate(request.system):
        if isinstance(block, Text):
            findings += _volatile(block.text, f"system[{at}]")
    if len(request.messages) > 2 and _grounded(request.messages[0].content):
        findings.append(
            Finding(
                "chunks-before-history",
                "messages[0]",
                "put retrieved passages into the last user turn: in front of the history they change every turn",
            )
        )
    return findings


def drift(before: Request, now: Request) -> list[Finding]:
    """What of the earlier turn's prefix is no longer the same in this one."""
    findings: list[Finding] = []
    if before.tools != now.tools:
        same = sorted(tool.name for tool in before.tools) == sorted(tool.name for tool in now.tools)
        findings.append(
            Finding("tools-reordered" if same else "tools-changed", "tools", "keep tools and their order fixed")
        )
    if before.system != now.system:
        findings.append(Finding("system-changed", "system", "move what changes into the last user turn"))
    for at, (one, other) in enumerate(zip(before.messages, now.messages, strict=False)):
        if one != other:
            findings.append(Finding("history-rewritten", f"messages[{at}]", "append to the history, never rewrite it"))
            break
    return findings


def _volatile(text: str, where: str) -> list[Finding]:
    return [
        Finding(rule, where, "move it into the last user turn: here every new value makes a new prefix")
        for rule, pattern in _VOLATILE.items()
        if pattern.search(text)
    ]


def _grounded(content: Sequence[Block]) -> bool:
    return any(
        isinstance(block, Document) or (isinstance(block, Text) and _PASSAGES.search(block.text))
        for block in content
        if not isinstance(block, ToolResult)
    )
