"""Documents into a store: chunked, what is there already stored once, embedded in batches by tokens; incremental.

Theory of operation: a document whose digest is in the manifest is skipped, so an interrupted or repeated run does only
what is missing. A chunk with the wording of a stored one (`duplicates.wording`) is noted beside it and not stored; when
the stored one goes, the noted one takes its place, with its vector. So no document is lost with another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec
import numpy as np

from hapenny.retrieval.chunking import Chunking, chunk, estimate, sentences
from hapenny.retrieval.documents import Document
from hapenny.retrieval.ingest.document_vectors import document_vectors
from hapenny.retrieval.ingest.duplicates import Sketches, wording
from hapenny.retrieval.ingest.manifest import FLOOR, VOCABULARY, Manifest, digest_of, read_floor
from hapenny.retrieval.query.register import read_vocabulary
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.stores.contract import Store
from hapenny.retrieval.tune.floor_measuring import measure
from hapenny.vectors.embedder import Embedder

BATCH_TOKENS = 16_000
VOCABULARY_SAMPLE = 5_000
"""Chunks whose words are read."""

T = TypeVar("T")


class Progress(msgspec.Struct, kw_only=True):
    """What a run has done so far. `merges`: (chunk, the stored chunk that stands for it); `near`: (chunk, the earlier
    one it nearly repeats, how alike), both of which are stored."""

    documents: int = 0
    unchanged: int = 0
    chunks: int = 0
    merged: int = 0
    removed: int = 0
    tokens: int = 0
    repeated: int = 0
    merges: list[tuple[str, str]] = []
    near: list[tuple[str, str, float]] = []


class Ingest:
    """One run over one store. `merge`: chunks of one wording are stored once. `keep_sentences` stores sentence vectors
    for pruning (about 20 rows a page more)."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        manifest: Manifest,
        chunking: Chunking | None = None,
        *,
        merge: bool = True,
        keep_sentences: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._store, self._embedder, self._manifest = store, embedder, manifest
        self._chunking = chunking or Chunking()
        self._merge = merge
        self._sketches = Sketches()
        self._sentences = keep_sentences
        self._tell = on_progress or (lambda progress: None)
        self.progress = Progress()

    async def run(self, documents: Iterable[Document], *, complete: bool = False) -> Progress:
        """Indexes what is new or changed. `complete`: these are all documents there are, so others are removed.

        Of documents with one id the last counts; `Progress.repeated` says how many others there were.
        """
        seen: set[str] = set()
        if not self._merge:
            self._store_merged()
        for batch in batches(self._changed(documents, seen), lambda pair: estimate(pair[0].searchable()), BATCH_TOKENS):
            await self._index(batch)
            self._tell(self.progress)
        if complete:
            self.remove([each for each in self._manifest.ids() if each not in seen])
        self._store.commit()
        await self._measure()
        self._manifest.commit()
        self._tell(self.progress)
        return self.progress

    def remove(self, ids: Sequence[str]) -> int:
        """Removes source documents with all their chunks. Returns how many were there."""
        gone = 0
        for each in ids:
            gone += bool(self._manifest.digest(each))
            chunks = self._manifest.chunks(each)
            self._succeed(self._manifest.release(each))
            self._store.delete(chunks)
            self._manifest.drop(each)
        self.progress.removed += gone
        self._store.commit()
        self._manifest.commit()
        return gone

    def _changed(self, documents: Iterable[Document], seen: set[str]) -> Iterator[tuple[Document, str]]:
        for document in documents:
            self.progress.repeated += document.id in seen
            seen.add(document.id)
            self.progress.documents += 1
            digest = digest_of(document, self._chunking, self._embedder.name)
            if self._manifest.digest(document.id) == digest:
                self.progress.unchanged += 1
            else:
                yield document, digest

    async def _index(self, batch: Sequence[tuple[Document, str]]) -> None:
        fresh: list[Document] = []
        entries: dict[str, tuple[str, list[str]]] = {}
        old: list[str] = []
        last = {document.id: (document, digest) for document, digest in batch}
        for id in last:
            old += self._manifest.chunks(id)
            self._succeed(self._manifest.release(id))
        for id, (document, digest) in last.items():
            kept = [piece for piece in chunk(document, self._chunking) if not self._stored(piece, id)]
            fresh += kept
            entries[id] = digest, [piece.id for piece in kept]
        vectors = await document_vectors(self._embedder, fresh)
        current = {piece.id for piece in fresh}
        self._store.delete([each for each in old if each not in current])
        if fresh:
            self._store.upsert(fresh, vectors)
        if self._sentences:
            await self._keep_sentences(fresh)
        self._store.commit()
        for source, (digest, chunks) in entries.items():
            self._manifest.put(source, digest, chunks)
        self._manifest.commit()
        self.progress.chunks += len(fresh)
        self.progress.tokens += sum(estimate(piece.text) for piece in fresh)

    async def _measure(self) -> None:
        """Measures the floor of what is sent and reads the collection's words, where it grew or shrank by a tenth."""
        count = self._store.count()
        known = read_floor(self._manifest)
        if known is not None and abs(known.documents - count) <= 0.1 * known.documents:
            return
        floor = await measure(Retriever(self._store, embedder=self._embedder.name), self._embedder.embed)
        if floor is not None:
            self._manifest.note(FLOOR, msgspec.json.encode(floor).decode())
        store = self._store
        texts = (document.searchable() for document in store.fetch(store.sample(VOCABULARY_SAMPLE)))
        words = read_vocabulary(texts, store.analyser.language)
        self._manifest.note(VOCABULARY, msgspec.json.encode(words).decode())

    def _stored(self, piece: Document, source: str) -> bool:
        """Whether a stored chunk stands for `piece`; notes it either way."""
        words = wording(piece)
        kept = self._manifest.stands_for(words) if self._merge else ""
        if kept and kept != piece.id:
            self._manifest.put_merged(piece, source, kept, words)
            self.progress.merged += 1
            self.progress.merges.append((piece.id, kept))
            return True
        self._manifest.put_wording(words, piece.id)
        near = self._sketches.add(piece.id, self._store.analyser.words(piece.searchable()))
        if near is not None:
            self.progress.near.append((piece.id, *near))
        return False

    def _succeed(self, heirs: Sequence[tuple[str, str, Document]]) -> None:
        """Stores chunks in place of those that stood for them, with their vectors."""
        rows = self._store.rows_of([gone for gone, _, _ in heirs])
        known = [(row, source, piece) for row, (_, source, piece) in zip(rows, heirs, strict=True) if row is not None]
        if known:
            here = self._store.vectors(np.array([row for row, _, _ in known], np.int64))
            self._store.upsert([piece for _, _, piece in known], np.asarray(here, np.float32))
        for row, (_, source, _) in zip(rows, heirs, strict=True):
            if row is None:  # it never came to be stored: its source is indexed by the next run
                self._manifest.forget(source)

    def _store_merged(self) -> None:
        """Stores every chunk that another one stands for."""
        while pairs := self._manifest.merged():
            for kept in dict.fromkeys(kept for _, kept in pairs):
                heir = self._manifest.promote(kept)
                if heir is not None:
                    self._succeed([(kept, *heir)])
                    # What else was merged now waits for its own turn under the chunk that was just stored.
            self._store.commit()
        self._manifest.commit()

    async def _keep_sentences(self, pieces: Sequence[Document]) -> None:
        for piece in pieces:
            parts = sentences(piece.text)
            if parts:
                self._manifest.put_sentences(piece.id, parts, await self._embedder.embed(parts))


def batches(items: Iterable[T], cost: Callable[[T], int], limit: int) -> Iterator[list[T]]:
    """Groups items in order so that each group's cost stays within `limit`; a larger item goes alone."""
    group: list[T] = []
    total = 0
    for item in items:
        one = cost(item)
        if group and total + one > limit:
            yield group
            group, total = [], 0
        group.append(item)
        total += one
    if group:
        yield group
