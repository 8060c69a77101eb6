import numpy as np
import pytest

from hapenny.core.clock import RealClock
from hapenny.retrieval.documents import Document
from hapenny.retrieval.stores.embedded import EmbeddedStore
from hapenny.retrieval.tune.index_shape import Trial, choose, drifted, exact, lower, shapes, tune
from hapenny.retrieval.tune.metrics import interval, ndcg, quality, scaled
from hapenny.vectors.compact import CompactIndex, Shape
from hapenny.vectors.embedder import unit


def data():
    chance = np.random.default_rng(6)
    centres = chance.normal(size=(30, 32))
    vectors = unit(centres[chance.integers(0, 30, 2500)] + chance.normal(size=(2500, 32)))
    return vectors, unit(vectors[:120] + 0.2 * chance.normal(size=(120, 32)))


def test_the_promise_holds_on_fresh_queries():
    vectors, queries = data()
    tuned = tune(vectors, queries[:60], 0.9, RealClock())
    assert tuned.chosen.lower >= 0.9
    index = CompactIndex(32, tuned.chosen.shape)
    index.add(np.arange(len(vectors)), vectors)
    truth = exact(vectors, queries[60:], 10)
    recalls = np.array(
        [len(set(index.search(q, 10).keys) & set(t)) / 10 for q, t in zip(queries[60:], truth, strict=True)]
    )
    assert recalls.mean() >= 0.89
    assert not drifted(tuned.target, recalls)
    assert drifted(tuned.target, recalls * 0.7)
    assert {trial.shape.kind for trial in tuned.trials} == {
        "exact",
        "half",
        "sq8",
        "hnsw",
        "hnsw_half",
        "hnsw_sq8",
        "ivf",
        "ivf_sq8",
    }


def trial(lower_bound, p50):
    return Trial(shape=Shape(), recall=lower_bound, lower=lower_bound, p50_ms=p50, p99_ms=p50, memory=1, build=0)


def test_the_fastest_that_surely_reaches_the_target_wins():
    trials = [trial(0.99, 3.0), trial(0.96, 1.0), trial(0.94, 0.1)]
    assert choose(0.95, trials, 10).chosen is trials[1]
    assert choose(0.999, trials, 10).chosen is trials[0]


def test_the_bound_is_below_the_mean_and_tightens():
    values = np.random.default_rng(0).random(20)
    assert lower(values) < values.mean()
    assert values.mean() - lower(np.tile(values, 50)) < values.mean() - lower(values)


def test_tuning_without_queries_is_refused():
    with pytest.raises(ValueError, match="queries"):
        tune(np.eye(3, dtype=np.float32), np.empty((0, 3), np.float32), 0.9, RealClock())


def test_ndcg_by_hand():
    gains = {"a": 1.0, "b": 0.1}
    assert ndcg(["a", "b"], gains) == pytest.approx(1.0)
    assert ndcg(["x", "a"], {"a": 1.0}) == pytest.approx(1 / np.log2(3))
    assert ndcg(["x"], {}) == 0.0


def test_quality_tells_what_was_not_judged():
    found = quality([["x", "a", "b"]], [{"a": 1.0, "b": 0.0}])
    assert found.unjudged == pytest.approx(1 / 3)
    assert found.judged_ndcg10 == pytest.approx(1.0)
    assert found.mrr10 == pytest.approx(0.5)
    assert found.recall20 == 1.0
    assert scaled({"a": 100, "b": 10}, 100) == {"a": 1.0, "b": 0.1}


def test_an_interval_covers_the_mean_and_a_clear_gain_excludes_zero():
    low, high = interval([0.1, 0.2, 0.15] * 30)
    assert 0 < low < 0.15 < high < 0.2


def test_fewer_dimensions_are_tried_and_a_store_goes_on_in_them(tmp_path):
    assert {shape.dims for shape in shapes(5000, 384)} == {0, 128, 256}
    assert {shape.dims for shape in shapes(5000, 64)} == {0}
    vectors, _ = data()
    documents = [Document(id=str(n), text=f"number {n}") for n in range(300)]
    store = EmbeddedStore(32, "en", tmp_path / "c")
    store.upsert(documents, vectors[:300])
    store.commit()
    store.reshape(Shape(kind="sq8", dims=16))
    first = store.vector(vectors[7], 1)
    store.close()
    again = EmbeddedStore(32, "en", tmp_path / "c", shape=Shape(kind="sq8", dims=16))
    assert again.shape.dims == 16
    assert again.vector(vectors[7], 1).rows.tolist() == first.rows.tolist()
    assert [document.id for document in again.fetch(first.rows.tolist())] == ["7"]
