"""An embedder of hashed words and character trigrams: no model, no dependency beyond numpy.

Signed feature hashing (Weinberger et al. 2009) of lower-cased words (weight 1) and of the trigrams inside each word
(weight .35 together). Good enough to find near-identical wordings; it knows no synonyms.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from hapenny.vectors.embedder import Vectors, unit

_WORD = re.compile(r"\w+", re.UNICODE)
_TRIGRAMS = 0.35


class HashedEmbedder:
    """Deterministic everywhere: the same text has the same vector on every machine and Python."""

    def __init__(self, dim: int = 512) -> None:
        if dim < 16:
            raise ValueError(f"dim: {dim} is too small for hashed features; use at least 16")
        self._dim = dim

    @property
    def name(self) -> str:
        """Model and size."""
        return f"hashed-{self._dim}"

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self._dim

    def encode(self, texts: Sequence[str]) -> Vectors:
        """As `embed`, at once: about 30 us for a short text."""
        out = np.zeros((len(texts), self._dim), dtype=np.float32)
        for row, text in zip(out, texts, strict=True):
            for word in _WORD.findall(text.lower()):
                for slot, weight in _features(word):
                    row[slot % self._dim] += weight
        return unit(out)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, shape (n, dim)."""
        return self.encode(texts)


@lru_cache(maxsize=65_536)
def _features(word: str) -> tuple[tuple[int, float], ...]:
    """Hash slot and signed weight of a word and its trigrams."""
    padded = f"<{word}>"
    grams = [padded[i : i + 3] for i in range(len(padded) - 2)]
    parts = [(word, 1.0)] + [("#" + gram, _TRIGRAMS / len(grams)) for gram in grams]
    out = []
    for part, weight in parts:
        code = zlib.crc32(part.encode())
        out.append((code >> 1, weight if code & 1 else -weight))
    return tuple(out)
