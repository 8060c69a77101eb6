"""Topics that an operator denies, by phrases.

A phrase is what stands in the text, whatever its case, width and line breaks; `*` stands for up to 40 characters.
There are no regular expressions in it, so nobody can write one whose work explodes: the parts of a phrase are looked
for one after the other, and joined where they stand close enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from hapenny.guarding.normal import normal

GAP: Final = 40
"""Characters that `*` may stand for."""
LONGEST: Final = 160
"""Characters of the longest phrase."""


class Mention(NamedTuple):
    """A phrase of a topic, at characters `start` to `end`."""

    start: int
    end: int
    topic: str


class _Phrase(NamedTuple):
    topic: str
    parts: tuple[str, ...]
    reach: int
    """Characters of its longest form."""


class _Head(NamedTuple):
    """How phrases begin."""

    text: str
    reach: int
    """Of the longest of them."""
    phrases: tuple[_Phrase, ...]


class Topics:
    """Finds denied topics.

    Args:
        topics: phrases by topic.

    Raises:
        ValueError: a phrase is empty, too long, or begins or ends with `*`.
    """

    def __init__(self, topics: Mapping[str, Iterable[str]]) -> None:
        by_head: dict[str, list[_Phrase]] = {}  # many phrases begin alike, and most texts have few of the beginnings
        for name, phrases in topics.items():
            for each in phrases:
                known = phrase(name, each)
                by_head.setdefault(known.parts[0], []).append(known)
        self._heads = tuple(
            _Head(text, max(each.reach for each in same), tuple(same)) for text, same in by_head.items()
        )
        self._begun = frozenset(head.text[:size] for head in self._heads for size in range(1, len(head.text) + 1))
        self._longest = max((len(head.text) for head in self._heads), default=0)
        self.reach = max((head.reach for head in self._heads), default=0)
        """Characters of the longest form of any phrase."""

    def __bool__(self) -> bool:
        return bool(self._heads)

    def find(self, text: str, start: int = 0, before: int | None = None) -> Mention | None:
        """The first mention in a text in normal form that begins at or behind `start`, and before `before`."""
        small = plain(text)
        first: Mention | None = None
        for head in self._heads:
            if small.find(head.text, start) < 0:
                continue
            places = [(at, at + len(head.text)) for at in _places(small, head.text, start)]
            for each in head.phrases:
                place = _first(each, small, places)
                if place is not None and (before is None or place[0] < before) and (first is None or place < first[:2]):
                    first = Mention(*place, each.topic)
        return first

    def open_from(self, text: str, start: int) -> int:
        """From where on the end of a text in normal form may become a phrase; the text's length: nowhere."""
        small = plain(text)
        length = least = len(small)
        for head in self._heads:  # what has begun
            at = small.find(head.text, max(start, length - head.reach))
            while 0 <= at < least:
                end = at + len(head.text)
                if _apart(small, at, end, ends=end < length):
                    least = at
                at = small.find(head.text, at + 1)
        for size in range(min(self._longest, length - start), length - least, -1):  # what may be about to begin
            if small[length - size :] in self._begun and _apart(small, length - size, length, ends=False):
                least = length - size
                break
        return max(start, min(least, len(text)))


def plain(text: str) -> str:
    """A text in normal form as phrases are compared: in small letters, each white space a blank."""
    return text.lower().replace("\n", " ").replace("\t", " ").replace("\r", " ")


def phrase(topic: str, written: str) -> _Phrase:
    """A phrase as it is looked for. Raises `ValueError`."""
    parts = tuple(" ".join(plain(normal(part).text).split()) for part in written.split("*"))
    if not all(parts):
        raise ValueError(f"{written!r}: a phrase begins and ends with words, and has words between any two *")
    if sum(map(len, parts)) > LONGEST:
        raise ValueError(f"{written[:20]!r}…: a phrase has at most {LONGEST} characters")
    return _Phrase(topic, parts, sum(map(len, parts)) + GAP * (len(parts) - 1) + 1)


def _first(each: _Phrase, text: str, ends: list[tuple[int, int]]) -> tuple[int, int] | None:
    """Where a phrase stands first, given the places (begin of all, end so far) of its first part. Each further part's
    places are joined with the nearest end of what comes before it."""
    for part in each.parts[1:]:
        if not ends:
            return None
        joined, index = [], 0
        for at in _places(text, part, ends[0][1]):
            while index + 1 < len(ends) and ends[index + 1][1] <= at:
                index += 1
            if ends[index][1] <= at <= ends[index][1] + GAP:
                joined.append((ends[index][0], at + len(part)))
        ends = joined
    return ends[0] if ends else None


def _places(text: str, part: str, start: int) -> Iterable[int]:
    at = text.find(part, start)
    while at >= 0:
        if _apart(text, at, at + len(part)):
            yield at
        at = text.find(part, at + 1)


def _apart(text: str, start: int, end: int, *, ends: bool = True) -> bool:
    """Whether what stands there is no part of a longer word; words are told apart in Latin script alone."""
    if start > 0 and _latin(text[start]) and _latin(text[start - 1]):
        return False
    return not (ends and end < len(text) and _latin(text[end - 1]) and _latin(text[end]))


def _latin(character: str) -> bool:
    return character < "\u2000" and (character.isalnum() or character == "_")
