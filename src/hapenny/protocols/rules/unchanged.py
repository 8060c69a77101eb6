"""What a rewriting step has left as it was: the same objects, so that whoever comes later sees it at a glance."""

from __future__ import annotations

from collections.abc import Callable, Collection
from operator import is_

from msgspec.structs import replace

from hapenny.core.messages import Block, Message


def same(after: Collection[object], before: Collection[object]) -> bool:
    """Whether two collections hold the very same objects, in the same order."""
    return len(after) == len(before) and all(map(is_, after, before))


def mapped(messages: tuple[Message, ...], change: Callable[[Block], Block]) -> tuple[Message, ...]:
    """`messages` with `change` made to each block; what is not changed stays the same object."""
    out = []
    for message in messages:
        content = tuple([change(block) for block in message.content])
        out.append(message if same(content, message.content) else replace(message, content=content))
    return tuple(out)
