"""Splits a document by its structure into chunks of a wanted size: whole sentences, lines and rows, with overlap."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from hapenny.retrieval.blocks import Section, Unit, fitting, sections, units
from hapenny.retrieval.documents import Document

__all__ = ["Chunking", "Section", "chunk", "estimate", "pack", "sections", "sentences"]

Counter = Callable[[str], int]

_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[^\sa-z])|(?<=[。！？])|\n+")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+|[^\w\s]")


class Chunking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`size` and `overlap` in estimated tokens. `headings`: chunks never cross a heading and carry its path."""

    size: int = 256
    overlap: int = 32
    headings: bool = True

    def __post_init__(self) -> None:
        if self.size < 16 or not 0 <= self.overlap < self.size:
            raise ValueError(f"size {self.size}, overlap {self.overlap}; use a size of 16 up and a smaller overlap")


def estimate(text: str) -> int:
    """Tokens of a text, about: a CJK character, a mark or four letters of a word each."""
    return sum(1 if len(piece) < 5 else (len(piece) + 3) // 4 for piece in _WORD.findall(text))


def sentences(text: str) -> list[str]:
    """Sentences in order; joined by blanks they give the text back up to white space."""
    return [part.strip() for part in _SENTENCE.split(text) if part and part.strip()]


def pack(
    parts: Sequence[str], size: int, overlap: int, count: Counter = estimate, extra: Sequence[int] = ()
) -> list[tuple[int, int]]:
    """Ranges [start, end) of parts whose sum stays within `size`; the next range starts `overlap` tokens back.

    A part longer than `size` is a range of its own. Every part is in a range, and ranges move forward. `extra`: what a
    range that begins with a part costs besides.
    """
    costs = [count(part) for part in parts]
    more = extra or [0] * len(costs)
    ranges: list[tuple[int, int]] = []
    start = 0
    while start < len(parts):
        end, total = start, more[start]
        while end < len(parts) and (end == start or total + costs[end] <= size):
            total += costs[end]
            end += 1
        ranges.append((start, end))
        if end >= len(parts):
            break
        back, kept = end, 0
        while back - 1 > start and kept + costs[back - 1] <= overlap:
            back -= 1
            kept += costs[back]
        # Overlap gives way to the next part: every range must bring something new.
        while back < end and kept + costs[end] + more[back] > size:
            kept -= costs[back]
            back += 1
        start = back
    return ranges


def chunk(document: Document, how: Chunking | None = None, count: Counter = estimate) -> list[Document]:
    """Chunks of a document: ids `ID#n`, the title with the heading path, all metadata carried along.

    A document that fits in one chunk stays as it is. A chunk that begins inside a table begins with the table's head,
    one that begins or ends inside fenced code is fenced. One without text and title has none: there is nothing to find.
    """
    if not document.text.strip() and not document.title:
        return []
    how = how or Chunking()
    parts = sections(document.text) if how.headings else [Section((), document.text)]
    if len(parts) <= 1 and count(document.text) <= how.size:
        return [document]
    made: list[Document] = []
    for section in parts:
        whole = list(fitting(units(section.text), how.size, count))
        title = " > ".join(dict.fromkeys(name for name in (document.title, *section.path) if name))
        extra = [count(unit.above) if unit.above else 0 for unit in whole]
        for start, end in pack([unit.text for unit in whole], how.size, how.overlap, count, extra):
            made.append(
                msgspec.structs.replace(
                    document,
                    id=f"{document.id}#{len(made)}",
                    title=title,
                    text=_joined(whole[start:end]),
                    parent=document.id,
                    ordinal=len(made),
                )
            )
    return made or [document]


def _joined(run: Sequence[Unit]) -> str:
    parts = [run[0].above, "\n"] if run[0].above else []
    parts.append(run[0].text)
    for unit in run[1:]:
        parts += [unit.joint, unit.text]
    if run[-1].below:
        parts += ["\n", run[-1].below]
    return "".join(parts)
