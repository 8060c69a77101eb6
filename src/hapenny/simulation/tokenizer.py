"""The provider's own tokenizer, hidden from everybody else.

A vocabulary that nobody had to write down: a piece of text is a token when a keyed hash says so, with a chance that
falls with its length and rises for plain letters. Text is cut into runs as byte-pair tokenizers do (letters with the
space before them, up to three digits, marks, spaces, East Asian runs), each run is then covered greedily with the
longest pieces of the vocabulary. Words thus have fixed costs that no formula over lengths or bytes can know exactly,
but that average out the way real vocabularies do.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache

_RUN = re.compile(
    r"'(?:s|t|re|ve|m|ll|d)(?![A-Za-z])| ?[A-Za-z]+|\d{1,3}| ?[^\W\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
    r"|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[\s]+| ?[^\w\s]{1,3}|."
)
_EAST = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")

# The chance, in 1/65536, that a piece of 1, 2, 3 … letters is in the vocabulary: short words are one token, as in
# vocabularies learned from text.
_PLAIN = (65536, 65536, 65536, 65536, 65200, 64000, 61500, 58500, 54000, 49000, 43000, 36000, 29000, 22000)
_FINE = (65536, 57000, 44000, 33000, 24000, 17000, 11000, 7000, 4000)
_ACCENT = (65536, 52000, 36000, 24000, 14000, 8000, 4000)
_ASIAN = (52000, 21000, 6000)

MESSAGE = 4
"""Tokens around each message."""
REQUEST = 3
"""Tokens around the whole prompt."""
TOOLS = 290
"""Tokens of the system text that providers add when tools are given."""


class Tokenizer:
    """Counts and cuts text. `name` seeds the vocabulary; a `fine` one knows fewer and shorter pieces of plain text."""

    def __init__(self, name: str, *, fine: bool = False) -> None:
        self._salt = zlib.crc32(name.encode())
        self._plain = _FINE if fine else _PLAIN
        self._runs: dict[str, int] = {}
        self._texts: dict[str, int] = {}

    def count(self, text: str) -> int:
        """Tokens of `text`."""
        known = self._texts.get(text)
        if known is not None:
            return known
        runs = self._runs
        total = 0
        for run in _RUN.findall(text):
            cost = runs.get(run)
            total += cost if cost is not None else self._learn(run)
        if len(self._texts) >= 4096:
            self._texts.clear()
        self._texts[text] = total
        return total

    def pieces(self, text: str) -> list[tuple[str, int]]:
        """`text` cut into runs, each with its tokens; the runs join to `text` again."""
        runs = self._runs
        return [(run, runs[run] if run in runs else self._learn(run)) for run in _RUN.findall(text)]

    def _learn(self, run: str) -> int:
        cost = self._cost(run)
        if len(self._runs) >= 200_000:
            self._runs.clear()
        self._runs[run] = cost
        return cost

    def _cost(self, run: str) -> int:
        word = run.strip(" ")
        if not word or not word[0].isalpha():
            if run.isspace():
                return max(1, len(run) // 8)
            return 1 if len(word) < 3 or word[0] == word[-1] or word[1].isalpha() else 2
        if _EAST.match(word):
            return self._cover(word, _ASIAN, single=2)
        if word.isascii():
            folded = word.lower()
            extra = 1 if word.isupper() and len(word) > 3 else 0
            return self._cover(folded, self._plain, single=1) + extra
        return self._cover(word.lower(), _ACCENT, single=2)

    def _cover(self, word: str, chances: tuple[int, ...], single: int) -> int:
        tokens, at, end = 0, 0, len(word)
        while at < end:
            size = min(len(chances), end - at)
            while size > 1 and not self._has(word[at : at + size], chances[size - 1]):
                size -= 1
            if size == 1 and single > 1 and not self._has(word[at], chances[0]):
                tokens += single
            else:
                tokens += 1
            at += size
        return tokens

    def _has(self, piece: str, chance: int) -> bool:
        return (zlib.crc32(piece.encode(), self._salt) >> 8 & 0xFFFF) < chance


@lru_cache(maxsize=64)
def tokenizer(hint: str) -> Tokenizer:
    """The tokenizer behind a catalog card's hint. The one Claude has had since 4.7 makes more tokens of plain text."""
    return Tokenizer(hint or "plain", fine=hint == "claude-2")
