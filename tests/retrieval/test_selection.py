import numpy as np
import pytest

from hapenny.retrieval.search.scoring import (
    InStock,
    Near,
    Popularity,
    Recency,
    Scoring,
    Stated,
    bonuses,
    quantile,
    year_fields,
)
from hapenny.retrieval.search.selection import calibrate, select
from hapenny.retrieval.settings import Selection


def scores(*values):
    return np.array(values, np.float64)


def test_the_list_ends_where_the_score_drops():
    assert select(scores(0.9, 0.85, 0.8, 0.3, 0.29), Selection()) == [0, 1, 2]
    assert select(scores(0.9, 0.2, 0.1), Selection()) == [0, 1]
    assert select(scores(*[0.9] * 9), Selection()) == [0, 1, 2, 3, 4]


def test_irrelevant_hits_are_dropped_rather_than_padded():
    assert select(scores(0.9, 0.5, 0.4), Selection(floor=0.7)) == [0]
    assert select(scores(0.5, 0.4), Selection(floor=0.7)) == []


def test_a_wanted_number_is_met():
    assert select(scores(0.9, 0.2, 0.1, 0.05), Selection(floor=0.7), keep=3) == [0, 1, 2]


def test_near_duplicates_leave_once_and_parents_are_bounded():
    vectors = np.array([[1, 0], [1, 0.001], [0, 1], [0.6, 0.8]], np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    values = scores(0.9, 0.89, 0.88, 0.87)
    assert select(values, Selection(), vectors=lambda at: vectors[list(at)]) == [0, 2, 3]
    parents = lambda at: ["a" if i < 3 else "b" for i in at]  # noqa: E731
    assert select(values, Selection(per_parent=2), parents=parents) == [0, 1, 3]


def test_diversity_prefers_the_other_topic():
    vectors = np.array([[1, 0], [0.95, 0.31], [0, 1]], np.float32)
    values = scores(0.9, 0.89, 0.8)
    assert select(values, Selection(diversity=0.5, most=2), vectors=lambda at: vectors[list(at)]) == [0, 2]


def test_a_calibrated_floor_lets_the_relevant_pass():
    judged = [(0.9, True), (0.8, True), (0.7, True), (0.2, False), (0.75, False)] * 20
    floor = calibrate(judged, keep=0.95)
    assert floor == pytest.approx(0.7)
    assert calibrate([(0.3, False)]) is None


NUMBERS = {"votes": scores(10, 1000, np.nan), "year": scores(2000, 2020, np.nan), "price": scores(5, 50, np.nan)}
REFERENCE = {"votes": np.linspace(0, 1000, 201)}


def added(*rules, **rest):
    return bonuses(
        rules, lambda name: NUMBERS.get(name, np.full(3, np.nan)), lambda name: REFERENCE.get(name, np.empty(0)), **rest
    )


def test_rules_add_at_most_their_weight():
    assert added(Popularity(weight=0.1))["popularity"] == pytest.approx([0.001, 0.1, 0.0], abs=0.001)
    assert added(Recency(field="year", half_life=20, now=2020, weight=1.0))["recency"] == pytest.approx([0.5, 1, 0])
    assert added(Near(field="price", target=50, width=45, weight=1.0))["near"] == pytest.approx([0.5, 1, 0])
    assert added(InStock(field="price", weight=1.0))["instock"].tolist() == [1, 1, 1]
    assert added(Popularity(fields=("nothing",))) == {}


def test_popularity_counts_as_far_as_the_words_match():
    found = added(Popularity(weight=0.1), matched=scores(1.0, 0.5, 1.0))["popularity"]
    assert found == pytest.approx([0.001, 0.05, 0.0], abs=0.001)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("musicals of 2020", [0, 1, 0]),
        ("2000, or 2020?", [1, 1, 0]),
        ("blade runner 2049", [0, 0, 0]),
        ("item 20200 for 120201", None),
        ("musicals", None),
    ],
)
def test_a_year_that_the_question_states_counts(question, expected):
    found = added(Stated(weight=1.0, fields=("year",)), question=question)
    assert (found["stated"].tolist() if found else None) == expected


def test_a_tenant_may_have_its_own_rules():
    scoring = Scoring(tenants={"acme": ()})
    assert scoring.of("acme") == ()
    assert scoring.of("other") == (Stated(),)


def test_years_are_known_by_their_values_whatever_the_field_is_called():
    known = {"jahr": np.array([1950.0, 2024.0]), "price": np.array([5.0, 2000.0]), "empty": np.empty(0)}
    assert year_fields(["jahr", "price", "empty"], known.__getitem__) == ("jahr",)
    found = added(Stated(weight=1.0), question="musicals of 2020", years=lambda: ("year",))
    assert found["stated"].tolist() == [0, 1, 0]


def test_alike_hits_leave_together_where_their_words_differ():
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], np.float32)
    how = Selection(least=3, most=3, floor=None)
    said = [b"nineteen", b"twenty-nine", b"nineteen"]
    chosen = select(
        scores(0.9, 0.8, 0.7), how, vectors=lambda at: vectors[list(at)], wordings=lambda at: [said[i] for i in at]
    )
    assert chosen == [0, 1]


def test_nothing_under_the_measured_floor_leaves_unless_a_number_is_asked_for():
    how = Selection()
    assert select(scores(0.9, 0.8, 0.7), how, enough=[False, True, False]) == [1]
    assert select(scores(0.9, 0.8, 0.7), how, enough=[False, False, False]) == []
    assert select(scores(0.9, 0.8, 0.7), how, enough=[False, False, False], keep=2) == [0, 1]
    assert select(scores(0.9, 0.8), Selection(floor=None), enough=[False, False]) == [0, 1]


def test_unknown_values_are_at_the_bottom():
    assert quantile(scores(np.nan, 5), scores(0, 10)).tolist() == [0.0, 0.5]
