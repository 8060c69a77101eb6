"""Brings query words into the collection's vocabulary: run-together and misspelt words, for the lexical leg.

Only words the collection does not know are touched; a known word is never corrected. A split into two known words
wins over a spelling one edit away (Norvig, "How to Write a Spelling Corrector"), the more frequent over the rarer.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator

Frequency = Callable[[str], int]
"""Documents that hold a word (after stemming); 0 if none."""

_SHORTEST_PART = 3
_SHORTEST_SPELT = 5


def repair(word: str, frequency: Frequency, least: int = 2) -> list[str]:
    """The words to search in place of `word`: itself when it is known, a number, or nothing better is found."""
    if not word.isalpha() or len(word) < _SHORTEST_SPELT or frequency(word):
        return [word]
    best: tuple[int, list[str]] = (0, [word])
    for at in range(_SHORTEST_PART, len(word) - _SHORTEST_PART + 1):
        left, right = word[:at], word[at:]
        weight = min(frequency(left), frequency(right))
        if weight > best[0]:
            best = (weight, [left, right])
    if best[0] >= least:
        return best[1]
    weight, spelt = max(((frequency(each), each) for each in _edits(word)), default=(0, word))
    return [spelt] if weight >= least else [word]


def _edits(word: str) -> Iterator[str]:
    """Words one deletion, transposition, replacement or insertion away; the first letter is kept (rarely wrong)."""
    for at in range(1, len(word) + 1):
        head, tail = word[:at], word[at:]
        if tail:
            yield head + tail[1:]
            if len(tail) > 1:
                yield head + tail[1] + tail[0] + tail[2:]
        for letter in string.ascii_lowercase:
            if tail and letter != tail[0]:
                yield head + letter + tail[1:]
            yield head + letter + tail
