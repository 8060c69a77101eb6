"""Near-duplicate texts by MinHash signatures in bands (Broder 1997; Leskovec, Rajaraman and Ullman, chapter 3)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_PRIME = (1 << 61) - 1
_SHINGLE = 5


class NearDuplicates:
    """Remembers texts and names the first one that a new text nearly repeats.

    Texts with a Jaccard likeness of word shingles above `likeness` are found with high probability; every find is
    checked against the signature, so unlike texts are not merged.
    """

    def __init__(self, likeness: float = 0.9, hashes: int = 64, bands: int = 8, seed: int = 3) -> None:
        chance = np.random.default_rng(seed)
        self._a = chance.integers(1, 1 << 31, hashes, dtype=np.uint64)
        self._b = chance.integers(0, 1 << 31, hashes, dtype=np.uint64)
        self._likeness = likeness
        self._width = hashes // bands
        self._seen: dict[tuple[int, bytes], list[str]] = {}
        self._signatures: dict[str, NDArray[np.uint64]] = {}

    def add(self, key: str, words: Sequence[str]) -> str | None:
        """Files a text under `key`; returns the key of an earlier near-duplicate instead, if there is one."""
        signature = self._signature(words)
        bands = [
            (band, signature[band * self._width : (band + 1) * self._width].tobytes())
            for band in range(len(signature) // self._width)
        ]
        for other in dict.fromkeys(each for band in bands for each in self._seen.get(band, ())):
            if other != key and float((self._signatures[other] == signature).mean()) >= self._likeness:
                return other
        self._signatures[key] = signature
        for band in bands:
            self._seen.setdefault(band, []).append(key)
        return None

    def _signature(self, words: Sequence[str]) -> NDArray[np.uint64]:
        shingles = {" ".join(words[i : i + _SHINGLE]) for i in range(max(1, len(words) - _SHINGLE + 1))}
        base = np.array([zlib.crc32(each.encode()) for each in shingles], np.uint64)
        return np.asarray(((base[:, None] * self._a + self._b) % np.uint64(_PRIME)).min(axis=0), np.uint64)
