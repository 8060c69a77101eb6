"""One suite for every index."""

import subprocess
import sys

import numpy as np
import pytest

from hapenny.vectors import ExactIndex, open_index, unit
from hapenny.vectors.exact import largest
from hapenny.vectors.graph import GraphIndex
from hapenny.vectors.growing import GrowingIndex

KINDS = {
    "exact": (lambda dim: ExactIndex(dim), ExactIndex.load),
    "graph": (lambda dim: GraphIndex(dim), GraphIndex.load),
    "growing": (lambda dim: GrowingIndex(dim, limit=150), GrowingIndex.load),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def vectors(count, dim=24, seed=1):
    return unit(np.random.default_rng(seed).normal(size=(count, dim)))


def test_finds_each_stored_vector_first(kind):
    index, rows = kind[0](24), vectors(200)
    index.add(range(1000, 1200), rows)
    assert len(index) == 200
    for at in range(0, 200, 17):
        hits = index.search(rows[at], 3)
        assert hits.keys[0] == 1000 + at
        assert hits.scores[0] == pytest.approx(1.0, abs=2e-3)
        assert list(hits.scores) == sorted(hits.scores, reverse=True)


def test_scores_are_cosines(kind):
    index = kind[0](2)
    index.add([7, 9], unit(np.array([[1.0, 0.0], [1.0, 1.0]])))
    hits = index.search(unit(np.array([0.0, 1.0])), 2)
    assert list(hits.keys) == [9, 7]
    assert hits.scores == pytest.approx([2**-0.5, 0.0], abs=2e-3)


def test_removed_vectors_are_gone_and_their_keys_can_return(kind):
    index, rows = kind[0](24), vectors(200)
    index.add(range(200), rows)
    assert index.remove([3, 3, 5, 999]) == 2
    assert 3 not in index
    assert 4 in index
    assert len(index) == 198
    assert index.search(rows[3], 1).keys[0] != 3
    index.add([3], rows[3:4])
    assert index.search(rows[3], 1).keys[0] == 3


def test_adding_a_key_again_replaces_its_vector(kind):
    index, rows = kind[0](24), vectors(4)
    index.add([1, 2], rows[:2])
    index.add([1], rows[3:])
    assert len(index) == 2
    assert index.search(rows[3], 1).keys[0] == 1
    assert index.search(rows[0], 1).scores[0] < 0.99


def test_fewer_hits_only_when_fewer_vectors(kind):
    index = kind[0](24)
    assert len(index.search(vectors(1)[0], 5).keys) == 0
    index.add([1, 2, 3], vectors(3))
    assert len(index.search(vectors(1)[0], 5).keys) == 3
    assert len(index.search(vectors(1)[0], 0).keys) == 0


def test_a_snapshot_answers_like_the_original(kind, tmp_path):
    index, rows = kind[0](24), vectors(180)
    index.add(range(180), rows)
    index.remove(range(20))
    index.save(tmp_path / "deep" / "index")
    again = kind[1](tmp_path / "deep" / "index")
    assert len(again) == 160
    assert list(again.search(rows[50], 5).keys) == list(index.search(rows[50], 5).keys)
    again.add([500], rows[:1])
    assert again.search(rows[0], 1).keys[0] == 500


def test_wrong_shapes_are_refused(kind):
    with pytest.raises(ValueError, match="shape"):
        kind[0](24).add([1, 2], vectors(2, dim=8))


def test_the_graph_agrees_with_the_exact_scan():
    rows, queries = vectors(3000, dim=48), vectors(40, dim=48, seed=2)
    exact, graph = ExactIndex(48), GraphIndex(48)
    exact.add(range(3000), rows)
    graph.add(range(3000), rows)
    found = sum(len(set(exact.search(q, 10).keys) & set(graph.search(q, 10).keys)) for q in queries)
    assert found / 400 >= 0.9


def test_growing_becomes_a_graph_and_keeps_its_keys():
    index, rows = GrowingIndex(24, limit=100), vectors(300)
    index.add(range(100), rows[:100])
    assert index.exact
    index.add(range(100, 300), rows[100:])
    assert not index.exact
    assert all(index.search(rows[at], 1).keys[0] == at for at in range(0, 300, 7))


def test_open_index_starts_where_the_size_says(tmp_path):
    assert open_index(8).exact
    assert not open_index(8, expected=1_000_000).exact


def test_the_graph_and_the_local_model_live_in_one_process():
    """usearch imported before onnxruntime crashes the interpreter (usearch 2.26.6, onnxruntime 1.31.1)."""
    pytest.importorskip("onnxruntime")
    code = "from hapenny.vectors.graph import GraphIndex; GraphIndex(8); import onnxruntime; print('alive')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "alive\n"


@pytest.mark.parametrize("count", [1, 5, 64, 1_600, 10_001])
@pytest.mark.parametrize("k", [0, 1, 24, 20_000])
def test_the_largest_are_found_whatever_the_size(count, k):
    scores = np.random.default_rng(count).normal(size=count).astype(np.float32)
    k = min(k, count)
    assert sorted(scores[largest(scores, k)]) == sorted(scores)[count - k :]


SAVING = """
import sys
from pathlib import Path
import numpy as np
from hapenny.vectors import ExactIndex
index = ExactIndex(64)
count = int(sys.argv[2])
index.add(range(count), np.eye(64, dtype=np.float32)[np.arange(count) % 64])
for _ in range(60):
    index.save(Path(sys.argv[1]))
"""


def test_processes_that_save_at_once_leave_a_whole_snapshot(tmp_path):
    path = tmp_path / "index.npz"
    saving = [
        subprocess.Popen([sys.executable, "-c", SAVING, str(path), count], stderr=subprocess.PIPE)
        for count in ("3000", "7")
    ]
    assert [(process.communicate()[1], process.returncode) for process in saving] == [(b"", 0)] * 2
    assert len(open_index(64, path)) in (7, 3000)
    assert [each.name for each in tmp_path.iterdir()] == ["index.npz"]
