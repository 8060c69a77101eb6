import numpy as np
import pytest

from hapenny.retrieval.search.forest import Forest
from hapenny.retrieval.search.ranker_features import NAMES
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.settings import PRESETS
from hapenny.retrieval.tune.metrics import ndcg
from hapenny.retrieval.tune.ranker_training import Training, taken_over, train
from hapenny.retrieval.tune.training import Judged, examples, fit, noise_words
from tests.retrieval.conftest import vector_of

HOW = Training(trees=40, depth=3, bins=16)


def problem(lists, seed):
    """Ten candidates a list; the relevant one is where feature 0 is high and feature 1 is low."""
    chance = np.random.default_rng(seed)
    table = chance.random((lists * 10, 4)).astype(np.float32)
    numbers = np.repeat(np.arange(lists), 10)
    quality = table[:, 0] - (table[:, 1] > 0.5)
    gains = np.zeros(len(table))
    for each in range(lists):
        gains[each * 10 + int(quality[each * 10 : each * 10 + 10].argmax())] = 1.0
    return table, gains, numbers


def mean_ndcg(scores, gains):
    total = []
    for start in range(0, len(scores), 10):
        order = np.argsort(-scores[start : start + 10])
        total.append(ndcg([str(i) for i in order], {str(i): gains[start + i] for i in range(10)}))
    return float(np.mean(total))


def test_learns_an_order_that_no_single_feature_gives_and_generalises():
    table, gains, lists = problem(300, 1)
    forest = train(table, gains, lists, ("a", "b", "c", "d"), HOW)
    fresh, wanted, _ = problem(100, 2)
    assert mean_ndcg(forest.score(fresh), wanted) > 0.93
    assert mean_ndcg(fresh[:, 0], wanted) < 0.8


def test_the_order_of_training_rows_does_not_matter_for_lists():
    table, gains, lists = problem(60, 1)
    mixed = np.random.default_rng(3).permutation(len(table))
    forest = train(table[mixed], gains[mixed], lists[mixed], ("a", "b", "c", "d"), HOW)
    fresh, wanted, _ = problem(100, 2)
    assert mean_ndcg(forest.score(fresh), wanted) > 0.85


def test_a_dumped_forest_scores_alike():
    table, gains, lists = problem(40, 1)
    forest = train(table, gains, lists, ("a", "b", "c", "d"), HOW)
    again = Forest.read(forest.dump())
    assert again.names == ("a", "b", "c", "d")
    assert np.allclose(again.score(table), forest.score(table), atol=1e-3)


def test_the_arrays_score_as_the_library_does():
    lightgbm = pytest.importorskip("lightgbm")
    table, gains, _ = problem(80, 5)
    data = lightgbm.Dataset(np.asarray(table, np.float64), label=gains, group=[10] * 80, params={"verbosity": -1})
    settings = {"objective": "lambdarank", "num_leaves": 9, "verbosity": -1, "min_data_in_leaf": 5, "num_threads": 1}
    booster = lightgbm.train(settings, data, 25)
    fresh, _, _ = problem(50, 6)
    ours = taken_over(booster.dump_model(), ("a", "b", "c", "d")).score(fresh)
    theirs = booster.predict(np.asarray(fresh, np.float64))
    assert np.abs(ours - theirs).max() < 1e-5


def test_a_ranker_of_an_older_version_is_named():
    with pytest.raises(ValueError, match="train"):
        Forest.read(b'{"names": ["a"], "features": [[0]], "cuts": [[0.5]], "leaves": [[0, 1]]}')


def test_lists_without_a_difference_teach_nothing():
    forest = train(np.ones((10, 2), np.float32), np.ones(10), np.zeros(10, np.int64), ("a", "b"), HOW)
    assert forest.score(np.zeros((3, 2), np.float32)).tolist() == [0, 0, 0]


def test_a_ranker_trained_on_judgements_orders_the_fused_list(store):
    judged = [
        Judged(text, {good: 1.0}, vector_of(text))
        for text, good in [
            ("iron man", "2"),
            ("robot", "6"),
            ("love", "6"),
            ("space", "8"),
            ("iron", "2"),
            ("young", "4"),
        ]
        * 4
    ]
    retriever = Retriever(store)
    found = examples(retriever, judged)
    assert found.table.shape[1] == len(NAMES)
    assert np.isfinite(found.table).all()
    learned = Retriever(store, PRESETS["learned"], fit([found, found], Training(trees=30, depth=3)))
    ranked = learned.rank("robot", vector_of("robot"))
    assert store.fetch(ranked.rows[:1].tolist())[0].id == "6"
    assert "learned" in learned.hits(ranked, [0])[0].explain


def test_noise_is_learnt_from_judged_queries(store):
    judged = [Judged(f"{text} streaming", {good: 1.0}, vector_of(text)) for text, good in [("iron", "2")] * 6]
    assert noise_words(store, judged) == {"streaming"}
