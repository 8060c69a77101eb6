import json

import pytest
import yaml
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


def test_a_floor_is_found_and_kept_in_the_settings(built, run, tmp_path):
    told = json.loads(run("train", built, "--floor", "--keep", "0.9").stdout)
    assert 0 < told["floor"] < 2
    settings = yaml.safe_load((tmp_path / "films" / "settings.yaml").read_text())
    assert settings["selection"]["floor"] == told["floor"]
    hits = run("search", "iron man").stdout
    assert "Iron Man" in hits
    assert not run("search", "zebra crossing quantum").stdout


def test_a_promise_is_checked_on_fresh_questions(built, run, tmp_path):
    assert "--apply" in run("tune", built, "--check", fails=True).output
    run("tune", built, "--target", "0.9", "--apply")
    told = json.loads(run("tune", built, "--check").stdout)
    assert told == {"promised": 0.9, "recall": 1.0, "queries": 9, "drifted": False}
    (tmp_path / "films" / "promise.json").write_text('{"recall": 1.5}')
    assert "no longer holds" in run("tune", built, "--check", fails=True).output


def test_chunk_sizes_are_measured_on_questions_with_evidence(built, run, tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    for n in range(3):
        text = " ".join(f"Sentence {i} of page {n} tells about topic{i + 40 * n}." for i in range(40))
        (pages / f"p{n}.md").write_text(text)
    asked = [{"query": f"topic{n}", "evidence": [f"tells about topic{n}."]} for n in (3, 44, 90)]
    (tmp_path / "asked.jsonl").write_text("\n".join(map(json.dumps, asked)))
    lines = run("tune", tmp_path / "asked.jsonl", "--chunks", pages, "--budget", "150").stdout.splitlines()
    assert [line[2:].split()[1] for line in lines[:4]] == ["64", "128", "256", "512"]
    best = next(line for line in lines if line.startswith("*"))
    assert json.loads(best[best.index("{") :])["evidence_recall"] == 1.0
    assert lines[-1] == f"build with: --size {best.split()[2]} --overlap {int(best.split()[2]) // 8}"


def test_a_collection_in_shards_is_built_searched_and_stays_as_it_is(run, tmp_path):
    rows = [{"id": k, "title": t, "overview": o, "genre": g, "year": y} for k, t, o, g, y, _ in FILMS]
    for row in rows:
        row["genre"] = row["genre"][0]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run("build", tmp_path / "rows.jsonl", "--shards", 3, "--shard-by", "genre")
    assert len(list((tmp_path / "films").glob("shard-*"))) == 3
    assert "Iron Man" in run("search", "iron man", "-k", 1).stdout
    told = json.loads(run("build", tmp_path / "rows.jsonl").stdout.splitlines()[-1])
    assert told["unchanged"] == len(FILMS)
    assert "already" in run("build", tmp_path / "rows.jsonl", "--shards", 4, fails=True).output
    (tmp_path / "asked.jsonl").write_text('{"query": "iron man"}')
    assert "is sharded" in run("tune", tmp_path / "asked.jsonl", fails=True).output


@pytest.mark.postgres
def test_a_collection_in_postgres_is_built_and_searched(run, tmp_path, postgres_dsn):
    rows = [{"id": k, "title": t, "overview": o, "genre": g, "year": y} for k, t, o, g, y, _ in FILMS]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run("build", tmp_path / "rows.jsonl", "--postgres", postgres_dsn, "--name", "from_cli")
    assert "Iron Man 2" in run("search", "iron man", "-k", 1, "--filter", '{"field": "year", "gte": 2009}').stdout
    assert not (tmp_path / "films" / "rows.sqlite").exists()
