"""What single words cost beyond what features of a text tell: a hashed table, learned from the same reports.

A vocabulary gives each word its own number of tokens. A linear estimator over byte classes is right on average and off
on a given text by what its words have in common; here each word's share of that is remembered, by normalised least
mean squares (Widrow and Hoff 1960; Nagumo and Noda 1967) over a hashed bag of words (Weinberger et al. 2009).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Bag = tuple[npt.NDArray[np.intp], npt.NDArray[np.float64], float]
"""Buckets of a text's words, how often each, and the square root of the sum of squares."""

BITS = 13
RATE = 0.7
"""Share of an error that is believed."""
CALM = 100.0
"""Keeps a short text from moving its few words far."""
CLIP = 0.1
"""Errors beyond this share are the estimator's to explain, not the words'."""
MAX_TEXTS = 64
"""Requests of more segments are left to the estimator alone."""

_dice = np.random.default_rng(20261120)
_CODE = _dice.integers(1, 1 << 16, 256).astype(np.float64)
_PLACE = _dice.integers(1, 1 << 16, 32).astype(np.float64)
_LETTERS = bytes([*range(65, 91), *range(97, 123), *range(128, 256)])
_IS_LETTER = bytes(byte in _LETTERS for byte in range(256))
_OTHERS = bytes(byte for byte in range(256) if byte not in _LETTERS)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(64 - BITS)
_EMPTY: Bag = (np.zeros(0, np.intp), np.zeros(0), 0.0)


def bag(text: str) -> Bag:
    """The words of `text` as buckets and counts."""
    data = text.encode("utf-8", "surrogatepass")
    at = np.frombuffer(data.translate(_IS_LETTER), np.bool_).nonzero()[0]
    if not len(at):
        return _EMPTY
    letters = np.frombuffer(data.translate(None, _OTHERS), np.uint8)
    firsts = _begins(at[1:] - at[:-1] > 1)
    place = (at - at[firsts].repeat(_lengths(firsts, len(at)))) & 31
    hashed = np.add.reduceat(_CODE.take(letters) * _PLACE.take(place), firsts).astype(np.uint64)  # exact: below 2**53
    hashed *= _MIX
    hashed >>= _SHIFT
    buckets = hashed.astype(np.intp)
    buckets.sort()
    runs = _begins(buckets[1:] != buckets[:-1])
    weights = _lengths(runs, len(buckets)).astype(np.float64)
    return buckets[runs], weights, math.sqrt(float(weights @ weights))


def _begins(changes: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Where runs begin: the first place, and each one behind a change."""
    inner = changes.nonzero()[0]
    begins = np.empty(len(inner) + 1, np.intp)
    begins[0] = 0
    np.add(inner, 1, out=begins[1:])
    return begins


def _lengths(begins: npt.NDArray[np.intp], size: int) -> npt.NDArray[np.intp]:
    """How long the runs are that begin there, within `size` places."""
    lengths = np.empty_like(begins)
    np.subtract(begins[1:], begins[:-1], out=lengths[:-1])
    lengths[-1] = size - begins[-1]
    return lengths


class Bags:
    """Bags of texts seen before; keeps no text."""

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._known: OrderedDict[tuple[int, int], Bag] = OrderedDict()

    def get(self, text: str) -> Bag:
        """The bag of a text."""
        key = (hash(text), len(text))
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        found = self._known[key] = bag(text)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return found


class Words:
    """The table of one tokenizer. Amounts are tokens."""

    __slots__ = ("_bags", "_table", "learned")

    def __init__(self, bags: Bags) -> None:
        self._bags = bags
        self._table = np.zeros(1 << BITS)
        self.learned = 0
        """Lessons taken."""

    def extra(self, texts: Sequence[str]) -> float:
        """Tokens to add to the estimate of `texts`."""
        if len(texts) > MAX_TEXTS:
            return 0.0
        table, get = self._table, self._bags.get
        total = 0.0
        for text in texts:
            buckets, counts, _ = get(text)
            total += float(table[buckets] @ counts)
        return total

    def learn(self, texts: Sequence[str], missing: float, reported: int) -> None:
        """Takes what an estimate with `extra` fell short of a report."""
        if len(texts) > MAX_TEXTS:
            return
        self.learned += 1
        get = self._bags.get
        bags = [get(text) for text in texts]
        length = sum(size for _, _, size in bags)  # of all bags together at most
        limit = CLIP * reported
        step = RATE * min(max(missing, -limit), limit) / (length * length + CALM)
        for buckets, counts, _ in bags:
            self._table[buckets] += step * counts
