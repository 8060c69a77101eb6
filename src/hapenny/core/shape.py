"""What a request is made of, told at a glance.

A stage names what a request must have for it to have anything to do (`Stage.needs`); the pipeline asks no stage about a
request that has none of it. One look for all of them: most requests are a few turns of plain text. What takes longer to
find out is kept for requests that come again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

from hapenny.core.calls import Asked
from hapenny.core.messages import Request, Text, ToolResult, ToolUse

T = TypeVar("T")

TOOLS: Final = 1
"""It offers tools."""
TOOL_TURNS: Final = 2
"""Tools were called in it."""
RICH: Final = 4
"""It holds more than plain text: images, documents, citations, …"""
MARKUP: Final = 8
"""One of its texts has tags, as retrieved passages often do."""
TALK: Final = 16
"""It is longer than one turn."""
BRIEF: Final = 32
"""Its last turn is short."""
WARM: Final = 64
"""Its answers differ from time to time: its temperature is not 0."""
ROUTED: Final = 128
"""The gateway chooses its model, or the operator has the name it asks for treated as another."""
BACKED: Final = 256
"""Other models may stand in for the one it asks for."""
LISTED: Final = 512
"""One of its texts is long, and has lines or labels: retrieved context without tags may be in it."""

INSTRUCTED: Final = 1024
"""Its instructions are long."""

LONG_CHARACTERS: Final = 400
"""From which on a text counts as long."""
BRIEF_CHARACTERS: Final = 2_000
"""Up to which a last turn counts as short."""


def shape_of(request: Request, asked: Asked | None = None) -> int:
    """The traits of a request whose model's name means `asked`."""
    messages = request.messages
    traits = last = 0
    if asked is not None:
        if asked.kind == "auto" or asked.named is not None:
            traits = ROUTED
        if asked.fallbacks:
            traits |= BACKED
    if request.tools:
        traits |= TOOLS
    if request.parameters.temperature != 0:
        traits |= WARM
    if len(messages) > 1:
        traits |= TALK
    for block in request.system:
        if type(block) is Text:
            if len(block.text) >= LONG_CHARACTERS:
                traits |= INSTRUCTED
                if _listed(block.text):
                    traits |= LISTED
        else:
            traits |= RICH
    for message in messages:
        last = 0
        for part in message.content:
            if type(part) is Text:
                text = part.text
                last = max(last, len(text))
                if len(text) >= LONG_CHARACTERS and _listed(text):
                    traits |= LISTED
                if "<" in text and "</" in text:  # one character is looked for much faster than two
                    traits |= MARKUP
                if part.citations:
                    traits |= RICH
            elif type(part) is ToolUse or type(part) is ToolResult:
                traits |= TOOL_TURNS
            else:
                traits |= RICH
    return traits | BRIEF if last <= BRIEF_CHARACTERS else traits


def _listed(text: str) -> bool:
    """Whether a text has lines or labels. One character is found much faster than two, and two faster from behind."""
    return "\n" in text or (":" in text and text.rfind(": ") >= 0)


class OfRequests(Generic[T]):
    """What was worked out of requests: of those that come again, and of the last one, which stages ask about in turn.

    Args:
        most: requests that come again; those of which something was kept longest ago make room.
    """

    def __init__(self, most: int = 512) -> None:
        self._most = most
        self._kept: OrderedDict[int, tuple[Request, T]] = OrderedDict()
        self._last: tuple[Request, T] | None = None

    def get(self, request: Request) -> T | None:
        """What is known of this very request."""
        known = self._kept.get(id(request)) if request.recurs else self._last
        return known[1] if known is not None and known[0] is request else None

    def put(self, request: Request, known: T, *, small: bool = True) -> None:
        """Keeps it; for longer than till the next request only where this one comes again and is small."""
        if not request.recurs:
            self._last = request, known
        elif small:
            self._kept[id(request)] = request, known
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
