import numpy as np
import pytest

from hapenny.vectors.compact import CompactIndex, Shape
from hapenny.vectors.embedder import unit
from hapenny.vectors.reduced import ReducedIndex
from hapenny.vectors.shaped import load_index, make_index

KINDS = ("exact", "half", "sq8", "hnsw", "hnsw_half", "hnsw_sq8", "ivf", "ivf_sq8")
DIM, COUNT, K = 48, 1500, 10


@pytest.fixture(scope="module")
def data():
    chance = np.random.default_rng(4)
    centres = chance.normal(size=(40, DIM))
    return unit(centres[chance.integers(0, 40, COUNT)] + 0.8 * chance.normal(size=(COUNT, DIM)))


@pytest.fixture(params=KINDS)
def index(request, data):
    made = CompactIndex(DIM, Shape(kind=request.param, probes=20))
    made.add(np.arange(100, 100 + COUNT), data)
    return made


def truth(data, query, allowed=None):
    scores = data @ query
    if allowed is not None:
        scores = np.where(allowed, scores, -9)
    return set((np.argsort(-scores)[:K] + 100).tolist())


def recall(index, data, allowed=None, only=None):
    hits = [len(truth(data, q, allowed) & set(index.search(q, K, only).keys.tolist())) for q in data[:60]]
    return sum(hits) / (60 * K)


def test_finds_the_nearest_with_cosines(index, data):
    assert recall(index, data) > 0.93
    hits = index.search(data[7], 3)
    assert hits.keys[0] == 107
    assert abs(hits.scores[0] - 1.0) < 0.02


@pytest.mark.parametrize("share", [0.5, 0.05, 0.004])
def test_a_filter_costs_no_recall_and_no_results(index, data, share):
    allowed = np.random.default_rng(9).random(COUNT) < share
    only = np.concatenate([np.zeros(100, bool), allowed])
    assert recall(index, data, allowed, only) > 0.93 * min(1.0, allowed.sum() / K)
    assert all(len(index.search(q, K, only).keys) == min(K, allowed.sum()) for q in data[:60])


def test_removed_vectors_are_no_ghosts_and_their_memory_comes_back(index, data):
    before = index.memory()
    gone = np.arange(100, 100 + COUNT, 2)
    assert index.remove([*gone, 5]) == len(gone)
    allowed = np.arange(COUNT) % 2 == 1
    for _ in range(2):
        assert recall(index, data, allowed) > 0.9
        assert not set(gone.tolist()) & set(index.search(data[0], 200).keys.tolist())
        assert len(index) == COUNT - len(gone)
        index.compact()
    assert index.dead == 0
    assert index.memory() < 0.62 * before


def test_a_replaced_key_has_only_its_new_vector(index, data):
    index.add([107], -data[7][None])
    assert index.search(-data[7], 1).keys[0] == 107
    assert 107 not in index.search(data[7], K).keys
    assert len(index) == COUNT


def test_a_snapshot_answers_alike(index, data, tmp_path):
    index.remove([101])
    index.save(tmp_path / "x.npz")
    again = CompactIndex.load(tmp_path / "x.npz", DIM)
    assert len(again) == COUNT - 1
    assert again.shape == index.shape
    assert again.search(data[3], 1).keys[0] == 103
    assert again.vectors([103])[0] @ data[3] > 0.98


def test_a_filter_in_a_large_graph_far_from_the_query_still_fills_the_list(data, monkeypatch):
    monkeypatch.setattr("hapenny.vectors.compact._FEW", 50)
    index = CompactIndex(DIM, Shape(kind="hnsw", effort=10))
    index.add(np.arange(COUNT), data)
    for query in data[:30]:
        only = np.zeros(COUNT, bool)
        only[np.argsort(data @ query)[:120]] = True
        assert len(index.search(query, K, only).keys) == K


def test_fewer_dimensions_find_candidates_and_full_vectors_order_them(data):
    index = ReducedIndex(DIM, kept=16, oversample=12)
    index.add(np.arange(COUNT), data)
    found = [index.search(q, K).keys + 100 for q in data[:60]]
    assert np.mean([len(truth(data, q) & set(f.tolist())) / K for q, f in zip(data, found, strict=False)]) > 0.95
    assert index.memory() < data.nbytes / 3
    index.remove(range(0, COUNT, 2))
    index.compact()
    assert (index.search(data[0], 50).keys % 2 == 1).all()
    assert index.on_disk == data.nbytes // 4


def test_fewer_dimensions_are_kept_in_a_snapshot_and_found_again(tmp_path):
    chance = np.random.default_rng(9)
    centres = chance.normal(size=(12, DIM))
    vectors = unit(centres[chance.integers(0, 12, 400)] + 0.3 * chance.normal(size=(400, DIM)))
    index = make_index(DIM, Shape(kind="sq8", dims=DIM // 2))
    assert isinstance(index, ReducedIndex)
    index.add(np.arange(10, 410), vectors)
    index.remove([10])
    index.save(tmp_path / "x.npz")
    again = load_index(tmp_path / "x.npz", DIM)
    assert again.shape == index.shape
    assert len(again) == 399
    assert 10 not in again
    assert np.abs(again.vectors([12]) - vectors[2]).max() < 1e-3
    assert again.search(vectors[5], 3).keys.tolist() == index.search(vectors[5], 3).keys.tolist()
    only = np.zeros(411, np.bool_)
    only[[20, 30]] = True
    assert set(again.search(vectors[5], 5, only).keys) == {20, 30}
    assert isinstance(load_index_of_all(tmp_path, vectors), CompactIndex)


def load_index_of_all(folder, vectors):
    whole = make_index(DIM, Shape(kind="half"))
    whole.add(np.arange(len(vectors)), vectors)
    whole.save(folder / "whole.npz")
    return load_index(folder / "whole.npz", DIM)
