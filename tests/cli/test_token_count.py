"""`hapenny tokens count`: variants of a prompt by the provider's count, or as estimates that say so."""

import json

from click.testing import CliRunner

from hapenny.cli.main import main

CONFIG = "backends: {simulated: {kind: simulated}}\nledger:\n"


def test_two_variants_are_compared(tmp_path):
    config = tmp_path / "h.yaml"
    config.write_text(CONFIG)
    long, short = tmp_path / "a.txt", tmp_path / "b.json"
    long.write_text("You are a very helpful assistant. " * 40 + "Where is my order?")
    short.write_text(json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Where is my order?"}]}))
    done = CliRunner().invoke(main, ["tokens", "count", str(long), str(short), "-c", str(config)])
    assert done.exit_code == 0, done.output
    first, second = done.output.splitlines()
    assert first.startswith("a.txt ")
    assert "b.json" in second
    assert "-9" in second
    assert "a thousand requests" in second
    told = json.loads(
        CliRunner().invoke(main, ["tokens", "count", str(long), str(short), "-c", str(config), "--json"]).output
    )["variants"]
    assert told[0]["tokens"] > 10 * told[1]["tokens"]
    assert {each["counted"] for each in told} == {True}


def test_files_that_are_no_prompt_are_told(tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text(" ")
    done = CliRunner().invoke(main, ["tokens", "count", str(empty)])
    assert (done.exit_code, "is empty" in done.output) == (1, True)
