"""Structure rewrites data alone: a file's text, code and what a tool quotes exactly stay as they are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.core.messages import Message, Request, Text, Tool, ToolResult, ToolUse
from hapenny.tokens.exact import exact_calls, quotes
from hapenny.tokens.options import StructureOptions
from hapenny.tokens.structure_stage import structured
from hapenny.tokens.window import WindowOptions

ROWS = [{"flight": f"F{n}", "origin": "ATL", "price": n * 10} for n in range(30)]
RECORDS = json.dumps(ROWS, indent=2)
OBJECT = json.dumps({"rows": ROWS, "n": 30}, indent=4)
CODE = f"def f(x):\n    return  x\n\n\n# {RECORDS}\n"
EDIT = Tool("edit", "Replaces text in a file.", {"type": "object", "properties": {"old_string": {"type": "string"}}})
STRICT = Tool("replace", "The text must match the file EXACTLY, white space included.", {"type": "object"})
PLAIN = Tool("flights", "Searches flights.", {"type": "object", "properties": {"origin": {"type": "string"}}})


def talk(text, name="flights", arguments="{}"):
    return (
        Message("user", (Text("go"),)),
        Message("assistant", (ToolUse("c1", name, arguments),)),
        Message("user", (ToolResult("c1", (Text(text),)),)),
    )


def sent(text, *tools, name="flights", arguments="{}", **options):
    """What of a tool result reaches the model."""
    request = Request(protocol="anthropic", model="m", messages=talk(text, name, arguments), tools=tools)
    messages, shortened, references = structured(
        request, lambda text: len(text) / 4, StructureOptions(**options), WindowOptions()
    )
    found = messages[2].content[0].content[0].text
    assert (found == text) is not bool(shortened or references)
    return found


def test_records_are_written_shorter():
    assert len(sent(RECORDS, PLAIN)) < len(RECORDS) / 2


@pytest.mark.parametrize("text", [CODE, OBJECT, "plain words " * 50, json.dumps([1, 2, 3] * 50, indent=2)])
def test_what_are_no_records_stays(text):
    assert sent(text, PLAIN) == text


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Read", "{}"), ("read_file", "{}"), ("readFile", "{}"), ("view", "{}"), ("Bash", '{"command": "cat a.json"}'),
        ("mcp__fs__get", '{"path": "a.json"}'), ("Grep", "{}"), ("fetch", '{"file_path": "x"}'), ("run", "{broken\""),
        ("notebook_cells", "{}"),
    ],
)  # fmt: skip
def test_a_files_text_stays_even_where_it_is_records(name, arguments):
    assert sent(RECORDS, PLAIN, name=name, arguments=arguments) == RECORDS


@pytest.mark.parametrize("tool", [EDIT, STRICT, Tool("str_replace", kind="text_editor_20250728"),
                                  Tool("bash", kind="bash_20250124")])  # fmt: skip
def test_where_a_tool_quotes_text_nothing_is_rewritten(tool):
    assert sent(RECORDS, PLAIN, tool) == RECORDS


def test_other_json_is_rewritten_where_the_operator_says_so():
    assert len(sent(OBJECT, PLAIN, results="json")) < len(OBJECT)


def test_who_quotes_and_who_reads():
    assert quotes([PLAIN, EDIT])
    assert quotes([STRICT])
    assert not quotes([PLAIN])
    assert exact_calls(talk("x", "Read")) == {"c1"}
    assert exact_calls(talk("x", "flights", '{"origin": "ATL"}')) == frozenset()


@given(st.text(), st.sampled_from(["Read", "bash", "read_file", "edit_notebook"]))
def test_no_text_of_a_file_is_ever_touched(text, name):
    assert sent(text, name=name) == text
