"""A closer look at the head of the fused list: what costs too much for every candidate.

Documents that hold the question's rarest words stand above those that leave one out, because BM25 lets several
common words outweigh the one that names the thing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from hapenny.retrieval.documents import Rows
from hapenny.retrieval.stores.contract import Store
from hapenny.retrieval.stores.lexical import idf


class Closer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the first `head` candidates are looked at again (0: not at all).

    `rarest`: what a document gets that holds every known word of the question; one that leaves the rarest out gets
    nothing. It only adds, so that the head stays above the rest.
    """

    head: int = 20
    rarest: float = 0.1

    def __post_init__(self) -> None:
        if self.head < 0 or self.rarest < 0.0:
            raise ValueError(f"head, rarest: {self.head}, {self.rarest}; use at least 0")


OFF = Closer(head=0)


class Held(msgspec.Struct, frozen=True):
    """What rows hold of a question, a value a row. `rarest`: 1 if they hold all words that the collection knows, else 1
    less the weight of the rarest they leave out (of the rarest). `coverage`: the share of the question's weight they
    hold, words that the collection does not know counting as the rarest."""

    rarest: NDArray[np.float64]
    coverage: NDArray[np.float64]


def held(store: Store, stems: Sequence[str], rows: Rows) -> Held:
    """Looks at which of a question's index terms are in which rows, weighted by inverse document frequency."""
    count = max(1, store.count())
    known = np.array([store.frequency(stem) for stem in stems], np.int64)
    weights = np.array([idf(int(min(each, count)), count) for each in known])
    if not len(weights):
        return Held(np.zeros(len(rows)), np.zeros(len(rows)))
    present = store.holds(stems, rows)
    coverage = (present @ weights) / max(float(weights.sum()), 1e-12)
    known_weights = np.where(known > 0, weights, 0.0)
    if known_weights.max() <= 0.0:
        return Held(np.zeros(len(rows)), coverage)
    missing = np.where(present, 0.0, known_weights).max(axis=1)
    return Held(1.0 - missing / known_weights.max(), coverage)
