import pytest

from hapenny.retrieval.filters import Among
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.stores.lexical import Boosts, Terms
from tests.retrieval.conftest import DIM, FILMS, vector_of, vectors_of
from tests.retrieval.store_contract import StoreContract, ids

pytestmark = pytest.mark.postgres


@pytest.fixture
def postgres(postgres_dsn, films):
    from hapenny.retrieval.stores.postgres import PostgresStore

    made = PostgresStore(postgres_dsn, DIM, "en")
    made.upsert(films, vectors_of(films))
    made.commit()
    yield made
    made.close()


class TestPostgres(StoreContract):
    @pytest.fixture
    def store(self, postgres):
        return postgres


def test_scores_are_those_of_the_embedded_store(postgres, store):
    for text in ("iron man", "robot love in space", "a young inventor", "christmas", "nothing matches zzz"):
        vector, terms = vector_of(text), Terms.of(text, store.analyser)
        ours, theirs = store.lexical(terms, 10, Boosts()), postgres.lexical(terms, 10, Boosts())
        assert ids(store, ours) == ids(postgres, theirs)
        assert theirs.scores == pytest.approx(ours.scores, rel=1e-4)
        first, second = Retriever(store).rank(text, vector), Retriever(postgres).rank(text, vector)
        assert ids(store, first) == ids(postgres, second)
        assert second.scores == pytest.approx(first.scores, abs=1e-4)


def test_the_graph_gives_full_lists_under_a_filter(postgres):
    postgres.build_graph()
    leg = postgres.vector(vector_of("robot"), 5, Among("genre", ("Animation",)))
    assert len(leg) == sum("Animation" in film[3] for film in FILMS)


def test_a_table_name_cannot_carry_sql(postgres_dsn):
    from hapenny.retrieval.stores.postgres import PostgresStore

    with pytest.raises(ValueError, match="lower-case"):
        PostgresStore(postgres_dsn, DIM, name="x; drop table y")
