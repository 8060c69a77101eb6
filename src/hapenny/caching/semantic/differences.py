"""Which words matter: how often the found answer was wrong when the two questions differed in a word.

"Wake me at seven" and "wake me at eight" differ in a word that changed the answer before; "please" did not. Every
verified label counts for each stem that only one of the two questions has. Kept in hashed buckets: bounded, cheap, and
nothing from which a text could be told.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable

import numpy as np

BUCKETS = 16_384
_PRIOR = 3.0
"""Pseudo-labels at the error of all labels, for a word rarely seen."""


class Differences:
    """Verified labels by differing stem, pooled over a route."""

    def __init__(self) -> None:
        self._right = [0] * BUCKETS
        self._wrong = [0] * BUCKETS
        self._rights = self._wrongs = 1

    def worst(self, stems: Iterable[str]) -> float:
        """The largest log odds of "wrong" among differing stems, relative to all labels; 0 for none or unknown."""
        base = self._wrongs / (self._wrongs + self._rights)
        wrong, right = _PRIOR * base, _PRIOR * (1 - base)
        worst = 0.0
        for number, stem in enumerate(stems):
            at = zlib.crc32(stem.encode()) % BUCKETS
            odds = (self._wrong[at] + wrong) / (self._right[at] + right)
            worst = odds if number == 0 else max(worst, odds)
        return math.log(worst * (1 - base) / base) if worst else 0.0

    def learn(self, stems: Iterable[str], wrong: bool) -> None:
        """Counts a label for each differing stem."""
        table = self._wrong if wrong else self._right
        for stem in stems:
            table[zlib.crc32(stem.encode()) % BUCKETS] += 1
        self._wrongs += wrong
        self._rights += not wrong

    def dumps(self) -> bytes:
        """Counts alone, compressed."""
        counts = np.array([[self._rights, *self._right], [self._wrongs, *self._wrong]], "<u4")
        return zlib.compress(counts.tobytes(), 1)

    def loads(self, data: bytes) -> None:
        """Takes over a dump; ValueError for one of another shape."""
        try:
            counts = np.frombuffer(zlib.decompress(data), "<u4")
        except zlib.error as broken:
            raise ValueError("word records of another version") from broken
        if len(counts) != 2 * (BUCKETS + 1):
            raise ValueError("word records of another version")
        right, wrong = counts.reshape(2, -1).tolist()
        self._rights, self._right = right[0], right[1:]
        self._wrongs, self._wrong = wrong[0], wrong[1:]
