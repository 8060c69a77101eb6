"""Names of arguments that Claude refuses, arrays that OpenAI wants described, and objects it wants uncomposed."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.catalog import resolve
from hapenny.core.events import BlockStarted, BlockStopped, Started, Stopped, ToolCallDelta
from hapenny.core.messages import Message, Text, Tool, ToolResult, ToolUse
from hapenny.protocols.rules import fit
from tests.protocols.rules.sending import NOVA, SONNET, said, sent, user
from tests.protocols.samples import ask, collected

ODD = {
    "type": "object",
    "properties": {"filter[name]": {"type": "string"}, "$select": {"type": "string"}, "plain": {}, "filter_name_": {}},
    "required": ["filter[name]", "plain"],
}
LIST = Tool("list_apps", "d", ODD)


@pytest.mark.parametrize(("service", "model"), [("converse", SONNET), ("anthropic", "claude-sonnet-4-5")])
def test_keys_that_claude_refuses_are_written_otherwise(service, model):
    history = (
        user("list"),
        said(ToolUse("c1", "list_apps", json.dumps({"filter[name]": "a", "plain": 1}))),
        Message("tool", (ToolResult("c1", (Text("none"),)),)),
    )
    body, notes = sent(service, model, messages=history, tools=(LIST,))
    tool = (
        body["tools"][0]["input_schema"]
        if "tools" in body
        else body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]
    )
    assert list(tool["properties"]) == ["filter_name__2", "_select", "plain", "filter_name_"]
    assert tool["required"] == ["filter_name__2", "plain"]
    assert '"filter_name__2": "a"' in json.dumps(body["messages"])
    assert "renamed" in notes


def test_others_keep_them():
    for service, model in (("converse", NOVA), ("openai", "gpt-4.1")):
        body, _ = sent(service, model, "anthropic", messages=(user("list"),), tools=(LIST,))
        assert "filter[name]" in json.dumps(body)


@given(st.lists(st.integers(0, 60), max_size=5), st.booleans())
def test_the_client_reads_its_own_keys_however_the_arguments_come(cuts, whole):
    fitted = fit(ask("openai", messages=(user("list"),), tools=(LIST,)), "converse", SONNET, resolve(SONNET))
    arguments = json.dumps({"filter_name__2": "x", "_select": "y", "plain": {"filter_name__2": 1}})
    arguments = arguments if whole else arguments[:-3]
    places = sorted({0, len(arguments), *(cut % len(arguments) for cut in cuts)})
    pieces = [arguments[a:b] for a, b in itertools.pairwise(places)]
    events = [Started("m", "m"), BlockStarted(0, "tool_use", 0, "t", "list_apps")]
    events += [ToolCallDelta(piece, 0) for piece in pieces] + [BlockStopped(0), Stopped("tool_use")]
    answer = collected(out for event in events for out in fitted.undo.flow([event]))
    (call,) = answer.choices[0].content
    if whole:
        assert json.loads(call.arguments) == {"filter[name]": "x", "$select": "y", "plain": {"filter_name__2": 1}}
    else:
        assert call.arguments == arguments


def test_openai_is_told_that_an_array_holds_anything():
    schema = {
        "type": "object",
        "properties": {
            "tags": {"type": "array"},
            "deep": {"type": "object", "properties": {"items": {"type": ["array", "null"], "description": "d"}}},
            "done": {"type": "array", "items": {"type": "string"}},
            "type": {"type": "string", "enum": ["array"]},
        },
    }
    body, _ = sent("openai", "gpt-4.1", "anthropic", messages=(user("hi"),), tools=(Tool("f", "d", schema),))
    properties = body["tools"][0]["function"]["parameters"]["properties"]
    assert properties["tags"] == {"type": "array", "items": {}}
    assert properties["deep"]["properties"]["items"]["items"] == {}
    assert properties["done"] == schema["properties"]["done"]
    assert properties["type"] == schema["properties"]["type"]


def test_openai_gets_no_composed_object():
    parts = [{"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}}}]
    tool = Tool("f", "d", {"type": "object", "oneOf": parts})
    body, _ = sent("openai", "gpt-4.1", "bedrock", messages=(user("hi"),), tools=(tool,))
    schema = body["tools"][0]["function"]["parameters"]
    assert "oneOf" not in schema
    assert set(schema["properties"]) == {"a", "b"}
    body, _ = sent("openai", "Qwen/Qwen3-8B", "bedrock", messages=(user("hi"),), tools=(tool,))
    assert body["tools"][0]["function"]["parameters"]["oneOf"] == parts
