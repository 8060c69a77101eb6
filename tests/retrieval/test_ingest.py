import pytest

from hapenny.retrieval.chunking import Chunking
from hapenny.retrieval.documents import Document
from hapenny.retrieval.ingest import Ingest, batches
from hapenny.retrieval.ingest.manifest import Manifest
from hapenny.retrieval.stores.embedded import EmbeddedStore
from hapenny.retrieval.stores.lexical import Boosts, Terms
from tests.retrieval.conftest import DIM, vector_of


class Words:
    """An embedder that counts what it is asked."""

    name, dim = "words", DIM

    def __init__(self):
        self.asked = 0

    async def embed(self, texts):
        import numpy as np

        self.asked += len(texts)
        return np.stack([vector_of(text) for text in texts]) if texts else np.zeros((0, DIM), np.float32)


def found(store, text):
    leg = store.lexical(Terms.of(text, store.analyser), 10, Boosts())
    return [document.id for document in store.fetch(leg.rows.tolist())]


LONG = " ".join(f"Sentence number {i} speaks of topic{i}." for i in range(120))


async def test_documents_become_searchable_chunks_and_a_second_run_does_nothing():
    store, embedder, manifest = EmbeddedStore(DIM, "en"), Words(), Manifest()
    documents = [Document(id="a", title="Long", text=LONG), Document(id="b", title="Short", text="A short one.")]
    told = []
    first = await Ingest(
        store, embedder, manifest, Chunking(size=64, overlap=8), on_progress=lambda p: told.append(p.chunks)
    ).run(documents)
    assert first.chunks > 5
    assert told[-1] == first.chunks
    assert found(store, "topic77")[0].startswith("a#")
    asked = embedder.asked
    second = await Ingest(store, embedder, manifest, Chunking(size=64, overlap=8)).run(documents)
    assert (second.unchanged, second.chunks, embedder.asked) == (2, 0, asked)


async def test_a_changed_document_loses_its_old_chunks_and_a_missing_one_goes():
    store, manifest = EmbeddedStore(DIM, "en"), Manifest()
    how = Chunking(size=64, overlap=8)
    run = lambda documents: Ingest(store, Words(), manifest, how).run(documents, complete=True)  # noqa: E731
    await run([Document(id="a", text=LONG), Document(id="b", text="Zebra facts.")])
    result = await run([Document(id="a", text="Only giraffes now.")])
    assert result.removed == 1
    assert found(store, "topic77") == []
    assert found(store, "zebra") == []
    assert found(store, "giraffes") == ["a"]
    assert store.count() == 1
    assert manifest.ids() == ["a"]


async def test_a_document_that_was_emptied_is_no_longer_found():
    store, manifest = EmbeddedStore(DIM, "en"), Manifest()
    await Ingest(store, Words(), manifest).run(
        [Document(id="a", text="Zebra facts."), Document(id="b", text="Giraffes.")]
    )
    await Ingest(store, Words(), manifest).run([Document(id="a", text=" \n")])
    assert found(store, "zebra") == []
    assert store.count() == 1


async def test_repeated_passages_are_stored_once():
    store = EmbeddedStore(DIM, "en")
    text = " ".join(f"word{i}" for i in range(80)) + "."
    result = await Ingest(store, Words(), Manifest()).run([Document(id=str(i), text=text) for i in range(3)])
    assert result.merged == 2
    assert store.count() == 1


@pytest.mark.parametrize(
    "other",
    [
        {"text": "The plan costs 29 euro a month."},
        {"text": "The plan Osprey costs 19 euro a month."},
        {"text": "The plan does not cost 19 euro a month."},
        {"numbers": {"year": 2024.0}},
        {"facets": {"region": ["north"]}},
        {"tenant": "acme"},
        {"groups": ["staff"]},
        {"title": "Terms"},
    ],
)
async def test_what_differs_in_anything_but_blanks_and_marks_is_kept(other):
    store = EmbeddedStore(DIM, "en")
    first = Document(id="1", title="Tariff", text="The plan costs 19 euro a month.")
    twin = Document(id="2", title="Tariff", text="The plan costs 19  euro a month!")
    another = Document(**{"id": "3", "title": "Tariff", "text": first.text} | other)
    result = await Ingest(store, Words(), Manifest()).run([first, twin, another])
    assert result.merges == [("2", "1")]
    assert store.count() == 2


@pytest.mark.parametrize("way", ["removed", "changed"])
async def test_a_merged_document_takes_the_place_of_the_one_that_stood_for_it(way):
    store, manifest = EmbeddedStore(DIM, "en"), Manifest()
    text = "Heron tariff: nineteen euro a month, router on loan."
    twins = [Document(id=str(n), title="T", text=text) for n in range(3)]
    run = lambda documents: Ingest(store, Words(), manifest, keep_sentences=True).run(documents, complete=True)  # noqa: E731
    await run(twins)
    if way == "removed":
        await run(twins[1:])
    else:
        await run([Document(id="0", title="T", text="Something else."), *twins[1:]])
    assert found(store, "heron tariff") == ["1"]
    assert store.vector(vector_of(twins[0].searchable()), 1).scores[0] > 0.98
    assert manifest.sentences("1", DIM) is not None
    await run(twins[2:])
    assert found(store, "heron tariff") == ["2"]


async def test_keeping_duplicates_stores_what_was_merged_before():
    store, manifest = EmbeddedStore(DIM, "en"), Manifest()
    twins = [Document(id=str(n), text="The same words in both.") for n in range(3)]
    await Ingest(store, Words(), manifest).run(twins)
    assert store.count() == 1
    await Ingest(store, Words(), manifest, merge=False).run(twins)
    assert sorted(found(store, "same words")) == ["0", "1", "2"]


async def test_of_documents_with_one_id_the_last_counts_and_it_is_said():
    store = EmbeddedStore(DIM, "en")
    result = await Ingest(store, Words(), Manifest()).run(
        [Document(id="a", text="First words."), Document(id="a", text="Second words.")]
    )
    assert result.repeated == 1
    assert found(store, "second") == ["a"]
    assert found(store, "first") == []


async def test_sentence_vectors_are_kept_for_pruning():
    manifest = Manifest()
    ingest = Ingest(EmbeddedStore(DIM, "en"), Words(), manifest, keep_sentences=True)
    await ingest.run([Document(id="a", text="Cats sleep. Dogs bark.")])
    texts, vectors = manifest.sentences("a", DIM)
    assert texts == ["Cats sleep.", "Dogs bark."]
    assert vectors[1] @ vector_of("Dogs bark.") > 0.99


def test_batches_keep_order_and_the_limit():
    assert list(batches([3, 3, 3, 9, 1], lambda x: x, 6)) == [[3, 3], [3], [9], [1]]
