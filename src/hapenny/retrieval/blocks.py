"""Markdown text as units that a chunk never cuts: sentences of prose, lines of code, rows of a table, items of a list.

Theory of operation: a chunk is a run of neighbouring units, each joined to the one before it as it was in the text. A
unit of a table or of fenced code also says what must stand above it when a chunk begins with it (the table's head, the
fence that opens the code) and below it when a chunk ends with it. Everything is read line by line, once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import msgspec

_SENTENCE = re.compile(r"(?<=[.!?…])([\"'”’)\]]*)(\s+)(?=[^\sa-z])|(?<=[。！？])")
_MARKS = re.compile(r"[-*+•]|\d{1,9}[.)]")
_UNDERLINE = re.compile(r"(?:={2,}|-{2,})[ \t]*")
_LONGEST_HEADING = 200
_CLAUSE = re.compile(r"(?<=[,;:、，；])\s*")


class Section(msgspec.Struct, frozen=True):
    """A stretch of text under one heading path."""

    path: tuple[str, ...]
    text: str


class Unit(msgspec.Struct, frozen=True):
    """What stays together. `joint`: what stands between it and the unit before. `above`, `below`: what a chunk that
    begins or ends with it needs beside it."""

    text: str
    joint: str = " "
    above: str = ""
    below: str = ""


def sections(text: str) -> list[Section]:
    """Splits Markdown at its headings; fenced code is left alone. Text without headings is one section."""
    made: list[Section] = []
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    fence = ""

    def close(next_level: int = 0) -> None:
        body = "\n".join(lines).strip("\n").rstrip()
        names = tuple(name for _, name in path)
        if body.strip():
            made.append(Section(names, body))
        elif path and path[-1][1] and next_level <= path[-1][0]:  # a heading over nothing says what it says
            made.append(Section(names, path[-1][1]))
        lines.clear()

    written = text.split("\n")
    for at, line in enumerate(written):
        if fence:
            fence = "" if _closes(line, fence) else fence
            lines.append(line)
            continue
        fence = _fence(line)
        level, name = _heading(line) if not fence else (0, "")
        if not level and not fence and lines and _underlines(line, written, at):
            level, name = (1 if line[0] == "=" else 2), lines.pop().strip()
        if not level:
            lines.append(line)
            continue
        close(level)
        path = [(depth, each) for depth, each in path if depth < level] + [(level, name)]
    close()
    return made


def units(text: str) -> list[Unit]:
    """The units of a section, in order; joined by their joints they give its text back up to blanks."""
    made: list[Unit] = []
    lines = text.split("\n")
    at = 0
    gap = ""
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            gap = "\n\n"
            at += 1
            continue
        joint = (gap or "\n") if made else ""
        fence = _fence(line)
        if fence:
            end = next((n for n in range(at + 1, len(lines)) if _closes(lines[n], fence)), len(lines))
            made += _code(lines[at : end + 1], fence, joint, closed=end < len(lines))
            at = end + 1
        elif at + 1 < len(lines) and "|" in line and _rule(lines[at + 1]):
            end = at + 2
            while end < len(lines) and "|" in lines[end] and lines[end].strip():
                end += 1
            made += _table(lines[at:end], joint)
            at = end
        else:
            end = at + 1
            while end < len(lines) and lines[end].strip() and not _fence(lines[end]) and not _listed(lines[end]):
                if end + 1 < len(lines) and "|" in lines[end] and _rule(lines[end + 1]):
                    break
                end += 1
            made += _prose("\n".join(lines[at:end]), joint)
            at = end
        gap = ""
    return made


def fitting(parts: Sequence[Unit], size: int, count: Callable[[str], int]) -> Iterator[Unit]:
    """The units, those above `size` cut at line ends, else clauses, else words, else characters."""
    for part in parts:
        if count(part.text) <= size:
            yield part
            continue
        joint = part.joint
        for piece, between in _cut(part.text, size, count):
            yield Unit(piece, joint, part.above, part.below)
            joint = between


def _cut(text: str, size: int, count: Callable[[str], int]) -> Iterator[tuple[str, str]]:
    """Pieces of at most `size`, each with what stood behind it."""
    for pieces, joint in (
        (text.split("\n"), "\n"),
        ([piece for piece in _CLAUSE.split(text) if piece], " "),
        (text.split(), " "),
    ):
        if len(pieces) > 1:
            for piece in _gathered(pieces, joint, size, count):
                if count(piece) <= size:
                    yield piece, joint
                else:
                    yield from _cut(piece, size, count)
            return
    # One word: a letter costs at most a token.
    for start in range(0, len(text), size):
        yield text[start : start + size], ""


def _gathered(pieces: Sequence[str], joint: str, size: int, count: Callable[[str], int]) -> Iterator[str]:
    """Neighbouring pieces joined while they stay within `size`."""
    group: list[str] = []
    total = 0
    for piece in pieces:
        cost = count(piece)
        if group and total + cost > size:
            yield joint.join(group)
            group, total = [], 0
        group.append(piece)
        total += cost
    yield joint.join(group)


def _prose(text: str, joint: str) -> Iterator[Unit]:
    start = 0
    for match in _SENTENCE.finditer(text):
        closing = match.end(1) if match.group(1) is not None else match.end()
        if text[start:closing].strip():
            yield Unit(text[start:closing].strip(), joint)
            joint = "\n" if "\n" in (match.group(2) or "") else " " if match.group(2) else ""
        start = match.end()
    if text[start:].strip():
        yield Unit(text[start:].strip(), joint)


def _code(lines: Sequence[str], fence: str, joint: str, *, closed: bool) -> Iterator[Unit]:
    """Lines of fenced code; the fences belong to the first and last line."""
    opening = lines[0]
    body = list(lines[1:-1] if closed else lines[1:])
    shut = fence
    if not body:
        yield Unit("\n".join(lines), joint)
        return
    for at, line in enumerate(body):
        text = f"{opening}\n{line}" if at == 0 else line
        last = at == len(body) - 1
        yield Unit(f"{text}\n{shut}" if last else text, joint, opening if at else "", "" if last else shut)
        joint = "\n"


def _table(lines: Sequence[str], joint: str) -> Iterator[Unit]:
    """Rows of a table; its head and the rule under it belong to the first row."""
    head = f"{lines[0]}\n{lines[1]}"
    if len(lines) == 2:
        yield Unit(head, joint)
    for at, line in enumerate(lines[2:]):
        yield Unit(f"{head}\n{line}" if at == 0 else line, joint, head if at else "")
        joint = "\n"


def _fence(line: str) -> str:
    """The fence that a line opens, "" if it opens none."""
    bare = line.lstrip()
    mark = bare[:1]
    if mark not in ("`", "~"):
        return ""
    length = len(bare) - len(bare.lstrip(mark))
    return mark * length if length >= 3 and (mark == "~" or "`" not in bare[length:]) else ""


def _closes(line: str, fence: str) -> bool:
    bare = line.strip()
    return bare.startswith(fence) and not bare.strip(fence[0])


def _rule(line: str) -> bool:
    """Whether a line is the rule under a table's head."""
    bare = line.strip()
    return "-" in bare and "|" in bare and not bare.strip("|-: \t")


def _listed(line: str) -> bool:
    """Whether a line begins an item of a list."""
    bare = line.lstrip()
    match = _MARKS.match(bare)
    return match is not None and bare[match.end() : match.end() + 1] in (" ", "\t")


def _underlines(line: str, lines: Sequence[str], at: int) -> bool:
    """Whether a line of `=` or `-` makes a heading of the one line of words above it."""
    if _UNDERLINE.fullmatch(line) is None or not lines[at - 1].strip() or "|" in lines[at - 1]:
        return False
    above = lines[at - 1]
    return (at == 1 or not lines[at - 2].strip()) and not _listed(above) and len(above) <= _LONGEST_HEADING


def _heading(line: str) -> tuple[int, str]:
    """Level and name of a heading; level 0 for any other line."""
    level = len(line) - len(line.lstrip("#"))
    if not 1 <= level <= 6 or not line[level:].startswith((" ", "\t")):
        return 0, ""
    return level, line[level:].strip().rstrip("#").rstrip()
