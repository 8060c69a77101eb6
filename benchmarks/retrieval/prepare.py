"""A collection in an embedded store, with query vectors, ready to be searched."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import msgspec

from benchmarks.cached_embedder import CachedEmbedder
from benchmarks.retrieval.corpora import Collection, read
from hapenny.core.clock import RealClock
from hapenny.retrieval.analysis import detect
from hapenny.retrieval.documents import Matrix
from hapenny.retrieval.ingest.document_vectors import document_vectors
from hapenny.retrieval.search.floor import Floor
from hapenny.retrieval.search.forest import Forest
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.search.scoring import Popularity
from hapenny.retrieval.settings import Settings
from hapenny.retrieval.stores.embedded import EmbeddedStore
from hapenny.retrieval.tune.floor_measuring import measure
from hapenny.retrieval.tune.training import Judged, learn_prior, noise_words, with_prior
from hapenny.vectors.embedder import Embedder
from hapenny.vectors.minilm import MiniLM

OTHERS = 500
"""Documents of a quick run beside the judged ones."""


class Prepared(msgspec.Struct):
    """A collection, its store, document vectors in document order, judged queries by split, learnt noise words."""

    collection: Collection
    store: EmbeddedStore
    vectors: Matrix
    judged: dict[str, list[Judged]]
    noise: tuple[str, ...] = ()
    prior: tuple[Popularity, ...] = ()
    embedder: str = ""
    floor: Floor | None = None

    @property
    def name(self) -> str:
        return self.collection.name

    def settings(self, base: Settings) -> Settings:
        """`base` with what this collection's training queries taught: noise words and preferred fields."""
        return with_prior(msgspec.structs.replace(base, noise=self.noise), self.prior)

    def retriever(self, settings: Settings, forest: Forest | None = None) -> Retriever:
        """The collection's retriever."""
        return Retriever(self.store, settings, forest, embedder=self.embedder, floor=self.floor)


def say(text: str) -> None:
    """Progress."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def embedder(cache: Path | None) -> Embedder:
    """MiniLM in int8, through the vector cache if there is one."""
    inner = MiniLM(RealClock())
    return CachedEmbedder(inner, cache) if cache is not None else inner


def prepare(folder: Path, by: Embedder, limit: int = 0) -> Prepared | None:
    """Reads, embeds and indexes one collection. None if there is nothing.

    `limit` bounds the queries of each split, and the documents to those judged for them and a few hundred others.
    """
    collection = read(folder, limit, OTHERS)
    if not collection.documents or not any(collection.queries.values()):
        say(f"{collection.name}: left out, it has no documents or no queries")
        return None
    language = detect(document.searchable() for document in collection.documents[:2000])
    vectors = asyncio.run(document_vectors(by, collection.documents))
    judged: dict[str, list[Judged]] = {}
    for split, queries in collection.queries.items():
        if not queries:
            continue
        vectors_of = asyncio.run(by.embed([query.text for query in queries]))
        judged[split] = [Judged(q.text, q.gains, vector) for q, vector in zip(queries, vectors_of, strict=True)]
    store = EmbeddedStore(by.dim, language)
    store.upsert(collection.documents, vectors)
    store.commit()
    made = Prepared(collection, store, vectors, judged, embedder=by.name)
    made.floor = asyncio.run(measure(made.retriever(Settings()), by.embed))
    if judged.get("train"):
        made.noise = tuple(sorted(noise_words(store, judged["train"])))
        noisy = msgspec.structs.replace(Settings(), noise=made.noise)
        made.prior = learn_prior(made.retriever(noisy), judged["train"])
    learnt = f"{len(made.noise)} noise words, {[rule.fields for rule in made.prior]} preferred"
    say(f"{collection.name}: {len(collection.documents)} documents, {language}, {learnt}")
    return made
