"""The benchmark's own arithmetic, on cases small enough to check by hand."""

import gzip
import json

import pytest
from benchmarks.caching import data, prefix, rivals, turns
from benchmarks.caching.replay import Judge

from hapenny.caching.semantic.terms import read
from hapenny.vectors import HashedEmbedder

SHORT, LONG = prefix.TARIFFS["5m"], prefix.TARIFFS["1h"]


def test_prefix_cost_by_hand():
    trace = [(0.0, [1, 2, 3], 1600), (10.0, [1, 2, 3, 4], 2100), (1_000.0, [1, 2, 3], 1600)]
    assert prefix.cost(trace, lambda at, prompt: []) == 1.0
    paid = (1.25 * 1536 + 64) + (0.1 * 1536 + 564) + 1600
    assert prefix.cost(trace, lambda at, prompt: [(3, SHORT)] if at == 0 else []) == pytest.approx(paid / 5300)


def test_a_hit_renews_the_lifetime_and_small_points_do_not_count():
    trace = [(at * 200.0, [1, 2], 1024) for at in range(4)]
    paid = 1.25 * 1024 + 3 * 0.1 * 1024
    assert prefix.cost(trace, lambda at, prompt: [(2, SHORT)] if at == 0 else []) == pytest.approx(paid / 4096)
    assert prefix.cost(trace, lambda at, prompt: [(1, SHORT)]) == 1.0


def test_each_stretch_is_written_at_the_price_of_the_point_behind_it():
    trace = [(0.0, [1, 2, 3, 4], 2048), (1_000.0, [1, 2, 3, 4], 2048)]
    paid = (2.0 * 1024 + 1.25 * 1024) + (0.1 * 1024 + 1024)
    policy = lambda at, prompt: [(2, LONG), (4, SHORT)] if at == 0 else []  # noqa: E731
    assert prefix.cost(trace, policy) == pytest.approx(paid / 4096)


def test_foresight_is_never_worse_than_not_caching():
    trace = [(at * 7.0, [0, at % 5, 10 + at % 3], 1600) for at in range(60)]
    trace = [(now, [a, 100 * a + b, 10_000 * b + c], tokens) for now, (a, b, c), tokens in trace]
    assert prefix.cost(trace, prefix.foresight(trace, SHORT)) < 1.0


async def stream(texts, labels):
    source = data.Questions("set", texts, data.numbers(labels), data.numbers([""] * len(texts)))
    return await data.stream(source, 0, HashedEmbedder(64))


async def test_static_thresholds_serve_the_nearest_stored():
    there = await stream(["when do you open"] * 3 + ["sell gift cards"], ["a", "a", "b", "c"])
    run = rivals.static(there, 0.9)
    assert run.hits == 2
    assert run.wrong in (1, 2)
    assert rivals.static(there, 1.1).hits == 0


async def test_neighbours_are_earlier_and_of_the_same_namespace():
    source = data.Questions("set", ["a b", "a b", "a b"], data.numbers("xxx"), data.numbers("12" + "1"))
    there = await data.stream(source, 0, HashedEmbedder(64))
    assert all(near < at for at, found in enumerate(there.near) for near in found)
    assert sum(len(found) for found in there.near) == 1
    assert there.terms[0] == read("a b")


def test_a_noisy_judge_does_not_change_its_mind():
    judge = Judge([0] * 400, 0.05, 1)
    first = [judge.equal(0, at) for at in range(400)]
    assert first == [judge.equal(0, at) for at in range(400)]
    assert 5 <= first.count(False) <= 40


def test_sets_are_told_by_their_fields(tmp_path):
    rows = [{"text": "a", "label": "x", "oos": True}, {"text": "b", "label": "x", "oos": True}]
    with gzip.open(tmp_path / "name.held.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    assert list(data.files(tmp_path)) == ["name"]
    found = data.questions("name", data.rows(tmp_path / "name.held.jsonl.gz"), False)
    assert len(set(found.labels.tolist())) == 2
    assert data.questions("trace", [{"hash_ids": [1]}], False) is None
    pairs = [{"a": "q1", "b": "q2", "ga": "g", "gb": "g"}, {"a": "q1", "b": "q3", "ga": "g", "gb": "h"}]
    grouped = data.questions("pairs", pairs, False)
    assert sorted(grouped.texts) == ["q1", "q2", "q3"]


def test_turns_count_states_under_the_whole_history():
    rows = [
        {"prev": "", "text": "yes", "reply": "ok", "state": "1"},
        {"prev": "", "text": "yes", "reply": "ok", "state": "1"},
        {"prev": "ok", "text": "yes", "reply": "done", "state": "2"},
    ]
    got = turns.measure(rows)
    assert got["wrong_state_share"] == 0.0
    assert got["hit"] == pytest.approx(1 / 3)
    assert got["last_message_wrong_per_hit"] == 0.5
