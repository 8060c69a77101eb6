"""Static text brought into the prefix: where a prompt mixes what every request says with what only this one says.

Applications paste a manual, few-shot examples or instructions and a question into one string, or put today's date in
front of them. A cache point can only end a block, and what lies behind a changed byte is new to the provider. Texts are
read by line; a line that came in several different texts is static.

- `split`: a block is cut behind the static lines it begins with. No byte changes, only the border of a block.
- `move`: longer stretches of static lines, and static documents, also go in front of what changes, in their own order.

The first arrangement of a text is kept for it, so that the prefix stays the same from turn to turn.
"""

from __future__ import annotations

import itertools
import re
from collections import OrderedDict
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from hapenny.caching.options import How
from hapenny.core.messages import Block, Document, Request, Text

_LINES = re.compile(r"\n\s*")
_LEAST = 2_000
"""Characters of static text below which nothing is arranged: no provider caches so little."""
_STRETCH = 1_000
"""Characters of static lines in a row below which they are not moved out of what stands around them."""
_SEEN = 2
"""Different texts a line must have come in before it counts as static."""
_COUNTED = 100_000
_KEPT = 20_000


class _Piece(Struct, frozen=True):
    """A line of a block, or a block that is not text."""

    block: int
    text: str | None
    key: int


class Arranger:
    """What is static in one route's prompts. Bounded: 100,000 lines and 20,000 arrangements, oldest out."""

    def __init__(self, how: How) -> None:
        self._move = how == "move"
        self._counts: OrderedDict[int, int] = OrderedDict()
        self._kept: OrderedDict[int, tuple[int, ...] | None] = OrderedDict()

    def arrange(self, request: Request) -> Request:
        """The request with its system prompt and its first user turn arranged; learns from it."""
        system = self._blocks(request.system)
        if system is not None:
            request = replace(request, system=system)
        if request.messages and request.messages[0].role == "user":
            content = self._blocks(request.messages[0].content)
            if content is not None:
                first = replace(request.messages[0], content=content)
                request = replace(request, messages=(first, *request.messages[1:]))
        return request

    def _blocks(self, blocks: Sequence[Block]) -> tuple[Block, ...] | None:
        """The same blocks arranged, or None to leave them."""
        if not all(isinstance(block, Text | Document) for block in blocks):
            return None
        if sum(len(block.text) if isinstance(block, Text) else _LEAST for block in blocks) < _LEAST:
            return None
        pieces = _pieces(blocks)
        key = hash(tuple(piece.key for piece in pieces))
        if key in self._kept:
            self._kept.move_to_end(key)
            order = self._kept[key]
        else:
            order = self._kept[key] = self._order(pieces)
            for piece in pieces:
                self._counts[piece.key] = self._counts.pop(piece.key, 0) + 1
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            while len(self._counts) > _COUNTED:
                self._counts.popitem(last=False)
        return _written(blocks, pieces, order) if order is not None else None

    def _order(self, pieces: Sequence[_Piece]) -> tuple[int, ...] | None:
        """Places of the pieces in their new order, led by the static ones; -1 marks the border. None: as it was."""
        static = [self._counts.get(piece.key, 0) >= _SEEN for piece in pieces]
        lead = next((at for at, same in enumerate(static) if not same), len(pieces))
        head = list(range(lead))
        if self._move:
            for _, run in itertools.groupby(range(lead, len(pieces)), lambda at: static[at]):
                stretch = list(run)
                if static[stretch[0]] and _length(pieces, stretch) >= _STRETCH:
                    head += stretch
        if len(head) == len(pieces) or _length(pieces, head) < _LEAST:
            return None
        if len(head) == lead and pieces[lead - 1].block != pieces[lead].block:
            return None  # the border is there already
        moved = set(head)
        return (*head, -1, *(at for at in range(len(pieces)) if at not in moved))


def _length(pieces: Sequence[_Piece], places: Sequence[int]) -> int:
    """Characters; a document counts as enough."""
    return sum(len(text) if (text := pieces[at].text) is not None else _LEAST for at in places)


def _pieces(blocks: Sequence[Block]) -> list[_Piece]:
    out: list[_Piece] = []
    for at, block in enumerate(blocks):
        if not isinstance(block, Text) or block.citations or block.extras:
            out.append(_Piece(at, None, hash(repr(block))))
            continue
        start = 0
        for border in [*_LINES.finditer(block.text), None]:
            end = border.end() if border is not None else len(block.text)
            if end > start:
                out.append(_Piece(at, block.text[start:end], hash(block.text[start:end])))
            start = end
    return out


def _written(blocks: Sequence[Block], pieces: Sequence[_Piece], order: Sequence[int]) -> tuple[Block, ...]:
    out: list[Block] = []
    texts: list[str] = []
    last = -1

    def close() -> None:
        if texts:
            out.append(Text("".join(texts)))
            texts.clear()

    for at in order:
        if at < 0:
            close()
            continue
        piece = pieces[at]
        if piece.block != last:
            close()
            last = piece.block
        if piece.text is None:
            out.append(blocks[piece.block])
        else:
            texts.append(piece.text)
    close()
    return tuple(out)
