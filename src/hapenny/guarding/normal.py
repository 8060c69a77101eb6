"""A text in the form that rules read: NFKC, one kind of dash, nothing invisible; and the way back to its own places.

Theory of operation. Most characters become one character each (full-width digits and letters, wide spaces, dashes),
so a translation table is enough and places stay what they are. Only where marks are written apart from their letters
(decomposed Vietnamese, half-width kana) or something invisible stands between characters is the text taken apart, and
then every character remembers where it came from. Characters that NFKC would make several of stay as they are.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from hapenny.core.patterns import pattern

_INVISIBLE = "\u00ad\u034f\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff"
_TAGS = "\U000e0000-\U000e007f"
_MARKS = "\u0300-\u036f\u3099\u309a\uff9e\uff9f"
_APART = pattern(f"[{_INVISIBLE}{_TAGS}{_MARKS}]")
_UNSEEN = pattern(f"[{_INVISIBLE}{_TAGS}]")
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"


class _Table(dict[int, int]):
    """One character for each, made when it is first met."""

    def __missing__(self, code: int) -> int:
        written = unicodedata.normalize("NFKC", chr(code))
        self[code] = made = ord(written) if len(written) == 1 else code
        return made


_TABLE = _Table({ord(dash): ord("-") for dash in _DASHES} | {0x130: ord("I")})
"""The dotted capital I is the one letter whose small form is two characters."""


class Normal(NamedTuple):
    """A text as rules read it. `places` None: every character stands where it stood; else (from, to) of each."""

    text: str
    places: list[tuple[int, int]] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where the characters `start` to `end` (at least one) stand in the text as it was."""
        if self.places is None:
            return start, end
        return self.places[start][0], self.places[end - 1][1]

    def place(self, at: int, length: int) -> int:
        """Where character `at` begins in the text as it was, which is `length` long; behind the last: its end."""
        if self.places is None:
            return at
        return self.places[at][0] if at < len(self.places) else length

    def at(self, place: int) -> int:
        """The first character that does not begin before `place` of the text as it was."""
        if self.places is None:
            return place
        low, high = 0, len(self.places)
        while low < high:
            middle = (low + high) // 2
            if self.places[middle][0] < place:
                low = middle + 1
            else:
                high = middle
        return low


def normal(text: str) -> Normal:
    """`text` as rules read it."""
    plain = simple(text)
    return Normal(plain) if plain is not None else _apart(text)


def simple(text: str) -> str | None:
    """`text` in normal form where each of its characters becomes one, whatever is beside it; None: not so."""
    if text.isascii():
        return text
    return text.translate(_TABLE) if _APART.search(text) is None else None


def _apart(text: str) -> Normal:
    characters: list[str] = []
    places: list[tuple[int, int]] = []
    for index, character in enumerate(text.translate(_TABLE)):
        if _APART.match(character):
            if _UNSEEN.match(character):
                continue
            mark = {"\uff9e": "\u3099", "\uff9f": "\u309a"}.get(character, character)
            if characters:
                joined = unicodedata.normalize("NFC", characters[-1] + mark)
                if len(joined) == 1:
                    characters[-1], places[-1] = joined, (places[-1][0], index + 1)
                    continue
        characters.append(character)
        places.append((index, index + 1))
    return Normal("".join(characters), places)
