"""What a provider's guardrail is asked and what it answers, whoever runs it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from hapenny.core.events import Tokens

Direction: TypeAlias = Literal["input", "output"]

CHARACTERS_A_UNIT = 1_000
"""Characters of one billed text unit."""


class GuardRequest(Struct, frozen=True, kw_only=True):
    """Texts to be judged."""

    texts: tuple[str, ...]
    direction: Direction


class Verdict(Struct, frozen=True, kw_only=True):
    """What a guardrail says of texts."""

    texts: tuple[str, ...]
    """As they may go on, in the order asked; the very same where nothing was changed."""
    blocked: str = ""
    """Why they may not; "" where they may."""
    message: str = ""
    """What the guardrail would have the client read instead."""
    found: tuple[str, ...] = ()
    """What it found, in words of its own policy; no text of anybody."""
    tokens: Tokens
    """What is billed: text units by policy."""
    reported: bool
    """Whether the provider said so; otherwise it is an estimate."""


def units(texts: tuple[str, ...]) -> int:
    """Text units of texts: each begins its own."""
    return sum(max(1, -(-len(text) // CHARACTERS_A_UNIT)) for text in texts)
