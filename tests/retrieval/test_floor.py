"""The floor under which nothing is sent, measured without judged questions."""

import numpy as np
import pytest

from hapenny.retrieval.documents import Document
from hapenny.retrieval.ingest import Ingest
from hapenny.retrieval.ingest.manifest import Manifest, read_floor
from hapenny.retrieval.search.floor import Floor
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.stores.embedded import EmbeddedStore
from hapenny.retrieval.tune.floor_measuring import measure, outside
from hapenny.vectors.hashed import HashedEmbedder

NAMES = ["Naruto", "Bleach", "Monster", "Akira", "Nana", "Berserk", "Vagabond", "Dorohedoro", "Pluto", "Planetes"]
BOOKS = [
    Document(id=f"{name}-{n}", title=f"{name} volume {n}", text=f"Book {n} of the manga {name}, in paper covers.")
    for name in NAMES
    for n in range(1, 6)
]


async def built(documents, language="en"):
    embedder, manifest = HashedEmbedder(), Manifest()
    store = EmbeddedStore(embedder.dim, language)
    await Ingest(store, embedder, manifest).run(documents)
    return Retriever(store, embedder=embedder.name, floor=read_floor(manifest)), embedder, manifest


async def passing(retriever, embedder, question):
    vector = (await embedder.embed([question]))[0]
    ranked = retriever.rank(question, vector)
    return [evidence >= retriever.floor.least for evidence in ranked.evidence[:5]]


async def test_questions_from_outside_stay_under_it_and_those_of_the_collection_do_not():
    retriever, embedder, _ = await built(BOOKS)
    for question in ("What is the boiling point of helium?", "Who may vote in a referendum?", "How is cheese made?"):
        assert not any(await passing(retriever, embedder, question))
    for question in ("naruto manga", "which volume of Planetes has paper covers", "monster book 3"):
        assert (await passing(retriever, embedder, question))[0]


async def test_a_collection_about_everyday_questions_sends_what_it_has():
    documents = [
        Document(id=str(n), text=f"{question} The answer is number {n}.") for n, question in enumerate(outside("en"))
    ]
    retriever, embedder, _ = await built(documents)
    passed = [(await passing(retriever, embedder, question))[0] for question in outside("en")]
    assert np.mean(passed) > 0.95


async def test_it_is_measured_again_when_the_collection_grew_by_more_than_a_tenth():
    retriever, embedder, manifest = await built(BOOKS[:20])
    before = read_floor(manifest)
    await Ingest(retriever.store, embedder, manifest).run(BOOKS[:21])
    assert read_floor(manifest) == before
    await Ingest(retriever.store, embedder, manifest).run(BOOKS)
    assert read_floor(manifest).documents == 50


async def test_nothing_is_measured_of_an_empty_collection():
    retriever = Retriever(EmbeddedStore(HashedEmbedder().dim, "en"))
    assert await measure(retriever, HashedEmbedder().embed) is None


def test_a_passage_without_a_word_of_the_question_must_be_nearer_than_strange_ones():
    floor = Floor(
        cosine=0.1, cosine_spread=0.1, coverage=0.1, coverage_spread=0.1, least=0.5, documents=9, alone=0.6
    )  # fmt: skip
    silent, near, heard = floor.evidence(np.float32([0.5, 0.7, 0.5]), np.array([0.0, 0.0, 0.2]))
    assert silent < floor.least <= min(near, heard)


@pytest.mark.parametrize("language", ["en", "vi", "ja", "other"])
def test_every_language_has_everyday_questions(language):
    asked = outside(language)
    assert len(asked) >= 80
    assert len(set(asked)) == len(asked)
