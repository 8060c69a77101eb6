import json
import sqlite3

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from hapenny.cli.index import index
from hapenny.retrieval.documents import Document
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


def pages(folder, count=12):
    folder.mkdir()
    for n in range(count):
        text = " ".join(
            f"Sentence {i} of page {n} tells about subject{i + 40 * n} and its neighbour matter{i * 7 + n}."
            for i in range(40)
        )
        (folder / f"p{n}.md").write_text(text)


def test_the_chunk_size_of_a_new_collection_is_chosen_on_its_documents_and_kept(run, tmp_path):
    pages(tmp_path / "pages")
    told = json.loads(run("build", tmp_path / "pages").stdout.splitlines()[-1])
    measured = told["chunking"]["measured"]
    assert set(measured) == {"64", "128", "256", "512"}
    chosen = measured[str(told["chunking"]["size"])]
    assert chosen["evidence_recall"] >= max(each["evidence_recall"] for each in measured.values()) - 0.2
    assert chosen["tokens_sent"] <= 600
    again = json.loads(run("build", tmp_path / "pages").stdout.splitlines()[-1])
    assert (again["unchanged"], again["chunking"]) == (12, {k: told["chunking"][k] for k in ("size", "overlap")})
    asked = [{"query": f"subject{n} matter", "evidence": [f"tells about subject{n} and"]} for n in range(0, 480, 24)]
    (tmp_path / "asked.jsonl").write_text("\n".join(map(json.dumps, asked)))
    by_own = run("build", tmp_path / "pages", "--questions", tmp_path / "asked.jsonl")
    assert "of the evidence in" in by_own.stderr
    assert (
        json.loads(run("build", tmp_path / "pages", "--size", 100).stdout.splitlines()[-1])["chunking"]["size"] == 100
    )


def test_short_documents_need_no_choice(built, run, tmp_path):
    told = json.loads(run("build", tmp_path / "rows.jsonl").stdout.splitlines()[-1])
    assert told["chunking"] == {"size": 256, "overlap": 32}


def test_files_of_one_name_keep_apart_also_when_indexed_one_after_another(run, tmp_path):
    for name, text in (("one", "The pump is primed with glycerine."), ("two", "The lathe is oiled each Friday.")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "README.md").write_text(f"# Part\n\n{text}\n")
    run("build", tmp_path / "one")
    second = run("build", tmp_path / "two")
    assert "is two/README.md here, because README.md is" in second.stderr
    assert "glycerine" in run("search", "pump primed", "-k", 3).stdout
    assert "two/README.md" in run("search", "lathe oiled friday", "-k", 1).stdout
    run("build", tmp_path / "two", tmp_path / "two" / "README.md", "--complete")
    hits = run("search", "pump lathe", "-k", 5).stdout
    assert hits.count("README.md") == 1
    assert "two/README.md" in hits


def test_a_collection_that_moved_keeps_its_ids(run, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a.md").write_text("# A\n\nThe ferry leaves at seven.\n")
    run("build", tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    told = json.loads(run("build", tmp_path / "new").stdout.splitlines()[-1])
    assert (told["documents"], told["unchanged"]) == (1, 1)


def test_what_is_merged_alike_and_left_out_is_said(run, tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    words = " ".join(f"clause{n} binds both sides" for n in range(60))
    (folder / "a.md").write_text(f"# Terms\n\n{words}. Plan Heron costs 19.\n")
    (folder / "b.md").write_text(f"# Terms\n\n{words}. Plan Osprey costs 29.\n")
    (folder / "c.md").write_text(f"# Terms\n\n{words}. Plan Heron costs 19.\n")
    (folder / "photo.png").write_bytes(b"x")
    done = run("build", folder, "--size", 512)
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["merged"], told["merges"], told["near"]) == (1, [["c.md", "a.md"]], 1)
    assert "merged: c.md has the words of a.md" in done.stderr
    assert "alike, both kept: b.md and a.md" in done.stderr
    assert "1 .png" in done.stderr
    kept = json.loads(run("build", folder, "--size", 512, "--keep-duplicates").stdout.splitlines()[-1])
    assert kept["merged"] == 0
    assert run("search", "plan heron costs", "-k", 5).stdout.count("Terms") == 2


def test_documents_without_access_of_their_own_take_that_of_the_build(run, tmp_path):
    (tmp_path / "a.csv").write_text("id,text,tenant\n1,bluebird one,\n2,bluebird two,acme\n")
    run("build", tmp_path / "a.csv", "--tenant", "umbra", "--groups", "staff,hr")
    rows = sqlite3.connect(tmp_path / "films" / "rows.sqlite").execute("SELECT body FROM rows ORDER BY id").fetchall()
    seen = [(d.tenant, d.groups) for d in (msgspec.msgpack.decode(body, type=Document) for (body,) in rows)]
    assert seen == [("umbra", ["staff", "hr"]), ("acme", ["staff", "hr"])]
    assert "groups" in run("build", tmp_path / "a.csv", "--groups", ",", fails=True).output


def test_a_collection_is_searched_with_the_embedder_it_was_built_with(tmp_path):
    (tmp_path / "a.md").write_text("# A\n\nThe ferry leaves at seven.\n")
    build = ["build", str(tmp_path / "c"), str(tmp_path / "a.md"), "--embedder", "hashed"]
    assert CliRunner().invoke(index, build).exit_code == 0
    assert "ferry" in CliRunner().invoke(index, ["search", str(tmp_path / "c"), "when does the ferry leave"]).stdout
