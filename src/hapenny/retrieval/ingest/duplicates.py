"""Which texts say the same: exact ones, which are kept once, and near ones, which are only reported.

Theory of operation: two chunks are the same when they have the same words, numbers and signs in the same order, the
same facets and numbers, and the same readers; blanks and marks of punctuation do not count. What differs in anything
else (a name, a figure, a "not") is another chunk, however alike. `Sketches` estimate how alike texts are, by MinHash
signatures in bands (Broder 1997; Leskovec, Rajaraman and Ullman, chapter 3), for the report of a build.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from hapenny.retrieval.documents import Document

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d]+|[^\s.,;:!?\"'“”‘’„«»()\[\]{}*_`、。！？，；：「」『』…]")
_SHINGLE = 5
_REMEMBERED = 200_000
"""Texts of a run that later ones are compared with."""


def wording(document: Document) -> bytes:
    """16 bytes that two chunks share when one may stand for the other."""
    text = unicodedata.normalize("NFC", document.searchable())
    content = (
        _TOKEN.findall(text),
        sorted((name, sorted(values)) for name, values in document.facets.items()),
        sorted(document.numbers.items()),
        document.tenant,
        sorted(document.groups),
    )
    return hashlib.blake2b(msgspec.msgpack.encode(content), digest_size=16).digest()


class Sketches:
    """Remembers texts and names the first one that a new text nearly repeats.

    A signature is the minimum of each of `hashes` independent 64-bit hashes over the word shingles of a text; the share
    of equal minima estimates the Jaccard likeness J with a standard error of sqrt(J (1 - J) / hashes).
    """

    def __init__(self, likeness: float = 0.9, hashes: int = 64, bands: int = 8, seed: int = 3) -> None:
        self._seeds = np.random.default_rng(seed).integers(0, 1 << 63, hashes, dtype=np.uint64)
        self._likeness = likeness
        self._width = hashes // bands
        self._seen: dict[tuple[int, bytes], str] = {}
        self._signatures: dict[str, NDArray[np.uint32]] = {}

    def add(self, key: str, words: Sequence[str]) -> tuple[str, float] | None:
        """Files a text under `key`; the earlier text it nearly repeats, with how alike they are, if there is one."""
        own = self.signature(words)
        bands = [
            (band, own[band * self._width : (band + 1) * self._width].tobytes())
            for band in range(len(own) // self._width)
        ]
        near: tuple[str, float] | None = None
        for other in dict.fromkeys(self._seen[band] for band in bands if band in self._seen):
            alike = likeness(self._signatures[other], own)
            if other != key and alike >= max(self._likeness, near[1] if near else 0.0):
                near = other, alike
        if len(self._signatures) < _REMEMBERED:
            self._signatures[key] = own
            for band in bands:
                self._seen.setdefault(band, key)
        return near

    def signature(self, words: Sequence[str]) -> NDArray[np.uint32]:
        """The signature of a text, shape (hashes,)."""
        shingles = {" ".join(words[i : i + _SHINGLE]) for i in range(max(1, len(words) - _SHINGLE + 1))}
        digests = b"".join(hashlib.blake2b(each.encode(), digest_size=8).digest() for each in shingles)
        base = np.frombuffer(digests, np.uint64)
        return np.asarray(_mixed(base[:, None] ^ self._seeds).min(axis=0) >> np.uint64(32), np.uint32)


def likeness(one: NDArray[np.uint32], two: NDArray[np.uint32]) -> float:
    """The estimate of two texts' Jaccard likeness by their signatures."""
    return float((one == two).mean())


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64 bits in which every bit depends on every other (splitmix64's finaliser, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)), np.uint64)
