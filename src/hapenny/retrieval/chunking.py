"""Splits a document by its structure into chunks of a wanted size, whole sentences with whole-sentence overlap."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from hapenny.retrieval.documents import Document

Counter = Callable[[str], int]

_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"^\s*(```|~~~)")
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


class Section(msgspec.Struct, frozen=True):
    """A stretch of text under one heading path."""

    path: tuple[str, ...]
    text: str


def estimate(text: str) -> int:
    """Tokens of a text, about: a CJK character, a mark or four letters of a word each."""
    return sum(1 if len(piece) < 5 else (len(piece) + 3) // 4 for piece in _WORD.findall(text))


def sentences(text: str) -> list[str]:
    """Sentences in order; joined by blanks they give the text back up to white space."""
    return [part.strip() for part in _SENTENCE.split(text) if part and part.strip()]


def sections(text: str) -> list[Section]:
    """Splits Markdown at its headings; fenced code is left alone. Text without headings is one section."""
    found: list[Section] = []
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    fenced = False

    def close() -> None:
        body = "\n".join(lines).strip()
        if body:
            found.append(Section(tuple(name for _, name in path), body))
        lines.clear()

    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        heading = None if fenced else _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        close()
        level = len(heading[1])
        path = [(depth, name) for depth, name in path if depth < level] + [(level, heading[2])]
    close()
    return found


def pack(parts: Sequence[str], size: int, overlap: int, count: Counter = estimate) -> list[tuple[int, int]]:
    """Ranges [start, end) of sentences whose sum stays within `size`; the next range starts `overlap` tokens back.

    A sentence longer than `size` is a range of its own. Every sentence is in a range, and ranges move forward.
    """
    costs = [count(part) for part in parts]
    ranges: list[tuple[int, int]] = []
    start = 0
    while start < len(parts):
        end, total = start, 0
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
        # Overlap gives way to the next sentence: every range must bring something new.
        while back < end and kept + costs[end] > size:
            kept -= costs[back]
            back += 1
        start = back
    return ranges


def chunk(document: Document, how: Chunking | None = None, count: Counter = estimate) -> list[Document]:
    """Chunks of a document: ids `ID#n`, the title with the heading path, all metadata carried along.

    A document that fits in one chunk stays as it is.
    """
    how = how or Chunking()
    parts = sections(document.text) if how.headings else [Section((), document.text)]
    if len(parts) <= 1 and count(document.text) <= how.size:
        return [document]
    made: list[Document] = []
    for section in parts:
        whole = sentences(section.text)
        title = " > ".join(dict.fromkeys(name for name in (document.title, *section.path) if name))
        for start, end in pack(whole, how.size, how.overlap, count):
            made.append(
                msgspec.structs.replace(
                    document,
                    id=f"{document.id}#{len(made)}",
                    title=title,
                    text=" ".join(whole[start:end]),
                    parent=document.id,
                    ordinal=len(made),
                )
            )
    return made or [document]
