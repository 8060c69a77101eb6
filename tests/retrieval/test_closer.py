import numpy as np
import pytest

from hapenny.retrieval.documents import Document
from hapenny.retrieval.search.rarest_term_boost import Closer, held
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.settings import PRESETS
from hapenny.retrieval.stores.embedded import EmbeddedStore
from tests.retrieval.conftest import DIM, vector_of, vectors_of


@pytest.fixture
def shop():
    documents = [
        Document(id="case", title="Phone case", text="phone case with phone strap, phone case for every phone"),
        Document(id="zephyr", title="Zephyr", text="A case for one model of phone"),
        *(Document(id=f"other{i}", title="Phone", text="phone case strap charger") for i in range(12)),
    ]
    store = EmbeddedStore(DIM, "en")
    store.upsert(documents, vectors_of(documents))
    store.commit()
    return store


def test_the_rarest_word_decides_and_unknown_words_do_not(shop):
    rows = np.array(shop.rows_of(["zephyr", "case"]))
    look = held(shop, shop.analyser.stems("zephyr phone qqqq"), rows)
    assert look.rarest.tolist() == [1.0, 0.0]
    assert held(shop, ["qqqq"], rows).rarest.tolist() == [0.0, 0.0]
    assert held(shop, [], rows).rarest.tolist() == [0.0, 0.0]


def test_coverage_counts_words_that_nobody_holds(shop):
    rows = np.array(shop.rows_of(["zephyr", "case"]))
    known = held(shop, shop.analyser.stems("zephyr phone"), rows).coverage
    more = held(shop, shop.analyser.stems("zephyr phone qqqq"), rows).coverage
    assert known[0] == pytest.approx(1.0)
    assert 0.0 < more[0] < known[0]
    assert known[1] < known[0]
    assert held(shop, [], rows).coverage.tolist() == [0.0, 0.0]


def test_what_was_added_is_explained_and_stays_within_its_weight(shop):
    retriever = Retriever(shop)
    found = retriever.rank("zephyr phone case", vector_of("zephyr phone case"))
    told = retriever.hits(found, range(3))
    assert told[0].id == "zephyr"
    assert told[0].explain["added"]["rarest"] == pytest.approx(0.1)
    assert all(0.0 <= hit.explain["added"]["rarest"] <= 0.1 for hit in told)
    assert "rarest" not in Retriever(shop, PRESETS["seed"]).rank("zephyr phone", vector_of("zephyr")).added


@pytest.mark.parametrize("wrong", [{"head": -1}, {"rarest": -0.1}])
def test_weights_below_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="at least 0"):
        Closer(**wrong)
