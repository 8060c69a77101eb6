"""The store contract: documents and vectors in, two ranked legs out. Blocking; the retriever runs it off the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hapenny.retrieval.analysis import Analyser
from hapenny.retrieval.documents import Document, Leg, Matrix, Rows, Scores
from hapenny.retrieval.filters import Filter
from hapenny.retrieval.stores.lexical import Boosts, Terms


class Store(Protocol):
    """One searchable collection. Rows are the store's own handles, valid until `compact`.

    A leg is shorter than `k` only when fewer rows match. Ties are broken by row, lower first.
    """

    @property
    def dim(self) -> int:
        """Length of the vectors."""

    @property
    def analyser(self) -> Analyser:
        """How text becomes terms here; queries must use the same."""

    def upsert(self, documents: Sequence[Document], vectors: Matrix) -> None:
        """Stores or replaces by id; `vectors` has shape (len(documents), dim). Seen by searches after `commit`."""

    def delete(self, ids: Sequence[str]) -> int:
        """Forgets documents; unknown ids are ignored. Returns how many were there. Seen after `commit`."""

    def commit(self) -> None:
        """Makes changes durable and visible."""

    def refresh(self) -> None:
        """Brings what is in memory up to what other processes made durable."""

    def lexical(self, terms: Terms, k: int, boosts: Boosts, where: Filter | None = None) -> Leg:
        """The best `k` by BM25."""

    def vector(self, vector: Scores, k: int, where: Filter | None = None) -> Leg:
        """The nearest `k` by cosine."""

    def vectors(self, rows: Rows) -> Matrix:
        """Unit vectors of given rows, shape (len(rows), dim)."""

    def alike(self) -> float:
        """Mean cosine of two random documents: how little a cosine says here. 0 when empty."""

    def frequency(self, stem: str) -> int:
        """Documents that hold an index term."""

    def holds(self, stems: Sequence[str], rows: Rows) -> NDArray[np.bool_]:
        """Which of `rows` hold which index terms, shape (len(rows), len(stems))."""

    def ideal(self, terms: Terms, boosts: Boosts) -> float:
        """The lexical score of a document of average length that holds every term once."""

    def numbers(self, field: str, rows: Rows) -> NDArray[np.float64]:
        """A numeric field of given rows; NaN where missing."""

    def number_fields(self) -> list[str]:
        """Names of the numeric fields, sorted."""

    def quantiles(self, field: str) -> NDArray[np.float64]:
        """Up to 201 evenly spaced quantiles of a numeric field; empty if no document has it."""

    def fetch(self, rows: Sequence[int]) -> list[Document]:
        """Documents of rows, in that order."""

    def sample(self, most: int) -> list[int]:
        """Up to `most` rows, spread evenly over the collection in row order."""

    def rows_of(self, ids: Sequence[str]) -> list[int | None]:
        """Rows of ids, None where unknown."""

    def count(self, where: Filter | None = None) -> int:
        """How many documents match."""

    def compact(self) -> None:
        """Gives the memory of removed documents back. Rows may change."""

    def close(self) -> None:
        """Commits and releases files and connections."""
