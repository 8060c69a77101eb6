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
from hapenny.retrieval.lexical import idf
from hapenny.retrieval.store import Store


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


def held(store: Store, stems: Sequence[str], rows: Rows) -> NDArray[np.float64]:
    """1 for a row that holds all known stems, else 1 less the weight of the rarest it leaves out (of the rarest)."""
    count = max(1, store.count())
    weights = np.array([idf(min(known, count), count) if (known := store.frequency(stem)) else 0.0 for stem in stems])
    if not len(weights) or weights.max() <= 0.0:
        return np.zeros(len(rows))
    missing = np.where(store.holds(stems, rows), 0.0, weights).max(axis=1)
    return np.asarray(1.0 - missing / weights.max(), np.float64)
