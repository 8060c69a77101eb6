"""The labelled lines, and how findings are counted against them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
_ITEM = re.compile(r"⟦([a-z_]+):([^⟧]*)⟧")


class Item(NamedTuple):
    """A labelled or a found item: its kind, and where it stands."""

    kind: str
    start: int
    end: int


class Line(NamedTuple):
    """A line without its labels, and what they said."""

    language: str
    text: str
    items: tuple[Item, ...]


def read(half: str) -> list[Line]:
    """The lines of `development` or `kept_apart`."""
    lines = []
    for raw in (HERE / f"{half}.tsv").read_text(encoding="utf-8").splitlines():
        language, marked = raw.split("\t", 1)
        text, items, at = "", [], 0
        for match in _ITEM.finditer(marked):
            text += marked[at : match.start()]
            items.append(Item(match[1], len(text), len(text) + len(match[2])))
            text += match[2]
            at = match.end()
        lines.append(Line(language, text + marked[at:], tuple(items)))
    return lines


def read_injections(half: str) -> list[tuple[str, str]]:
    """(class, text) of `development` or `kept_apart`."""
    raw = (HERE / f"injection_{half}.tsv").read_text(encoding="utf-8").splitlines()
    unseen = re.compile(r"\\(?:u[0-9a-f]{4}|U[0-9a-f]{8})")
    return [
        (name, unseen.sub(lambda match: chr(int(match[0][2:], 16)), text))
        for name, text in (line.split("\t", 1) for line in raw)
    ]


class Count(NamedTuple):
    """Items that were labelled, those of them that were covered, findings, and those of them that were right."""

    labelled: int = 0
    covered: int = 0
    found: int = 0
    right: int = 0

    def __add__(self, other: object) -> Count:
        assert isinstance(other, Count)
        return Count(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    @property
    def recall(self) -> float:
        """Of what was labelled, how much was covered whole."""
        return self.covered / self.labelled if self.labelled else 1.0

    @property
    def precision(self) -> float:
        """Of what was found, how much was right."""
        return self.right / self.found if self.found else 1.0


def score(lines: Iterable[Line], find: Callable[[str], Sequence[Item]]) -> dict[tuple[str, str], Count]:
    """Counts by (language, kind).

    A labelled item is covered where findings of its kind hold every letter and digit of it. A finding is right where it
    overlaps an item of its kind and holds at most three letters or digits besides; for addresses, whose end is a matter
    of taste, half of the item is enough and what stands besides is not counted.
    """
    counts: dict[tuple[str, str], Count] = {}
    for line in lines:
        found = find(line.text)
        for item in line.items:
            spans = [each for each in found if each.kind == item.kind]
            held = _characters(line.text, [item], spans)
            wanted = _characters(line.text, [item], [item])
            whole = held * 2 >= wanted if item.kind == "address" else held == wanted
            key = line.language, item.kind
            counts[key] = counts.get(key, Count()) + Count(labelled=1, covered=int(whole))
        for each in found:
            same = [item for item in line.items if item.kind == each.kind]
            inside = _characters(line.text, [each], same)
            besides = _characters(line.text, [each], [each]) - inside
            right = inside > 0 and (besides <= 3 or each.kind == "address")
            key = line.language, each.kind
            counts[key] = counts.get(key, Count()) + Count(found=1, right=int(right))
    return counts


def _characters(text: str, these: Sequence[Item], those: Sequence[Item]) -> int:
    """Letters and digits that are in both."""
    return sum(
        text[place].isalnum()
        for one in these
        for place in range(one.start, one.end)
        if any(other.start <= place < other.end for other in those)
    )
