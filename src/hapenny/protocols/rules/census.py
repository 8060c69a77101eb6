"""What a conversation holds that some rule asks about: one look at its blocks, so that most rules need none."""

from __future__ import annotations

from hapenny.core.messages import Block, Document, Image, Message, Opaque, Request, Text, Thinking, ToolResult, ToolUse


class Census:
    """Flags of one request's turns (and, for cache points, of its tools and system prompt)."""

    __slots__ = ("blank", "calls", "failed", "instructs", "leftovers", "media", "paired", "points", "thoughts")

    def __init__(self, request: Request) -> None:
        self.blank = False
        """A text, or a turn or result, that is empty or white space."""
        self.calls = False
        self.failed = False
        """A tool result that says it failed, or holds more than text."""
        self.instructs = False
        """A turn of instructions in mid-conversation."""
        self.leftovers = False
        """A field that only one dialect has."""
        self.media = False
        self.points = bool(request.checkpoint)
        self.thoughts = False
        for message in request.messages:
            if message.extras or message.name:
                self.leftovers = True
            if message.role == "system":
                self.instructs = True
            if not message.content:
                self.blank = True
            for block in message.content:
                self._look(block)
        for block in request.system:
            self._look(block)
        for tool in request.tools:
            if tool.checkpoint:
                self.points = True
            if tool.extras:
                self.leftovers = True
        self.paired = not self.calls or in_pairs(request.messages)

    def _look(self, block: Block) -> None:
        kind = type(block)
        if kind is Text:
            if not block.text or block.text.isspace():  # type: ignore[union-attr]
                self.blank = True
            if block.extras or block.citations:  # type: ignore[union-attr]
                self.leftovers = True
        elif kind is ToolUse:
            self.calls = True
        elif kind is ToolResult:
            self.calls = True
            self._result(block)  # type: ignore[arg-type]
        elif kind is Thinking:
            self.thoughts = True
            return
        elif kind is Image or kind is Document or kind is Opaque:
            self.media = self.leftovers = True
        if block.checkpoint:  # type: ignore[union-attr]
            self.points = True
        if kind is not Text and getattr(block, "extras", None):
            self.leftovers = True

    def _result(self, result: ToolResult) -> None:
        if result.error:
            self.failed = True
        if not result.content:
            self.blank = True
        for inner in result.content:
            self._look(inner)
            if type(inner) is not Text:
                self.failed = True


def in_pairs(messages: tuple[Message, ...]) -> bool:
    """Whether each call has its result in the next turn, each result its call in the turn before, results first."""
    waiting: set[str] = set()
    before = ""
    other = False
    for message in messages:
        if message.role == "assistant":
            if waiting:
                return False
            if before != "assistant":
                other = False
            for block in message.content:
                if type(block) is ToolUse:
                    if block.id in waiting:
                        return False
                    waiting.add(block.id)
                elif type(block) is ToolResult:
                    return False
        elif message.role == "system" or not message.content:
            other = True
            continue
        else:
            for block in message.content:
                if type(block) is ToolResult:
                    if other or block.id not in waiting:
                        return False
                    waiting.remove(block.id)
                else:
                    other = True
        before = message.role
    return not waiting
