"""The embedded store: rows in SQLite, BM25 in tantivy, vectors in faiss, filters in columns. No server.

Rows are written first; indexes follow at `commit` and are caught up when the folder is opened after a crash, so an
interrupted ingest goes on where it stopped. One process writes; others open the folder with `read_only` and `refresh`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from hapenny.retrieval.analysis import VERSION, Analyser, Language, analyser
from hapenny.retrieval.documents import EMPTY_LEG, Document, Leg, Matrix, Rows, Scores
from hapenny.retrieval.filters import Filter
from hapenny.retrieval.stores.columns import Columns, Mask
from hapenny.retrieval.stores.lexical import Boosts, LexicalIndex, Terms
from hapenny.retrieval.stores.row_store import RowStore
from hapenny.vectors.compact import Shape
from hapenny.vectors.shaped import ShapedIndex, load_index, make_index

EXACT_UP_TO = 12_000
"""Rows up to which a scan (.3 ms at 10,000 x 384) costs no more than a graph that finds as much."""
_FEW_FOR_TERMS = 400
_OVERFETCH = 4096
_VECTOR_FILE = "vectors.npz"


class EmbeddedStore:
    """`folder=None` keeps all in memory. `shape=None` scans 16-bit vectors up to 12,000 rows, then builds a graph."""

    def __init__(
        self,
        dim: int,
        language: Language = "en",
        folder: Path | None = None,
        shape: Shape | None = None,
        read_only: bool = False,
    ) -> None:
        self._folder = folder
        self._shape = shape
        self._read_only = read_only
        self._lock = threading.RLock()
        self._rows = RowStore(folder / "rows.sqlite" if folder is not None else None)
        known = self._rows.get("language")
        self.language: Language = msgspec.convert(known, Language) if known else language
        self._dim = int(self._rows.get("dim", str(dim)))
        if self._dim != dim and not read_only and not len(self._rows):  # begun, and nothing came of it
            self._dim = dim
            self._rows.set("dim", str(dim))
        if self._dim != dim:
            raise ValueError(f"{folder}: holds vectors of length {self._dim}, not {dim}: rebuild it for this embedder")
        if not known and not read_only:
            self._rows.set("language", language)
            self._rows.set("dim", str(dim))
            self._rows.set("analysis", str(VERSION))
            self._rows.commit()
        self._version = self._analysed()
        self._lexical = LexicalIndex(self.language, folder / "lexical" if folder is not None else None, self._version)
        if self._version < VERSION and not read_only:
            self._reanalyse()
        self._vectors = self._new_vectors(0)
        self._columns = Columns()
        self._seen = 0
        self._gone = 0
        self._alike = (0, 0.0)
        if folder is not None and (folder / _VECTOR_FILE).exists():
            self._vectors = load_index(folder / _VECTOR_FILE, dim)
        self.refresh()

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._dim

    @property
    def analyser(self) -> Analyser:
        """How text becomes terms."""
        return analyser(self.language, self._version)

    @property
    def shape(self) -> Shape:
        """How vectors are indexed now."""
        return self._vectors.shape

    def note(self, name: str, value: str) -> None:
        """Keeps a setting of the collection with its rows (which embedder, which chunking)."""
        with self._lock:
            self._rows.set(f"note:{name}", value)
            self._rows.commit()

    def noted(self, name: str) -> str:
        """What was noted, or ""."""
        with self._lock:
            return self._rows.get(f"note:{name}")

    @property
    def vector_index(self) -> ShapedIndex:
        """The vector index, for reports and the tuner."""
        return self._vectors

    @property
    def columns(self) -> Columns:
        """Facets and numbers, for reports and the tuner."""
        return self._columns

    def upsert(self, documents: Sequence[Document], vectors: Matrix) -> None:
        """Stores or replaces by id; the last of repeated ids counts."""
        if len(documents) != len(vectors):
            raise ValueError(f"{len(documents)} documents but {len(vectors)} vectors")
        last = {document.id: i for i, document in enumerate(documents)}
        keep = sorted(last.values())
        with self._lock:
            self._rows.put([documents[i] for i in keep], vectors[keep] if len(keep) < len(vectors) else vectors)

    def delete(self, ids: Sequence[str]) -> int:
        """Forgets documents."""
        with self._lock:
            return len(self._rows.drop(ids))

    def commit(self) -> None:
        """Durable rows first, then every index."""
        with self._lock:
            self._rows.commit()
            self.refresh()
            if (
                self._shape is None
                and self._vectors.shape.kind in ("exact", "half")
                and len(self._vectors) > EXACT_UP_TO
            ):
                self.reshape(Shape(kind="hnsw_half"))

    def refresh(self) -> None:
        """Brings the indexes up to the rows: after own writes, another process's, or a crash."""
        with self._lock:
            if self._read_only and self._analysed() != self._version:
                self._version = self._analysed()
                folder = self._folder / "lexical" if self._folder is not None else None
                self._lexical = LexicalIndex(self.language, folder, self._version)
            known = int(self._rows.get("lexical_row", "0"))
            for batch in self._rows.after(self._seen):
                rows = [entry.row for entry in batch]
                self._columns.add(rows, [entry.document for entry in batch])
                fresh = [entry for entry in batch if entry.row not in self._vectors]
                if fresh:
                    matrix = np.stack([np.frombuffer(entry.vector, np.float32) for entry in fresh])
                    self._vectors.add([entry.row for entry in fresh], matrix)
                new = [entry for entry in batch if entry.row > known]
                if new and not self._read_only:
                    if self._folder is not None:
                        self._lexical.remove([entry.row for entry in new])
                    self._lexical.add([entry.row for entry in new], [entry.document for entry in new])
                self._seen = rows[-1]
            gone, self._gone = self._rows.gone_after(self._gone)
            if gone:
                self._vectors.remove(gone)
                self._columns.remove([row for row in gone if row < self._columns.size])
            if self._read_only:
                self._lexical.reload()
                return
            if gone:
                self._lexical.remove(gone)
            self._lexical.commit()
            self._rows.set("lexical_row", str(self._seen))
            self._rows.commit()

    def lexical(self, terms: Terms, k: int, boosts: Boosts, where: Filter | None = None) -> Leg:
        """The best `k` by BM25. With a filter: over the few matches by row, else by reading on until enough pass."""
        with self._lock:
            if where is None:
                return _tied(self._lexical.search(terms, k, boosts))
            mask = self._columns.mask(where)
            matches = int(np.count_nonzero(mask))
            if matches == 0:
                return EMPTY_LEG
            if matches <= _FEW_FOR_TERMS:
                return _tied(self._lexical.search(terms, k, boosts, only=np.flatnonzero(mask)))
            everything = self._columns.size
            limit = min(everything, max(_OVERFETCH, int(2 * k * everything / matches)))
            while True:
                ranked = self._lexical.search(terms, limit, boosts)
                passing = mask[ranked.rows]
                if int(np.count_nonzero(passing)) >= k or len(ranked) < limit or limit >= everything:
                    return _tied(Leg(ranked.rows[passing][:k], ranked.scores[passing][:k]))
                limit = min(everything, 8 * limit)

    def vector(self, vector: Scores, k: int, where: Filter | None = None) -> Leg:
        """The nearest `k` by cosine; the index plans the filter."""
        with self._lock:
            mask: Mask | None = None if where is None else self._columns.mask(where)
            hits = self._vectors.search(vector, k, mask)
        return _tied(Leg(hits.keys, hits.scores))

    def vectors(self, rows: Rows) -> Matrix:
        """Stored vectors, as far as the index's quantiser kept them."""
        with self._lock:
            return self._vectors.vectors(rows)

    def alike(self) -> float:
        """Mean cosine of two of up to 2,000 documents."""
        with self._lock:
            if not self._alike[0] or abs(len(self._vectors) - self._alike[0]) > 0.1 * self._alike[0]:
                live = np.flatnonzero(self._columns.live)
                sample = self._vectors.vectors(live[:: max(1, len(live) // 2000)])
                self._alike = (len(self._vectors), mean_cosine(sample))
            return self._alike[1]

    def frequency(self, stem: str) -> int:
        """Documents that hold an index term."""
        return self._lexical.frequency(stem)

    def number_fields(self) -> list[str]:
        """Names of the numeric fields."""
        return self._columns.number_fields

    def quantiles(self, field: str) -> NDArray[np.float64]:
        """Quantiles of a numeric field."""
        return self._columns.quantiles(field)

    def holds(self, stems: Sequence[str], rows: Rows) -> NDArray[np.bool_]:
        """Which rows hold which index terms."""
        return self._lexical.holds(stems, rows)

    def ideal(self, terms: Terms, boosts: Boosts) -> float:
        """The score of a perfect lexical match."""
        return self._lexical.ideal(terms, boosts)

    def numbers(self, field: str, rows: Rows) -> NDArray[np.float64]:
        """A numeric column."""
        return self._columns.numbers(field, rows)

    def fetch(self, rows: Sequence[int]) -> list[Document]:
        """Documents of rows."""
        with self._lock:
            return self._rows.fetch(rows)

    def sample(self, most: int) -> list[int]:
        """Rows spread over the collection."""
        with self._lock:
            live = np.flatnonzero(self._columns.live)
            return [int(row) for row in live[:: max(1, -(-len(live) // most))]]

    def rows_of(self, ids: Sequence[str]) -> list[int | None]:
        """Rows of ids."""
        with self._lock:
            return self._rows.rows_of(ids)

    def documents(self) -> list[tuple[int, Document]]:
        """All (row, document), in row order: for training and reports."""
        with self._lock:
            return [(entry.row, entry.document) for batch in self._rows.after(0) for entry in batch]

    def count(self, where: Filter | None = None) -> int:
        """How many match."""
        with self._lock:
            return int(np.count_nonzero(self._columns.mask(where)))

    def reshape(self, shape: Shape) -> None:
        """Rebuilds the vector index in another shape."""
        with self._lock:
            made = make_index(self._dim, shape)
            entries = [entry for batch in self._rows.after(0) for entry in batch if entry.row <= self._seen]
            if entries:
                matrix = np.stack([np.frombuffer(entry.vector, np.float32) for entry in entries])
                made.add([entry.row for entry in entries], matrix)
            self._vectors = made

    def memory(self) -> int:
        """Bytes of the vector index."""
        return self._vectors.memory()

    def compact(self) -> None:
        """Rebuilds every index from the live rows."""
        with self._lock:
            self._rows.compact()
            self._vectors.compact()
            self._lexical.merge()
            columns = Columns()
            for batch in self._rows.after(0):
                columns.add([entry.row for entry in batch], [entry.document for entry in batch])
            self._columns = columns

    def snapshot(self) -> None:
        """Writes the vector index beside the rows, so that opening the folder need not build it."""
        if self._folder is not None:
            with self._lock:
                self._vectors.save(self._folder / _VECTOR_FILE)

    def close(self) -> None:
        """Commits, writes the snapshot, closes."""
        with self._lock:
            if not self._read_only:
                self.commit()
                self.snapshot()
                self._lexical.close()
            self._rows.close()

    def _analysed(self) -> int:
        """The version of the analyser that the folder's terms came from."""
        return int(self._rows.get("analysis") or (1 if self._rows.get("lexical_row") else VERSION))

    def _reanalyse(self) -> None:
        """Indexes the words of every row anew, as today's analyser splits them."""
        folder = self._folder / "lexical" if self._folder is not None else None
        self._version = VERSION
        self._lexical = LexicalIndex(self.language, folder)
        self._lexical.clear()
        for batch in self._rows.after(0):
            self._lexical.add([entry.row for entry in batch], [entry.document for entry in batch])
        self._lexical.commit()
        self._rows.set("analysis", str(VERSION))
        self._rows.commit()

    def _new_vectors(self, expected: int) -> ShapedIndex:
        return make_index(self._dim, self._shape or Shape(kind="half" if expected <= EXACT_UP_TO else "hnsw_half"))


def mean_cosine(vectors: Matrix) -> float:
    """Mean cosine of two different rows of unit vectors."""
    count = len(vectors)
    if count < 2:
        return 0.0
    total = float(np.square(vectors.sum(axis=0, dtype=np.float64)).sum())
    return max(0.0, (total - count) / (count * (count - 1)))


def _tied(leg: Leg) -> Leg:
    """The leg with equal scores in row order."""
    order = np.lexsort((leg.rows, -leg.scores))
    return Leg(leg.rows[order], leg.scores[order])
