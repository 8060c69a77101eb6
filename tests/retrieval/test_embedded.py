import numpy as np
import pytest

from hapenny.retrieval.documents import Document
from hapenny.retrieval.filters import Among
from hapenny.retrieval.stores.embedded import EmbeddedStore
from hapenny.retrieval.stores.lexical import Boosts, Terms
from hapenny.vectors.compact import Shape
from tests.retrieval.conftest import DIM, vector_of, vectors_of
from tests.retrieval.store_contract import StoreContract, ids


class TestEmbedded(StoreContract):
    pass


class TestEmbeddedGraph(StoreContract):
    @pytest.fixture
    def store(self, films):
        made = EmbeddedStore(DIM, "en", shape=Shape(kind="hnsw"))
        made.upsert(films, vectors_of(films))
        made.commit()
        return made


def test_a_closed_folder_opens_as_it_was(tmp_path, films):
    store = EmbeddedStore(DIM, "en", tmp_path)
    store.upsert(films, vectors_of(films))
    store.commit()
    store.delete(["4"])
    store.close()
    again = EmbeddedStore(DIM, "vi", tmp_path)
    assert again.language == "en"
    assert again.count() == len(films) - 1
    assert ids(again, again.lexical(Terms.of("iron man", again.analyser), 1, Boosts())) == ["2"]
    assert ids(again, again.vector(vector_of(films[6].searchable()), 1)) == ["7"]
    assert again.count(Among("genre", ("Romance",))) == 1
    again.close()


def test_rows_written_before_a_crash_are_indexed_at_the_next_start(tmp_path, films):
    store = EmbeddedStore(DIM, "en", tmp_path)
    store.upsert(films[:4], vectors_of(films[:4]))
    store.commit()
    store.upsert(films[4:], vectors_of(films[4:]))
    store._rows.commit()  # noqa: SLF001 - where a crash would part them
    store._lexical.close()  # noqa: SLF001 - where a crash would part them
    store._rows.close()  # noqa: SLF001 - where a crash would part them
    again = EmbeddedStore(DIM, "en", tmp_path)
    found = ids(again, again.lexical(Terms.of("robot", again.analyser), 10, Boosts()))
    assert sorted(found) == ["1", "5", "6"]
    assert len(again.vector(vector_of("x"), 100)) == len(films)
    again.close()


def test_a_reader_sees_what_the_writer_committed(tmp_path, films):
    writer = EmbeddedStore(DIM, "en", tmp_path)
    writer.upsert(films[:2], vectors_of(films[:2]))
    writer.commit()
    reader = EmbeddedStore(DIM, "en", tmp_path, read_only=True)
    writer.upsert(films[2:], vectors_of(films[2:]))
    writer.delete(["1"])
    writer.commit()
    assert reader.count() == 2
    reader.refresh()
    assert reader.count() == len(films) - 1
    assert sorted(ids(reader, reader.lexical(Terms.of("robot", reader.analyser), 5, Boosts()))) == ["5", "6"]
    reader.close()
    writer.close()


def test_a_folder_in_which_nothing_came_to_be_stored_takes_another_length(tmp_path, films):
    EmbeddedStore(DIM + 1, "en", tmp_path).close()
    store = EmbeddedStore(DIM, "en", tmp_path)
    store.upsert(films[:1], vectors_of(films[:1]))
    store.commit()
    store.close()
    assert EmbeddedStore(DIM, "en", tmp_path, read_only=True).count() == 1


def test_vectors_of_another_length_are_refused(tmp_path, films):
    store = EmbeddedStore(DIM, "en", tmp_path)
    store.upsert(films[:1], vectors_of(films[:1]))
    store.commit()
    store.close()
    with pytest.raises(ValueError, match="length 64"):
        EmbeddedStore(DIM + 1, "en", tmp_path)


def test_filters_over_many_rows_lose_nothing():
    chance = np.random.default_rng(1)
    vectors = chance.normal(size=(3000, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    documents = [
        Document(id=str(i), title=f"common word{i % 50}", facets={"tenth": [str(i % 10)]}) for i in range(len(vectors))
    ]
    store = EmbeddedStore(DIM, "en", shape=Shape(kind="hnsw"))
    store.upsert(documents, vectors)
    store.commit()
    where = Among("tenth", ("3",))
    leg = store.vector(vectors[5], 10, where)
    truth = sorted((i for i in range(3000) if i % 10 == 3), key=lambda i: -float(vectors[i] @ vectors[5]))[:10]
    assert ids(store, leg) == [str(i) for i in truth]
    assert len(store.lexical(Terms.of("common", store.analyser), 250, Boosts(), where)) == 250
    assert len(store.lexical(Terms.of("common", store.analyser), 400, Boosts(), where)) == 300
