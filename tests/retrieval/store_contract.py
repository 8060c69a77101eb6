"""What every store promises; subclassed for each implementation."""

import numpy as np

from hapenny.retrieval.documents import Document
from hapenny.retrieval.filters import Among, Between, Not, matches, parse, seen_by
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.stores.lexical import Boosts, Terms
from tests.retrieval.conftest import DIM, vector_of, vectors_of

BOOSTS = Boosts()


def ids(store, leg):
    return [document.id for document in store.fetch(leg.rows.tolist())]


class StoreContract:
    def test_bm25_finds_by_stem_and_prefers_the_title(self, store):
        leg = store.lexical(Terms.of("robot", store.analyser), 10, BOOSTS)
        found = ids(store, leg)
        assert set(found) == {"1", "5", "6"}
        assert found[0] == "5"
        assert list(leg.scores) == sorted(leg.scores, reverse=True)

    def test_nearest_by_cosine_and_vectors_come_back(self, store, films):
        leg = store.vector(vector_of(films[5].searchable()), 3)
        assert ids(store, leg)[0] == "6"
        assert abs(leg.scores[0] - 1.0) < 1e-3
        assert store.vectors(leg.rows[:1]).shape == (1, DIM)

    def test_filters_agree_with_their_definition(self, store, films):
        wheres = [
            Among("genre", ("Animation", "Romance")),
            Between("year", 2004, 2008),
            Between("year", 2004, 2008, low_open=True, high_open=True),
            parse({"all": [{"field": "genre", "in": ["Animation"]}, {"field": "year", "gte": 2005}]}),
            parse({"any": [{"field": "genre", "is": "Drama"}, {"field": "votes", "lt": 5000}]}),
            Not(Among("genre", ("Action",))),
            Not(Between("missing", 0, 1)),
        ]
        for where in wheres:
            expected = {film.id for film in films if matches(where, film)}
            assert store.count(where) == len(expected)
            assert set(ids(store, store.vector(vector_of("robot love"), 100, where))) == expected
            lexical = ids(
                store, store.lexical(Terms.of("iron robot love space young", store.analyser), 100, BOOSTS, where)
            )
            assert set(lexical) <= expected

    def test_a_filtered_list_is_never_short(self, store):
        for k in (1, 2, 3):
            assert len(store.vector(vector_of("gravity"), k, Among("genre", ("Animation",)))) == k

    def test_replaced_documents_leave_no_trace(self, store, films):
        changed = Document(id="2", title="Ant Man", text="A thief shrinks", facets={"genre": ["Comedy"]})
        store.upsert([changed], vectors_of([changed]))
        store.commit()
        assert store.count() == len(films)
        assert ids(store, store.lexical(Terms.of("billionaire", store.analyser), 5, BOOSTS)) == []
        assert ids(store, store.lexical(Terms.of("thief", store.analyser), 5, BOOSTS)) == ["2"]
        assert store.count(Among("genre", ("Action",))) == 1

    def test_deleted_documents_are_no_ghosts_before_or_after_compaction(self, store):
        assert store.delete(["1", "5", "unknown"]) == 2
        store.commit()
        for _ in range(2):
            terms = Terms.of("robot", store.analyser)
            assert ids(store, store.lexical(terms, 10, BOOSTS)) == ["6"]
            assert not {"1", "5"} & set(ids(store, store.vector(vector_of("robot"), 100)))
            assert store.rows_of(["1", "6"])[0] is None
            store.compact()

    def test_the_last_of_repeated_ids_counts(self, store):
        twice = [Document(id="x", title="First"), Document(id="x", title="Second")]
        store.upsert(twice, vectors_of(twice))
        store.commit()
        (row,) = store.rows_of(["x"])
        assert store.fetch([row])[0].title == "Second"

    def test_numbers_and_quantiles(self, store):
        rows = np.array(store.rows_of(["1", "8"]))
        assert store.numbers("year", rows).tolist() == [1999.0, 2013.0]
        assert np.isnan(store.numbers("nothing", rows)).all()
        assert store.quantiles("year")[0] == 1999.0
        assert store.quantiles("year")[-1] == 2013.0
        assert len(store.quantiles("nothing")) == 0

    def test_a_tenant_sees_its_own_and_shared_documents_of_its_groups(self, store, films):
        private = [
            Document(id="a", title="Robot plans", tenant="acme"),
            Document(id="b", title="Robot plans", tenant="other"),
            Document(id="c", title="Robot plans", tenant="acme", groups=["board"]),
        ]
        store.upsert(private, vectors_of(private))
        store.commit()
        found = set(ids(store, store.vector(vector_of("robot plans"), 100, seen_by("acme", []))))
        assert found == {film.id for film in films} | {"a"}
        assert "c" in ids(store, store.vector(vector_of("robot plans"), 100, seen_by("acme", ["board"])))

    def test_ideal_bounds_what_one_mention_of_each_term_scores(self, store):
        terms = Terms.of("astronauts", store.analyser)
        best = store.lexical(terms, 1, BOOSTS).scores[0]
        assert 0.3 * store.ideal(terms, BOOSTS) < best < 2.5 * store.ideal(terms, BOOSTS)

    def test_which_documents_hold_which_terms(self, store):
        rows = np.array(store.rows_of(["2", "1", "6"]))
        stems = [
            *store.analyser.stems("robot iron"),
            *(f"unknown{i}" for i in range(30)),
            *store.analyser.stems("love"),
        ]
        held = store.holds(stems, rows)
        assert held.shape == (3, len(stems))
        assert held[:, 0].tolist() == [False, True, True]
        assert held[:, 1].tolist() == [True, True, False]
        assert not held[:, 2:-1].any()
        assert held[:, -1].tolist() == [False, False, True]

    def test_hybrid_search_explains_itself(self, store):
        retriever = Retriever(store)
        ranked = retriever.rank("iron man", vector_of("iron man"))
        hits = retriever.hits(ranked, [0, 1])
        assert [hit.id for hit in hits] == ["2", "3"]
        told = hits[0].explain
        assert told["bm25_rank"] == 1
        assert told["fused"] + sum(told["added"].values()) == __import__("pytest").approx(hits[0].score, abs=1e-4)
