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

from hapenny.counting.features import LONG, sample, scanned

Bag = npt.NDArray[np.uint16]
"""The bucket of each word of a text, in order."""

BITS = 13
RATE = 0.7
"""Share of an error that is believed."""
CALM = 100.0
"""Keeps a short text from moving its few words far."""
CLIP = 0.1
"""Errors beyond this share are the estimator's to explain, not the words'."""
MAX_TEXTS = 64
"""Requests of more segments are left to the estimator alone."""

_LETTERS = frozenset([*range(65, 91), *range(97, 123), *range(128, 256)])
DICE = (
    bytes.fromhex(
        "bfbd77286bd51597c0a7776a27ec8667560fb075f25f3269c0dcc237c6c1292e51def5ceecb46703d2ca43f430aa19e26da913bd93dc36c2"
        "383302e209c41f174d86cba33efa7b4978318b5ddbd9d2825f9420f128f12266532b1d1268111d93d2de70b527a56afda7e3a8c6906dc0ed"
        "024c8494ea0781288566d6d636692ad7406a90428ba16f5c904876ecf4422654e5d3e311e7f19b78c145d1857ff47a6d073288aaab61ec9e"
        "39065a080c805158ee1ec23d4b8d80b044caaf7f1edf940db757c5c2c476acd5f2707bb7bece9373b3850fc71db99a0641d55fed91c51c6c"
        "8aebaebe41033a4867a0855f673367fff7979763b357395a2ecf87f11dbf6c10"
    ),
    bytes.fromhex(
        "a90a32267564a8ed73053f0fa74bd37b3a67fc57e0b7d1e98e4368b2559a70895279e668a269426ea80c8164eb13d195effc3d29736261a1"
        "c8c16607b0857b0cae60c636e5dacc8a803443a0ec9715a9b54606492961ed4c81d895b45039db1bda47b6a13da7179e272a61ed69cd1f12"
        "bcef5d61e807ab319287a7de446ed41e4888fea5acb6043dc0c450e2791aef4661f012892e5fff154a2de26c86e9bb1305ae7a0ce17582d6"
        "d3c85be064b80a4b08af94cd963925d09f5768c9ca2cedc49dbd39370294df19adf9f2af96c3b941f1c399b455d1a1f5d2046d27a8dc588e"
        "f0506420726e99eec5612268b7cb2cfead29233f80eeaf791c5c5573fde11326"
    ),
)
"""Drawn once, by NumPy's `default_rng(20261120).integers(2, 256, (2, 256))`, whose import is not worth it: what was
learnt is kept by these."""
# A word's hash is a sum over its letters, each times what follows it; what is no letter adds nothing.
_LETTER = bytes(code if byte in _LETTERS else 0 for byte, code in enumerate(DICE[0]))
_NEXT = bytes(code if byte in _LETTERS else 1 for byte, code in enumerate(DICE[1]))
_MIX = np.uint32(0x9E3779B1)
_SHIFT = np.uint32(32 - BITS)
_EMPTY: Bag = np.zeros(0, np.uint16)


def bag(text: str) -> Bag:
    """The words of `text` as buckets; of a long one, those of its sample as often as it would take."""
    if len(text) > LONG:
        return np.tile(bag(sample(text)), round(len(text) / LONG))
    data, edges = scanned(text)
    if not len(edges):
        return _EMPTY
    codes = np.frombuffer(data.translate(_LETTER), np.uint8)[:-1]
    nexts = np.frombuffer(data.translate(_NEXT), np.uint8)[1:]
    sums = np.multiply(codes, nexts, dtype=np.uint32).cumsum(dtype=np.uint32)  # may wrap around: differences do not
    hashed = sums.take(edges[1::2])
    hashed -= sums.take(edges[::2])
    hashed *= _MIX
    hashed >>= _SHIFT
    buckets: Bag = hashed.astype(np.uint16)
    return buckets


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
        counted = self._known[key] = bag(text)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return counted


class Words:
    """The table of one tokenizer. Amounts are tokens."""

    __slots__ = ("_bags", "_counts", "_table", "learned")

    def __init__(self, bags: Bags) -> None:
        self._bags = bags
        self._table = np.zeros(1 << BITS)
        self._counts = np.zeros(1 << BITS)
        self.learned = 0
        """Lessons taken."""

    def extra(self, texts: Sequence[str]) -> float:
        """Tokens to add to the estimate of `texts`."""
        tokens = 0.0
        if self.learned and len(texts) <= MAX_TEXTS:
            table, get = self._table, self._bags.get
            for text in texts:
                tokens += float(np.add.reduce(table.take(get(text))))
        return tokens

    def extras(self, texts: Sequence[str]) -> list[float]:
        """The same, text by text."""
        if len(texts) > MAX_TEXTS or not self.learned:
            return [0.0] * len(texts)
        table, get = self._table, self._bags.get
        return [float(np.add.reduce(table.take(get(text)))) for text in texts]

    def learn(self, texts: Sequence[str], missing: float, reported: int) -> None:
        """Takes what an estimate with `extra` fell short of a report."""
        if len(texts) > MAX_TEXTS:
            return
        self.learned += 1
        bags = [self._bags.get(text) for text in texts]
        length = sum(map(self._length, bags))  # of all bags together at most
        limit = CLIP * reported
        step = RATE * min(max(missing, -limit), limit) / (length * length + CALM)
        for each in bags:
            np.add.at(self._table, each, step)

    def _length(self, words: Bag) -> float:
        """The Euclidean length of a bag's counts: each word is as long as how often its bucket occurs."""
        counts = self._counts
        np.add.at(counts, words, 1.0)
        squared = float(np.add.reduce(counts.take(words)))
        counts[words] = 0.0
        return math.sqrt(squared)
