"""What holds for every verb: `--json`, help that fits, `--url` on both sides, and pipes."""

import json

import click
import pytest
from click.testing import CliRunner

from hapenny.cli.json_flag import TALKS
from hapenny.cli.main import main


def verbs(command=main, path=()):
    for name in command.list_commands(click.Context(command)):
        below = command.get_command(click.Context(command), name)
        if isinstance(below, click.Group):
            yield from verbs(below, (*path, name))
        else:
            yield (*path, name), below


@pytest.mark.parametrize(
    ("path", "command"), verbs(), ids=lambda value: " ".join(value) if type(value) is tuple else ""
)
def test_every_verb_that_answers_has_json_and_help(path, command):
    options = {option for param in command.params for option in param.opts}
    assert "--json" in options or path[0] in TALKS
    shown = CliRunner().invoke(main, [*path, "--help"], terminal_width=80)
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines())) <= 80
    assert command.help


def test_what_a_verb_says_is_one_object(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.yaml").write_text("name: tone\narms: {a: {}, b: {}}\n")
    said = json.loads(CliRunner().invoke(main, ["experiment", "start", "one.yaml", "--json"]).output)
    assert said == {"verb": "experiment start", "said": ["tone: a 50%, b 50%"]}
    again = CliRunner().invoke(main, ["experiment", "start", "one.yaml", "--json"])
    assert again.exit_code == 1
    assert "has run before" in json.loads(again.output)["error"] or "is running" in json.loads(again.output)["error"]


def test_a_verb_that_prints_json_prints_the_same(tmp_path):
    (tmp_path / "a.md").write_text("# Lamp\n\nThe lamp of series 7 has a warranty of three years.\n")
    build = ["index", "build", str(tmp_path / "kb"), str(tmp_path / "a.md"), "--embedder", "hashed", "--json"]
    assert json.loads(CliRunner().invoke(main, build).stdout)["documents"] == 1


@pytest.mark.parametrize("place", ["before", "behind"])
def test_the_address_may_stand_on_both_sides(place):
    address = ["--url", "http://127.0.0.1:9", "--key", "k"]
    arguments = ["cache", *address, "stats"] if place == "before" else ["cache", "stats", *address]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "127.0.0.1:9" in done.output
