"""`hapenny tokens explain` shows every piece, its fate and the money, in all dialects."""

import json

import pytest
from click.testing import CliRunner

from hapenny.cli.request_file import guess
from hapenny.cli.tokens import tokens

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
ROWS = json.dumps([{"flight": f"HAT{n:03}", "origin": "ATL", "price": 100 + n} for n in range(12)])


def document(title, more):
    filler = " ".join(f"{title} fact number {n} is of no use to anyone." for n in range(40))
    return f'<document title="{title}">\n{filler} {more}\n</document>'


DOCUMENTS = "\n".join(
    [
        "<documents>",
        document("Bridge", "The bridge was opened in 1864."),
        document("Mill", "The mill ground corn."),
        "</documents>",
        "When was the bridge opened?",
    ]
)

OPENAI = {
    "model": "gpt-4o",
    "messages": [
        {"role": "user", "content": "cheapest flight?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": ROWS},
    ],
}
ANTHROPIC = {
    "model": "claude-3-haiku-20240307",
    "max_tokens": 100,
    "system": "You help.",
    "messages": [{"role": "user", "content": DOCUMENTS}],
}
BEDROCK = {"messages": [{"role": "user", "content": [{"text": DOCUMENTS}]}]}


def run(tmp_path, body, *more):
    path = tmp_path / "request.json"
    path.write_text(json.dumps(body))
    result = CliRunner().invoke(tokens, ["explain", str(path), *more], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_tool_results_are_shown_before_and_after(tmp_path):
    output = run(tmp_path, OPENAI)
    assert "rewritten" in output
    assert "flight,origin=ATL,price" in output
    assert "$" in output


@pytest.mark.parametrize(("body", "dialect"), [(ANTHROPIC, "anthropic"), (BEDROCK, "bedrock"), (OPENAI, "openai")])
def test_dialects_are_guessed(body, dialect):
    assert guess(json.dumps(body).encode()) == dialect


@pytest.mark.parametrize("body", [ANTHROPIC, BEDROCK])
def test_pruned_sentences_come_with_reason_and_money(tmp_path, body):
    found = json.loads(run(tmp_path, body, "--json", "--share", "0.3", "--model", MODEL))
    removed = [line["text"] for line in found["lines"] if line["verdict"] == "removed"]
    kept = [line["text"] for line in found["lines"] if line["verdict"] == "kept"]
    assert any("1864" in text for text in kept)
    assert len(removed) > len(kept)
    assert found["after"] < 0.9 * found["before"]
    assert found["cost_after"] < found["cost_before"]
    assert "% of the evidence" in found["lines"][0]["reason"]


def test_nothing_to_do_and_a_broken_file_are_said_plainly(tmp_path):
    quiet = {"model": "x", "messages": [{"role": "user", "content": "what is a bridge?"}]}
    assert "nothing to leave out" in run(tmp_path, quiet)
    path = tmp_path / "broken.json"
    path.write_text("{")
    result = CliRunner().invoke(tokens, ["explain", str(path)])
    assert result.exit_code == 1
    assert "not a JSON object" in result.output
