import json

import pytest
from click.testing import CliRunner

from hapenny.cli.index import index
from tests.retrieval.conftest import FILMS


@pytest.fixture
def run(tmp_path):
    def call(*arguments, fails=False):
        verb, *rest = arguments
        result = CliRunner().invoke(index, [verb, str(tmp_path / "films"), *map(str, rest), "--embedder", "hashed"])
        assert (result.exit_code != 0) == fails, result.output
        return result

    return call


@pytest.fixture
def built(tmp_path, run):
    rows = [{"id": k, "title": t, "overview": o, "genre": g, "year": y, "votes": v} for k, t, o, g, y, v in FILMS]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    told = json.loads(run("build", tmp_path / "rows.jsonl").stdout.splitlines()[-1])
    assert told["documents"] == len(FILMS)
    queries = [
        {"query": query, "judgements": {good: 1, "4": 0}}
        for query, good in [("iron man netflix", "2"), ("robot netflix", "6"), ("love london netflix", "7")] * 3
    ]
    path = tmp_path / "queries.jsonl"
    path.write_text("\n".join(map(json.dumps, queries)))
    return path


def test_built_files_are_found_filtered_and_explained(built, run):
    assert "Iron Man" in run("search", "iron man", "-k", 1).stdout
    assert "Iron Man 2" in run("search", "iron man", "-k", 1, "--filter", '{"field": "year", "gte": 2009}').stdout
    told = json.loads(run("explain", "lonely robot").stdout.splitlines()[0])
    assert told["id"].endswith(":6")
    assert told["bm25"] > 0
    assert told["bm25_rank"] <= 2


def test_a_second_build_does_only_what_changed(built, run, tmp_path):
    told = json.loads(run("build", tmp_path / "rows.jsonl").stdout.splitlines()[-1])
    assert (told["unchanged"], told["chunks"]) == (len(FILMS), 0)


def test_evaluation_training_and_the_difference(built, run):
    before = json.loads(run("eval", built).stdout)
    assert 0 < before["ndcg10"] <= 1
    assert before["ndcg10_95"][0] <= before["ndcg10"] <= before["ndcg10_95"][1]
    trained = json.loads(run("train", built).stdout)
    assert trained["noise"] == ["netflix"]
    after = json.loads(run("eval", built, "--against", "seed").stdout)
    assert after["gain"]["gain"] == pytest.approx(after["ndcg10"] - after["against"]["ndcg10"], abs=1e-3)


def test_tuning_prints_every_trial_and_can_be_applied(built, run):
    lines = run("tune", built, "--target", "0.9", "--apply").stdout.splitlines()
    assert sum(line.startswith("*") for line in lines) == 1
    assert "Iron Man" in run("search", "iron man", "-k", 1).stdout


def test_mistakes_are_named(built, run, tmp_path):
    assert "field" in run("search", "x", "--filter", '{"a": 1}', fails=True).output
    (tmp_path / "bad.yaml").write_text("fusion:\n  alpha: 2\n")
    assert "alpha" in run("search", "x", "--settings", tmp_path / "bad.yaml", fails=True).output
    (tmp_path / "worse.yaml").write_text("fusoin: {}\n")
    assert "fusoin" in run("search", "x", "--settings", tmp_path / "worse.yaml", fails=True).output


def test_a_folder_without_a_collection_says_how_to_make_one(run):
    assert "hapenny index build" in run("search", "x", fails=True).output
