"""One collection over several stores, by tenant or by a facet: a filter that names its shard searches only that one.

BM25 weighs terms by each shard's own statistics, as sharded search engines do; shards should hold some thousand
documents each for that not to matter.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hapenny.retrieval.analysis import Analyser
from hapenny.retrieval.documents import EMPTY_LEG, Document, Leg, Matrix, Rows, Scores
from hapenny.retrieval.filters import TENANT, All, Among, Filter, visible_facets
from hapenny.retrieval.stores.contract import Store
from hapenny.retrieval.stores.lexical import Boosts, Terms


class ShardedStore:
    """`field` is a facet with one value a document (`filters.TENANT` for the tenant); its hash picks the shard.

    A row is `local row * number of shards + shard`.
    """

    def __init__(self, shards: Sequence[Store], field: str = TENANT) -> None:
        if not shards:
            raise ValueError("shards: at least one store is needed")
        self._shards = tuple(shards)
        self._field = field

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._shards[0].dim

    @property
    def analyser(self) -> Analyser:
        """How text becomes terms."""
        return self._shards[0].analyser

    def shard_of(self, value: str) -> int:
        """The shard of a facet value."""
        return zlib.crc32(value.encode()) % len(self._shards)

    def shards_for(self, where: Filter | None) -> list[int]:
        """Shards that may hold matches."""
        values = _values(where, self._field)
        return sorted({self.shard_of(value) for value in values}) if values is not None else list(range(self._count))

    def upsert(self, documents: Sequence[Document], vectors: Matrix) -> None:
        """Stores or replaces by id; a document whose facet changed moves."""
        homes = [self.shard_of(self._value(document)) for document in documents]
        for number, store in enumerate(self._shards):
            store.delete([each.id for each, home in zip(documents, homes, strict=True) if home != number])
            here = [i for i, home in enumerate(homes) if home == number]
            if here:
                store.upsert([documents[i] for i in here], vectors[here])

    def delete(self, ids: Sequence[str]) -> int:
        """Forgets documents wherever they are."""
        return sum(store.delete(ids) for store in self._shards)

    def commit(self) -> None:
        """Commits every shard."""
        for store in self._shards:
            store.commit()

    def refresh(self) -> None:
        """Refreshes every shard."""
        for store in self._shards:
            store.refresh()

    def lexical(self, terms: Terms, k: int, boosts: Boosts, where: Filter | None = None) -> Leg:
        """The best of every shard's best."""
        return self._best(where, k, lambda store: store.lexical(terms, k, boosts, where))

    def vector(self, vector: Scores, k: int, where: Filter | None = None) -> Leg:
        """The nearest of every shard's nearest."""
        return self._best(where, k, lambda store: store.vector(vector, k, where))

    def vectors(self, rows: Rows) -> Matrix:
        """Vectors of rows."""
        out = np.empty((len(rows), self.dim), np.float32)
        for number, at, local in self._split(rows):
            out[at] = self._shards[number].vectors(local)
        return out

    def alike(self) -> float:
        """Mean of the shards', by size."""
        counts = [store.count() for store in self._shards]
        total = sum(counts)
        return sum(n * store.alike() for n, store in zip(counts, self._shards, strict=True)) / total if total else 0.0

    def frequency(self, stem: str) -> int:
        """Documents that hold an index term."""
        return sum(store.frequency(stem) for store in self._shards)

    def holds(self, stems: Sequence[str], rows: Rows) -> NDArray[np.bool_]:
        """Which rows hold which index terms."""
        out = np.zeros((len(rows), len(stems)), np.bool_)
        for number, at, local in self._split(rows):
            out[at] = self._shards[number].holds(stems, local)
        return out

    def ideal(self, terms: Terms, boosts: Boosts) -> float:
        """The highest of the shards'."""
        return max(store.ideal(terms, boosts) for store in self._shards)

    def numbers(self, field: str, rows: Rows) -> NDArray[np.float64]:
        """A numeric field of rows."""
        out = np.full(len(rows), np.nan)
        for number, at, local in self._split(rows):
            out[at] = self._shards[number].numbers(field, local)
        return out

    def number_fields(self) -> list[str]:
        """Names of the numeric fields of any shard."""
        return sorted({field for store in self._shards for field in store.number_fields()})

    def quantiles(self, field: str) -> NDArray[np.float64]:
        """Quantiles over all shards, each shard's weighing alike."""
        parts = [part for store in self._shards if len(part := store.quantiles(field))]
        merged = np.concatenate(parts) if parts else np.empty(0)
        return np.asarray(np.quantile(merged, np.linspace(0, 1, 201)), np.float64) if parts else merged

    def fetch(self, rows: Sequence[int]) -> list[Document]:
        """Documents of rows, in that order."""
        wanted = np.array(rows, np.int64)
        parts: dict[int, Document] = {}
        for number, at, local in self._split(wanted):
            documents = self._shards[number].fetch(local.tolist())
            if len(documents) == len(at):
                parts.update(zip(at.tolist(), documents, strict=True))
            else:
                # Some are gone: one by one tells which.
                for place, row in zip(at.tolist(), local.tolist(), strict=True):
                    parts.update((place, document) for document in self._shards[number].fetch([row]))
        return [parts[i] for i in sorted(parts)]

    def sample(self, most: int) -> list[int]:
        """As many rows of every shard."""
        share = max(1, most // self._count)
        return [row * self._count + number for number, store in enumerate(self._shards) for row in store.sample(share)]

    def rows_of(self, ids: Sequence[str]) -> list[int | None]:
        """Rows of ids."""
        out: list[int | None] = [None] * len(ids)
        for number, store in enumerate(self._shards):
            for i, row in enumerate(store.rows_of(ids)):
                if row is not None:
                    out[i] = row * self._count + number
        return out

    def count(self, where: Filter | None = None) -> int:
        """How many match."""
        return sum(self._shards[number].count(where) for number in self.shards_for(where))

    def compact(self) -> None:
        """Compacts every shard."""
        for store in self._shards:
            store.compact()

    def close(self) -> None:
        """Closes every shard."""
        for store in self._shards:
            store.close()

    def _value(self, document: Document) -> str:
        values = visible_facets(document).get(self._field) or [""]
        if len(values) > 1:
            raise ValueError(f"{document.id}: {self._field} has {len(values)} values; a shard follows exactly one")
        return values[0]

    @property
    def _count(self) -> int:
        return len(self._shards)

    def _best(self, where: Filter | None, k: int, search: Callable[[Store], Leg]) -> Leg:
        legs = [(number, search(self._shards[number])) for number in self.shards_for(where)]
        if not any(len(leg) for _, leg in legs):
            return EMPTY_LEG
        rows = np.concatenate([leg.rows * self._count + number for number, leg in legs])
        scores = np.concatenate([leg.scores for _, leg in legs])
        order = np.lexsort((rows, -scores))[:k]
        return Leg(rows[order], scores[order])

    def _split(self, rows: Rows) -> list[tuple[int, NDArray[np.int64], Rows]]:
        """(shard, positions, local rows) of each shard that has any of them."""
        number, local = rows % self._count, rows // self._count
        return [(int(each), np.flatnonzero(number == each), local[number == each]) for each in np.unique(number)]


def _values(where: Filter | None, field: str) -> tuple[str, ...] | None:
    """Values of `field` that a match must have one of; None if it may have any."""
    if isinstance(where, Among) and where.field == field:
        return where.values
    if isinstance(where, All):
        return next((parts for part in where.parts if (parts := _values(part, field)) is not None), None)
    return None
