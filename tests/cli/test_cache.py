"""`hapenny cache` against a gateway in another process."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from hapenny.cli.cache import cache

CONFIG = "ledger: null\nbackends: {simulated: {kind: simulated}}\nroutes: {default: {holdout: 0}}\nserver: {port: 0}\n"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    path = tmp_path_factory.mktemp("cache") / "hapenny.yaml"
    path.write_text(CONFIG)
    code = "from hapenny.cli.main import main; main()"
    server = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "-c", str(path), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        yield server.stdout.readline().split()[-1]
    finally:
        server.terminate()
        server.wait(timeout=30)


def run(url, *args):
    return CliRunner().invoke(cache, ["--url", url, *args])


def test_warm_stats_explain_invalidate(url, tmp_path):
    questions = tmp_path / "questions.txt"
    questions.write_text('where is my order\n{"text": "when do you open"}\n')
    first = run(url, "warm", str(questions), "--model", "fast")
    assert first.output == "2 questions: 2 answered, 0 stored already, 0 failed\n"
    again = run(url, "warm", str(questions), "--model", "fast")
    assert again.output == "2 questions: 0 answered, 2 stored already, 0 failed\n"
    assert json.loads(run(url, "stats", "--json").output)["exact"]["hits"] == 2
    assert len(json.loads(run(url, "explain", "--json").output)) == 2
    dry = json.loads(run(url, "invalidate", "--all", "--dry-run", "--json").output)
    assert dry["exact"]["entries"] == 2
    assert json.loads(run(url, "invalidate", "--all", "--json").output)["exact"]["entries"] == 2
    assert json.loads(run(url, "stats", "--json").output)["exact"]["entries"] == 0


def test_invalidate_wants_to_know_what(url):
    result = run(url, "invalidate")
    assert result.exit_code == 2
    assert "--all" in result.output


def test_no_gateway_is_said_plainly():
    result = run("http://127.0.0.1:9", "stats")
    assert result.exit_code == 1
    assert "no gateway answers" in result.output


def test_calibrate_finds_a_threshold(tmp_path):
    labelled = tmp_path / "labelled.jsonl"
    rows = [
        {"text": f"{opening} {topic} {at}", "label": topic}
        for at in range(12)
        for topic in ("opening hours", "lost parcel", "gift card")
        for opening in ("about the", "tell me the", "what of the")
    ]
    labelled.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = CliRunner().invoke(cache, ["calibrate", str(labelled), "--embedder", "hashed", "--max-error", "0.01"])
    found = json.loads(result.output)
    assert found["wrong"] <= 0.01
    assert found["hit"] > 0.3
    assert 0.5 <= found["threshold"] <= 1
    few = tmp_path / "few.jsonl"
    few.write_text(json.dumps(rows[0]))
    assert CliRunner().invoke(cache, ["calibrate", str(few)]).exit_code == 1


def test_people_read_tables(url, tmp_path):
    questions = tmp_path / "questions.txt"
    questions.write_text("how much is shipping\n")
    run(url, "warm", str(questions), "--model", "fast")
    shown = run(url, "stats").output
    assert "Layers" in shown
    assert "hit share" in shown
    entries = run(url, "explain").output
    assert "route:default" in entries
    assert "shipping" not in entries  # never a text
    (entry,) = json.loads(run(url, "explain", "--json").output)
    key = entry["key"]
    assert key in run(url, "explain", key[:6].upper()).output
    would = run(url, "invalidate", "--entry", key[:6], "--dry-run").output
    assert "Would go" in would
    # All conditions must hold: two tags, and an age.
    both = ["--tag", "route:default", "--epoch", "nine", "--json"]
    assert json.loads(run(url, "invalidate", *both).output)["exact"]["entries"] == 0
    assert json.loads(run(url, "invalidate", "--older-than", "2h", "--json").output)["exact"]["entries"] == 0
    (result,) = [tag for tag in entry["tags"] if tag.startswith("result:")]
    gone = json.loads(run(url, "invalidate", "--tag", result, "--older-than", "0", "--json").output)
    assert gone["exact"]["entries"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explain", "zz"], "no key"),
        (["explain", "../stats"], "no key"),
        (["invalidate", "--entry", "my entry"], "no key"),
        (["invalidate", "--older-than", "5x"], "no span"),
        (["invalidate", "--older-than", "-5"], "0 or more"),
        (["invalidate", "--tag", ""], "leave it out"),
        (["invalidate", "--all", "--tag", "x"], "not both"),
        (["warm"], "precompute.routes"),
        (["warm", "--most", "0"], "most"),
        (["resume", "exact"], "exact"),
        (["resume", "semantic", "--route", "nowhere"], "nowhere"),
    ],
)
def test_wrong_input_is_said_plainly(url, arguments, said):
    result = run(url, *arguments)
    assert result.exit_code != 0
    assert said in result.output
    assert "Traceback" not in result.output
    assert '{"' not in result.output


def test_a_file_that_holds_no_questions_is_named_with_its_line(url, tmp_path):
    questions = tmp_path / "questions.txt"
    questions.write_text('when do you open\n{"txt": "no"}\n')
    result = run(url, "warm", str(questions))
    assert result.exit_code == 1
    assert "line 2" in result.output
    questions.write_text("\n")
    assert "no questions" in run(url, "warm", str(questions)).output


def test_a_layer_may_be_resumed_that_never_stopped(url):
    assert json.loads(run(url, "resume", "semantic", "--json").output) == {"resumed": 0}
