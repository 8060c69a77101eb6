"""Evidence cut into pieces that belong together: passages in tags, paragraphs, numbered sources, sections, records.

Where the borders are missed, the value of one record would seem to stand beside the name of another; so all forms are
cut in which applications put retrieved text and in which tools return lists. Cut too finely a piece carries less than
it might, which costs a dear answer and never a wrong one. Linear in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_TAGS = (
    "document|doc|passage|context|chunk|source|result|search_result|snippet|excerpt|reference|citation|article|page|"
    "section|entry|record|row|item|product|hit|node|content"
)
_TAG = rf"</?(?:{_TAGS})s?\b[^<>\n]{{0,200}}>"
_NUMBERED = (
    r"\n(?=[ \t]{0,8}(?:[-*•][ \t]+)?(?:\[\^?\d{1,4}\]|\(\d{1,4}\)|\d{1,4}[.)][ \t]|"
    r"(?:source|document|passage|doc|chunk|result|snippet|excerpt)[ \t]?#?\d{1,4}\b))"
)
_RULER = r"\n[ \t]*(?:-{3,}|={3,}|\*{3,}|_{3,})[ \t]*(?=\n)"
_ROW = r"\n(?=[ \t]*\|)"
_BORDER = re.compile("|".join((r"\n[ \t\r]*\n", _TAG, _NUMBERED, _RULER, _ROW)), re.IGNORECASE)
_HEADING = re.compile(r"^(#{1,6})[ \t]", re.MULTILINE)
_JSON = re.compile(r"""\{(?=\s{0,200}["}])|\[(?=\s{0,200}[\[{"])""")
_DECODER = json.JSONDecoder()
_INDENT = 80
"""Characters that are looked at beside a value to see whether it stands alone."""
_VALUES = 4_000
"""Values of a text that are told apart at most."""
_DEEP = 40
"""Levels of a record that are looked into."""
_TIMES = 8
"""How much longer than a text its records may be in all, since what stands beside a list is repeated with each."""


def pieces(text: str) -> list[str]:
    """The pieces of a text that are not blank."""
    made: list[str] = []
    for each in _told(text):
        if isinstance(each, list):
            made += each
            continue
        for part in _cut(each):
            for inner in _told(part):
                made += inner if isinstance(inner, list) else [inner]
    return [piece for piece in made if piece.strip()]


def _cut(text: str) -> list[str]:
    """A text at its borders."""
    parts = _BORDER.split(text)
    depths = {len(match) for match in _HEADING.findall(text)}
    if not depths:
        return parts
    # Sections below the topmost heading stay with it: their title alone seldom names what they are about.
    top = re.compile(rf"\n(?=#{{{min(depths)}}}[ \t])")
    return [each for part in parts for each in top.split(part)]


def _told(text: str) -> Iterator[str | list[str]]:
    """A text, the JSON in it told apart: for each value its records. One record in the midst of a line stays there."""
    told = place = 0
    for _ in range(_VALUES):
        begin = _JSON.search(text, place)
        if begin is None:
            break
        try:
            value, place = _DECODER.raw_decode(text, begin.start())
        except (ValueError, RecursionError):
            break
        records = _records(value, place - begin.start())
        if len(records) != 1 or _alone(text, begin.start(), place):
            yield text[told : begin.start()]
            yield records
            told = place
    yield text[told:]


def _alone(text: str, begin: int, end: int) -> bool:
    """Whether nothing else stands on the lines from `begin` to `end`."""
    before = text[max(0, begin - _INDENT) : begin].rpartition("\n")[2]
    after = text[end : end + _INDENT].partition("\n")[0]
    return not before.strip() and not after.strip(" \t\r,;")


def _records(value: Any, length: int) -> list[str]:
    """Each object of a list by itself, with what stands beside the list. Empty where they would be much longer than the
    text, of `length` characters: nothing is carried by what cannot be told apart."""
    made: list[str] = []
    left = _TIMES * length
    try:
        for each in _Parts(left).of(value, _DEEP):
            made.append(json.dumps(each, ensure_ascii=False))
            left -= len(made[-1])
            if left < 0:
                return []
    except (_TooLongError, RecursionError):
        return []
    return made


class _TooLongError(Exception):
    """The records would be much longer than the text."""


class _Parts:
    """Tells values apart. `left`: fields that may be repeated."""

    def __init__(self, left: int) -> None:
        self._left = left

    def of(self, value: Any, deep: int) -> list[Any]:
        """The parts of a value that stand for themselves, itself where it has none; `deep`: levels that are looked
        into. Each value is looked at once."""
        if not deep:
            return [value]
        if isinstance(value, list):
            if len(value) == 1:
                return self.of(value[0], deep - 1)
            if not any(isinstance(each, dict | list) for each in value):
                return [value]
            return [part for each in value for part in self.of(each, deep - 1)]
        if not isinstance(value, dict):
            return [value]
        several = {
            name: parts
            for name, inner in value.items()
            if isinstance(inner, dict | list) and len(parts := self.of(inner, deep - 1)) > 1
        }
        if not several:
            return [value]
        beside = {name: inner for name, inner in value.items() if name not in several}
        self._left -= (len(beside) + 1) * sum(map(len, several.values()))
        if self._left < 0:
            raise _TooLongError
        return [{**beside, name: part} for name, parts in several.items() for part in parts]
