"""A request as the provider's tokenizer and prompt cache see it: segments in the order tools, system, messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from hapenny.core.messages import Block, Data, Document, Image, Opaque, Request, Text, Thinking, ToolResult, ToolUse
from hapenny.counting import FeatureCache, Vector
from hapenny.counting.features import REQUEST, SIZE
from hapenny.counting.features import TOOLS as OFFERS

PARTS = ("tools", "system", "history", "context", "user")
"""What a prompt is made of: `context` are documents and tool results of the last turn, `user` the rest of it."""
TOOLS, SYSTEM, HISTORY, CONTEXT, USER = range(5)


class Point(NamedTuple):
    """A cache point behind segment number `at`; `ttl` in seconds."""

    at: int
    ttl: int


class Layout:
    """The segments of one request, what they add up to, and where the client put cache points.

    Attributes:
        texts: the segments.
        kinds: for each, the number of its part.
        ends: how many segments there are up to the end of each message.
        points: cache points in order.
        media: how many images and binary documents, whose tokens no text tells.
        offers: whether there are tools.
    """

    __slots__ = (
        "_chain", "counted", "ends", "kinds", "media", "offers", "points", "running", "size", "texts", "vector",
    )  # fmt: skip

    def __init__(self, request: Request) -> None:
        self.texts: list[str] = []
        self.kinds: list[int] = []
        self.ends: list[int] = []
        self.points: list[Point] = []
        self.media = 0
        self.offers = bool(request.tools)
        self.vector: Vector | None = None
        self.counted: tuple[object, float] | None = None
        """What was counted last, and by what state of whose estimator."""
        self.running: tuple[object, list[float]] | None = None
        """The same for the tokens up to the end of each segment."""
        self._chain: list[int] | None = None
        for tool in request.tools:
            text = f"{tool.name}\n{tool.description or ''}\n"
            if tool.schema is not None:
                text += msgspec.json.encode(tool.schema).decode()
            self._add(text, TOOLS, tool.checkpoint)
        if request.system:
            self._blocks(request.system, SYSTEM)
        messages = request.messages
        last = len(messages) - 1
        while last > 0 and messages[last].role == "tool":
            last -= 1
        for index, message in enumerate(messages):
            self._blocks(message.content, SYSTEM if message.role == "system" else USER if index >= last else HISTORY)
            self.ends.append(len(self.texts))
        if request.checkpoint and self.texts:
            self._point(request.checkpoint)
        self.size = sum(map(len, self.texts))
        """Characters of all segments."""

    def measure(self, features: FeatureCache) -> Vector:
        """The feature vector of the whole request, with the constant that every request carries."""
        vector = self.vector
        if vector is None:
            vector = self.vector = np.zeros(SIZE)
            segment = features.segment
            for text in self.texts:
                vector += segment(text)
            vector[REQUEST] = 1.0
            vector[OFFERS] = self.offers
        return vector

    @property
    def chain(self) -> list[int]:
        """A running 64-bit hash (keyed by process) behind each segment; cache points themselves do not count."""
        chain = self._chain
        if chain is None:
            chain = self._chain = []
            state = 0
            ends, done = self.ends, 0
            for index, text in enumerate(self.texts):
                while done < len(ends) and ends[done] <= index:
                    done += 1  # the same words in another turn are another prompt
                state = hash((state, done, text))
                chain.append(state)
        return chain

    def _blocks(self, blocks: Sequence[Block], part: int) -> None:
        for block in blocks:
            match block:
                case Text():
                    self._add(block.text, part, block.checkpoint)
                case ToolUse():
                    self._add(f"{block.name}\n{_compact(block.arguments)}", part, block.checkpoint)
                case ToolResult():
                    self._blocks(block.content, CONTEXT if part == USER else part)
                    if block.checkpoint:
                        self._point(block.checkpoint)
                case Data():
                    self._add(msgspec.json.encode(block.value).decode(), part, block.checkpoint)
                case Thinking():
                    self._add(block.text, part, "")
                case Document():
                    self._document(block, CONTEXT if part == USER else part)
                case Image():
                    self.media += 1
                    self._add(f"\0{block.url or hash(block.data)}", part, block.checkpoint)
                case Opaque():
                    self._add(msgspec.json.encode(block.payload).decode(), part, block.checkpoint)

    def _document(self, block: Document, part: int) -> None:
        if block.text is not None:
            text = block.text
        elif block.content is not None:
            text = msgspec.json.encode(block.content).decode()
        else:
            self.media += 1
            text = f"\0{block.url or hash(block.data)}"
        self._add(text, part, block.checkpoint)

    def _add(self, text: str, part: int, checkpoint: str) -> None:
        self.texts.append(text)
        self.kinds.append(part)
        if checkpoint:
            self._point(checkpoint)

    def _point(self, checkpoint: str) -> None:
        if self.texts:
            self.points.append(Point(len(self.texts) - 1, 3600 if checkpoint == "1h" else 300))


def has_points(request: Request) -> bool:
    """Whether the client put cache points into a request."""
    if request.checkpoint:
        return True
    for tool in request.tools:
        if tool.checkpoint:
            return True
    for block in request.system:
        if not isinstance(block, Thinking) and block.checkpoint:
            return True
    for message in request.messages:
        for part in message.content:
            if not isinstance(part, Thinking) and part.checkpoint:
                return True
    return False


def _compact(arguments: str) -> str:
    """A tool call's JSON without layout: providers read a value, so the same call in other spacing is the same prefix.
    What is no JSON stays as it is."""
    if " " not in arguments and "\n" not in arguments:
        return arguments
    try:
        return msgspec.json.encode(msgspec.json.decode(arguments)).decode()
    except (ValueError, RecursionError):
        return arguments
