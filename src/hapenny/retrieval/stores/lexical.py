"""The lexical leg: BM25 over a stemmed `all` field, a stemmed title and an exact title, in tantivy.

Scores are comparable across queries only through `ideal` (the score of a document that holds every query term
once at average length), never with cosines; fusion normalises them. One writer, many readers: a search works on
the last committed state.

BM25: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from hapenny.retrieval.analysis import VERSION, Analyser, Language, analyser
from hapenny.retrieval.documents import EMPTY_LEG, Document, Leg, Rows

_HEAP = 64_000_000
_BITS = 24
"""Powers of two whose sums a 32-bit float holds exactly."""


class Boosts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights of the fields in the lexical score."""

    all: float = 1.0
    title: float = 0.6
    exact: float = 0.4


class Terms(msgspec.Struct, frozen=True):
    """A query as the lexical leg wants it: index terms and unstemmed words, each once, in order."""

    stems: tuple[str, ...]
    words: tuple[str, ...]

    @classmethod
    def of(cls, text: str, by: Analyser, noise: frozenset[str] = frozenset()) -> Terms:
        """The terms of `text` without `noise` (unstemmed words); all of them if nothing else is left."""
        words = tuple(dict.fromkeys(by.words(text)))
        kept = tuple(word for word in words if word not in noise)
        if len(kept) == len(words) or not kept:
            return cls(tuple(dict.fromkeys(by.stems(text))), words)
        return cls(tuple(dict.fromkeys(by.stems(" ".join(kept)))), kept)


