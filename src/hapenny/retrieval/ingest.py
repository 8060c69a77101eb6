"""Documents into a store: chunked, freed of near-duplicates, embedded in batches by tokens; resumable, incremental.

A document whose digest is in the manifest is skipped, so an interrupted or repeated run does only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from hapenny.retrieval.chunking import Chunking, chunk, estimate, sentences
from hapenny.retrieval.documents import Document
from hapenny.retrieval.embedding import document_vectors
from hapenny.retrieval.manifest import Manifest, digest_of
from hapenny.retrieval.neardup import NearDuplicates
from hapenny.retrieval.store import Store
from hapenny.vectors.embedder import Embedder

BATCH_TOKENS = 16_000

T = TypeVar("T")


class Progress(msgspec.Struct, kw_only=True):
    """What a run has done so far."""

    documents: int = 0
    unchanged: int = 0
    chunks: int = 0
    merged: int = 0
    removed: int = 0
    tokens: int = 0


class Ingest:
    """One run over one store. `keep_sentences` stores sentence vectors for pruning (about 20 rows a page more)."""

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
        self._duplicates = NearDuplicates() if merge else None
        self._sentences = keep_sentences
        self._tell = on_progress or (lambda progress: None)
        self.progress = Progress()

    async def run(self, documents: Iterable[Document], *, complete: bool = False) -> Progress:
        """Indexes what is new or changed. `complete`: these are all documents there are, so others are removed."""
        seen: set[str] = set()
        for batch in batches(self._changed(documents, seen), lambda pair: estimate(pair[0].searchable()), BATCH_TOKENS):
            await self._index(batch)
            self._tell(self.progress)
        if complete:
            self.remove([each for each in self._manifest.ids() if each not in seen])
        self._store.commit()
        self._manifest.commit()
        self._tell(self.progress)
        return self.progress

    def remove(self, ids: Sequence[str]) -> int:
        """Removes source documents with all their chunks. Returns how many were there."""
        gone = 0
        for each in ids:
            chunks = self._manifest.chunks(each)
            gone += bool(self._manifest.digest(each))
            self._store.delete(chunks)
            self._manifest.drop(each)
        self.progress.removed += gone
        self._store.commit()
        self._manifest.commit()
        return gone

    def _changed(self, documents: Iterable[Document], seen: set[str]) -> Iterator[tuple[Document, str]]:
        for document in documents:
            seen.add(document.id)
            self.progress.documents += 1
            digest = digest_of(document, self._chunking, self._embedder.name)
            if self._manifest.digest(document.id) == digest:
                self.progress.unchanged += 1
            else:
                yield document, digest

    async def _index(self, batch: Sequence[tuple[Document, str]]) -> None:
        fresh: list[Document] = []
        entries: list[tuple[str, str, list[str]]] = []
        old: list[str] = []
        for document, digest in batch:
            old += self._manifest.chunks(document.id)
            kept = [piece for piece in chunk(document, self._chunking) if not self._repeated(piece)]
            fresh += kept
            entries.append((document.id, digest, [piece.id for piece in kept]))
        vectors = await document_vectors(self._embedder, fresh)
        current = {piece.id for piece in fresh}
        self._store.delete([each for each in old if each not in current])
        if fresh:
            self._store.upsert(fresh, vectors)
        if self._sentences:
            await self._keep_sentences(fresh)
        self._store.commit()
        for source, digest, chunks in entries:
            self._manifest.put(source, digest, chunks)
        self._manifest.commit()
        self.progress.chunks += len(fresh)
        self.progress.tokens += sum(estimate(piece.text) for piece in fresh)

    def _repeated(self, piece: Document) -> bool:
        if self._duplicates is None:
            return False
        words = self._store.analyser.words(piece.searchable())
        first = self._duplicates.add(piece.id, words)
        if first is not None:
            self.progress.merged += 1
        return first is not None

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
