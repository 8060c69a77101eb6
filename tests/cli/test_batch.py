import contextlib
import json
import sqlite3

import pytest
from click.testing import CliRunner

from hapenny.cli.batch import batch


def lines(count, **more):
    rows = [
        {
            "custom_id": f"c{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "fast", "max_tokens": 20, "messages": [{"role": "user", "content": f"Question {n}?"}]},
        }
        | more
        for n in range(count)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def invoke(tmp_path):
    def run(*arguments, **rest):
        return CliRunner().invoke(batch, [*arguments, "--folder", str(tmp_path / "jobs")], **rest)

    return run


def test_submit_status_fetch(tmp_path, invoke, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text(lines(3))
    done = invoke("submit", str(tmp_path / "in.jsonl"), "--key", "k", "--wait")
    assert done.exit_code == 0, done.output
    id = done.output.splitlines()[0]
    (status,) = json.loads(invoke("status", "--json").output)
    assert (status["id"], status["state"], status["succeeded"]) == (id, "completed", 3)
    rows = [json.loads(line) for line in invoke("fetch", id).output.splitlines()]
    assert [row["id"] for row in rows] == ["c0", "c1", "c2"]
    assert all(row["output"]["choices"][0]["message"]["content"] for row in rows)
    again = invoke("submit", str(tmp_path / "in.jsonl"), "--key", "k")
    assert again.output.strip() == id


def test_cancel_before_anything_was_sent(tmp_path, invoke, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text(lines(2))
    id = invoke("submit", str(tmp_path / "in.jsonl")).output.strip()
    assert "in_progress: 0 of 2" in invoke("status", id).output
    assert "cancelling" in invoke("cancel", id).output
    assert invoke("run").exit_code == 0
    assert "cancelled: 0 of 2" in invoke("status", id).output


@pytest.mark.parametrize(
    ("text", "said"),
    [("{}\n", "line 1"), (lines(1) + '{"recordId":"a","modelInput":{}}\n', "line 2"), ("", "no records")],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path, invoke, text, said):
    (tmp_path / "in.jsonl").write_text(text)
    done = invoke("submit", str(tmp_path / "in.jsonl"))
    assert done.exit_code != 0
    assert said in done.output


def test_documents_show_the_cost_and_write_answers(tmp_path, invoke, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("Shipping takes three days. Returns are free.")
    (folder / "b.md").write_text("The shop opens at nine.")
    done = invoke("documents", str(folder), "--task", "summarise", "--model", "fast", "--yes")
    assert done.exit_code == 0, done.output
    assert "2 documents, 2 parts" in done.output
    rows = [json.loads(line) for line in (tmp_path / "documents.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == ["a.txt", "b.md"]
    assert all(row["answer"] for row in rows)


def test_documents_of_every_format_are_asked_once_and_the_cost_is_shown_after(tmp_path, invoke, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.html").write_text("<html><body><h1>Shipping</h1><p>It takes three days.</p></body></html>")
    (folder / "b.csv").write_text("id,text\n1,The shop opens at nine.\n2,Returns are free.\n")
    (folder / "c.txt").write_text("Shipping takes three days.")
    (folder / "d.txt").write_text("Shipping takes three days.")
    verb = ("documents", str(folder), "--task", "classify", "--model", "fast", "--yes")
    done = invoke(*verb)
    assert done.exit_code == 0, done.output
    assert "(1 double)" in done.output
    rows = [json.loads(line) for line in (tmp_path / "documents.jsonl").read_text().splitlines()]
    assert len(rows) == 5
    assert all(row["answer"] and not row["error"] for row in rows)
    assert "4 one by one" in done.output
    assert "on demand $0.0" in done.output
    before = (tmp_path / "documents.jsonl").read_bytes()
    again = invoke(*verb)
    assert "about 0 tokens in, 0 out to ask for: $0.0000" in again.output
    assert (tmp_path / "documents.jsonl").read_bytes() == before


def test_documents_are_embedded(tmp_path, invoke, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("Shipping takes three days.")
    done = invoke("documents", str(folder), "--task", "embed", "--model", "amazon.titan-embed-text-v2:0", "--yes")
    assert done.exit_code == 0, done.output
    (row,) = [json.loads(line) for line in (tmp_path / "documents.jsonl").read_text().splitlines()]
    assert len(row["answer"][0]) == 1024


@pytest.mark.parametrize(("least", "tier"), [(5, "batch"), (100, "standard")])
def test_every_vector_is_in_the_ledger_whoever_made_it(tmp_path, invoke, monkeypatch, least, tier):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "docs"
    folder.mkdir()
    for n in range(8):
        (folder / f"{n}.txt").write_text(f"Shipping to island {n} takes {n + 3} days.")
    (tmp_path / "prices.yaml").write_text(
        "prices: [{model: amazon.titan-embed-text-v2:0, region_class: in_region, service_tier: batch,"
        " input: 0.01, output: 0, source: constructed}]"
    )
    config = tmp_path / "hapenny.yaml"
    config.write_text(
        f"backends: {{simulated: {{kind: simulated, card: current-2026}}}}\n"
        f'ledger: {{path: "{tmp_path}/ledger.db"}}\n'
        f'prices: "{tmp_path}/prices.yaml"\n'
        f'batch: {{journal: "{tmp_path}/jobs", poll_s: 0.05, margin_s: 1, '
        f'apis: [{{bucket: "{tmp_path}/bucket", least: {least}, turnaround_s: 1}}]}}\n'
    )
    done = invoke(
        "documents", str(folder), "--task", "embed", "--model", "amazon.titan-embed-text-v2:0", "--yes",
        "-c", str(config),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as books:
        rows = books.execute(
            "SELECT background, feature, baseline, actual, purpose, service_tier, cost FROM requests"
            " JOIN calls ON calls.request = seq"
        ).fetchall()
    assert len(rows) == 8
    for background, feature, baseline, actual, purpose, how, cost in rows:
        assert (background, feature, purpose, how, baseline) == ("documents", "batch", "embed", tier, 0)
        assert actual == cost > 0


def configured(tmp_path, name):
    """A configuration whose ledger shows what was answered with it."""
    path = tmp_path / f"{name}.yaml"
    path.write_text(f'backends: {{simulated: {{kind: simulated}}}}\nledger: {{path: "{tmp_path}/{name}.db"}}\n')
    return str(path)


def booked(tmp_path, name):
    with contextlib.closing(sqlite3.connect(tmp_path / f"{name}.db")) as books:
        return books.execute("SELECT count(*) FROM requests WHERE feature = 'batch'").fetchone()[0]


def test_run_goes_on_with_what_each_batch_was_submitted_with(tmp_path, invoke, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, count in (("one", 2), ("two", 3)):
        (tmp_path / "in.jsonl").write_text(lines(count))
        assert invoke("submit", str(tmp_path / "in.jsonl"), "-c", configured(tmp_path, name)).exit_code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    done = invoke("run")
    assert done.exit_code == 0, done.output
    assert (booked(tmp_path, "one"), booked(tmp_path, "two")) == (2, 3)
    assert not list(elsewhere.rglob("*.db"))  # nothing of a configuration nobody named


def test_a_configuration_that_is_named_again_wins(tmp_path, invoke, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text(lines(2))
    invoke("submit", str(tmp_path / "in.jsonl"), "-c", configured(tmp_path, "one"))
    assert invoke("run", "-c", configured(tmp_path, "two")).exit_code == 0
    assert booked(tmp_path, "two") == 2
    assert not (tmp_path / "one.db").exists()


def test_a_configuration_that_is_gone_is_said_with_the_fix(tmp_path, invoke, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text(lines(2))
    path = configured(tmp_path, "one")
    id = invoke("submit", str(tmp_path / "in.jsonl"), "-c", path).output.strip()
    (tmp_path / "one.yaml").unlink()
    done = invoke("run")
    assert done.exit_code != 0
    assert path in done.output
    assert id in done.output
    assert "-c" in done.output


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path, invoke, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + lines(2).encode())
    done = invoke("submit", str(tmp_path / "in.jsonl"), "--wait")
    assert done.exit_code == 0, done.output
    assert "2 of 2" in invoke("status").output


def test_an_id_given_twice_is_named_with_both_lines(tmp_path, invoke):
    (tmp_path / "in.jsonl").write_text(lines(3) + "\n" + lines(2))
    done = invoke("submit", str(tmp_path / "in.jsonl"))
    assert done.exit_code != 0
    assert "line 5 has the custom_id of line 1: 'c0'" in done.output