class LexicalIndex:
    """A tantivy index in `folder`, or in memory when that is None."""

    def __init__(self, language: Language, folder: Path | None = None, version: int = VERSION) -> None:
        """`version`: of the analyser that the folder's terms came from."""
        import tantivy

        self._t = tantivy
        self.analyser = analyser(language, version)
        builder = tantivy.SchemaBuilder()
        # Signed on purpose: a Python integer put into an unsigned fast field panics tantivy's writer thread.
        builder.add_integer_field("row", stored=False, indexed=True, fast=True)
        for field in ("all", "title", "exact"):
            builder.add_text_field(field, stored=False, tokenizer_name="whitespace", index_option="freq")
        self._schema = builder.build()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._index = tantivy.Index(self._schema, path=str(folder) if folder is not None else None)
        self._writer: Any = None
        self._searcher = self._index.searcher()

    def add(self, rows: Sequence[int], documents: Sequence[Document]) -> None:
        """Adds documents under their rows; visible after `commit`."""
        writer, make = self._open(), self._t.Document
        for row, document in zip(rows, documents, strict=True):
            fields = self.fields(document)
            writer.add_document(make(row=[row], **{name: [" ".join(terms)] for name, terms in fields.items()}))

    def fields(self, document: Document) -> dict[str, list[str]]:
        """The terms of a document by field."""
        return index_fields(document, self.analyser)

    def clear(self) -> None:
        """Removes everything; visible after `commit`."""
        self._open().delete_all_documents()

    def remove(self, rows: Sequence[int]) -> None:
        """Removes rows; visible after `commit`."""
        writer = self._open()
        for row in rows:
            writer.delete_documents_by_term("row", int(row))

    def commit(self) -> None:
        """Makes changes durable and visible to new searches."""
        if self._writer is not None:
            self._writer.commit()
            self._index.reload()
            self._searcher = self._index.searcher()

    def close(self) -> None:
        """Commits, waits for merges and gives the writer's lock and memory back."""
        if self._writer is not None:
            self._writer.commit()
            self._writer.wait_merging_threads()
            self._writer = None
            self._index.reload()
            self._searcher = self._index.searcher()

    def reload(self) -> None:
        """Sees what another process committed."""
        self._index.reload()
        self._searcher = self._index.searcher()

    def merge(self) -> None:
        """Drops removed documents from the files, as far as tantivy's merge policy has not yet."""
        self.close()

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def search(self, terms: Terms, k: int, boosts: Boosts, only: Rows | None = None) -> Leg:
        """The best `k` rows by BM25, of `only` if given. Scores are tantivy's, boosted per field."""
        query = self._query(terms, boosts)
        if query is None or k <= 0 or (only is not None and not len(only)):
            return EMPTY_LEG
        if only is not None:
            query = self._t.Query.boolean_query(
                [
                    (self._t.Occur.Must, self._among(only)),
                    (self._t.Occur.Must, query),
                ]
            )
        searcher = self._searcher
        hits = searcher.search(query, k, count=False).hits
        if not hits:
            return EMPTY_LEG
        rows = searcher.fast_field_values("row", [address for _, address in hits])
        return Leg(np.array(rows, np.int64), np.array([score for score, _ in hits], np.float32))

    def holds(self, stems: Sequence[str], rows: Rows) -> NDArray[np.bool_]:
        """Which rows hold which index terms, shape (len(rows), len(stems)).

        One query: every term scores a power of two, so that a row's score spells the terms it holds.
        """
        out = np.zeros((len(rows), len(stems)), np.bool_)
        query, should, must = self._t.Query, self._t.Occur.Should, self._t.Occur.Must
        place = {int(row): i for i, row in enumerate(rows)}
        # By single terms: for a few dozen rows that costs a quarter of a set.
        among = query.boolean_query([(should, query.term_query(self._schema, "row", row, "basic")) for row in place])
        among = query.const_score_query(among, 0.0)
        for start in range(0, len(stems), _BITS):
            part = [
                (should, query.const_score_query(query.term_query(self._schema, "all", stem, "basic"), float(1 << bit)))
                for bit, stem in enumerate(stems[start : start + _BITS])
            ]
            both = query.boolean_query([(must, among), (must, query.boolean_query(part))])
            hits = self._searcher.search(both, max(1, len(rows)), count=False).hits
            if hits:
                values = self._searcher.fast_field_values("row", [address for _, address in hits])
                at = [place[int(row or 0)] for row in values]
                spelt = np.array([int(score) for score, _ in hits])[:, None] >> np.arange(len(part))
                out[at, start : start + len(part)] = (spelt & 1).astype(np.bool_)
        return out

    def frequency(self, term: str, field: str = "all") -> int:
        """Documents that hold `term` (removed ones count until compaction)."""
        return int(self._searcher.doc_freq(field, term))

    def ideal(self, terms: Terms, boosts: Boosts) -> float:
        """The score of a document of average length that holds each term once in each boosted field."""
        count = max(1, len(self))
        total = 0.0
        for field, boost, names in (
            ("all", boosts.all, terms.stems),
            ("title", boosts.title, terms.stems),
            ("exact", boosts.exact, terms.words),
        ):
            if boost:
                for name in names:
                    total += boost * idf(self.frequency(name, field), count)
        return total

    def _query(self, terms: Terms, boosts: Boosts) -> Any:
        parts = []
        query, should = self._t.Query, self._t.Occur.Should
        for field, boost, names in (
            ("all", boosts.all, terms.stems),
            ("title", boosts.title, terms.stems),
            ("exact", boosts.exact, terms.words),
        ):
            if boost:
                for name in names:
                    term = query.term_query(self._schema, field, name, "freq")
                    parts.append((should, term if boost == 1.0 else query.boost_query(term, boost)))
        return query.boolean_query(parts) if parts else None

    def _among(self, rows: Rows) -> Any:
        return self._t.Query.const_score_query(self._t.Query.term_set_query(self._schema, "row", rows.tolist()), 0.0)

    def _open(self) -> Any:
        if self._writer is None:
            self._writer = self._index.writer(_HEAP, 1)
        return self._writer


def index_fields(document: Document, by: Analyser) -> dict[str, list[str]]:
    """The terms of a document by field. Its numbers can be asked for by their digits, as its words can."""
    title, body = by.indexed(document.title), by.indexed(document.text)
    numbers = (
        [] if by.version == 1 else [term for value in document.numbers.values() for term in by.words(spelt(value))]
    )
    return {"all": title + body + numbers, "title": title, "exact": by.words(document.title)}


def spelt(value: float) -> str:
    """A number as people write it: `2008`, `19.9`."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def idf(frequency: int, count: int) -> float:
    """The inverse document frequency as BM25 in Lucene and tantivy has it (never negative)."""
    return math.log1p((count - frequency + 0.5) / (frequency + 0.5))
