"""The line by which Claude Code tells Anthropic who is billed: the first block of its system prompt.

It is meant for Anthropic's own API. Bedrock refuses a request that holds it, and to any other model it is noise that
differs from one release and start to the next, so that no prompt cache could go beyond it.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from hapenny.core.messages import Block, Text
from hapenny.protocols.rules.draft import Draft

WORD = "x-anthropic-billing-header"


def reserved(text: Any) -> bool:
    """Whether a text of the system prompt begins with the line."""
    return isinstance(text, str) and text.startswith(WORD)


def left_out(draft: Draft) -> None:
    """The line leaves the system prompt, unless Anthropic itself is asked; what stands below it stays."""
    request = draft.request
    if draft.subject.service == "anthropic" or not any(
        type(block) is Text and reserved(block.text) for block in request.system
    ):
        return
    kept: list[Block] = []
    for block in request.system:
        if isinstance(block, Text) and reserved(block.text):
            rest = block.text.partition("\n")[2].lstrip("\n")
            if not rest:
                continue
            block = replace(block, text=rest)
        kept.append(block)
    draft.change(system=tuple(kept))
    draft.note(f"system={WORD} not sent: it is for Anthropic's own API")
