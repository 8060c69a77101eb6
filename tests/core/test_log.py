"""Logs hold no prompts and no keys."""

import ast
import io
import json
import re
from pathlib import Path

import pytest

from hapenny.core import log

ROOT = Path(log.__file__).parents[1]
SECRETS = [
    "sk-ant-REDACTED",
    "AKIAIOSFODNN7EXAMPLE",
    "Bearer abc.def.ghi",
    "postgres://admin:hunter2@db/x",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
]


@pytest.fixture
def lines(capsys):
    log.configure("debug")
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    log.configure("info")


def test_fields_that_are_not_declared_do_not_pass(lines):
    log.get_logger("t").info("served", route="default", prompt="my secret question", text="my secret answer")
    (line,) = lines()
    assert line["route"] == "default"
    assert line["fields_dropped"] == 2
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_key_is_masked(lines, secret):
    log.get_logger("t").warning("failed", reason=f"provider said {secret} is wrong", error=ValueError(secret))
    (line,) = lines()
    assert "[key]" in line["reason"]
    assert line["error"] == "ValueError"
    for part in ("abcdefgh", "EXAMPLE", "abc.def", "hunter2", "eyJ"):
        assert part not in json.dumps(line)


def test_long_texts_are_cut_and_objects_become_their_type(lines):
    log.get_logger("t").error("odd", reason="a b " * 500, request={"messages": ["hello"]})
    (line,) = lines()
    assert len(line["reason"]) < 300
    assert line["request"] == "dict"


def test_levels_are_kept(lines):
    log.configure("warning")
    log.get_logger("t").info("quiet")
    log.get_logger("t").error("loud")
    assert [line["event"] for line in lines()] == ["loud"]


def _log_calls():
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("debug", "info", "warning", "error")
                and ast.unparse(node.func.value).split(".")[-1].strip("_") in ("log", "logger")
            ):
                yield path.relative_to(ROOT), node


def test_every_log_line_of_the_house_is_a_constant_sentence_with_declared_fields():
    found = list(_log_calls())
    assert found
    for path, node in found:
        assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}: the event is put together"
        for keyword in node.keywords:
            assert keyword.arg in log.FIELDS, (
                f"{path}:{node.lineno}: field {keyword.arg} is not declared in core/log.py"
            )


def test_nothing_else_prints_or_logs():
    for path in ROOT.rglob("*.py"):
        if path.parts[len(ROOT.parts)] in ("cli", "studies", "console"):
            continue
        text = path.read_text()
        if "__main__" in text or path.name.startswith("make_"):
            continue  # a script a developer runs
        assert "import logging" not in text, path
        assert not any(
            isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print" for node in ast.walk(ast.parse(text))
        ), path


def test_readable_lines_say_when_how_bad_what_and_who(capsys):
    log.configure(json=False)
    try:
        log.get_logger("t").error("a call failed", status=503, reason="two\nlines", backend="mock")
    finally:
        log.configure()
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:.]+Z \[error +\] a call failed +\[t\] (.*)", line)
    assert line.endswith(r"backend=mock reason='two\nlines' status=503")


def test_nobody_fails_where_a_line_cannot_be_written(monkeypatch):
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr("sys.stderr", stream)
        log.get_logger("t").error("nobody reads this", reason="half \ud800 a character")
