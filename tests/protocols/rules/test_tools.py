"""Definitions, names, ids and choices of tools as they reach a service, and JSON schemas."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.catalog import resolve
from hapenny.core.errors import Failure
from hapenny.core.events import BlockStarted
from hapenny.core.messages import Data, Image, Message, Parameters, Text, Tool, ToolChoice, ToolResult, ToolUse
from hapenny.protocols.rules import fit
from hapenny.protocols.rules.schemas import Unsayable, adapted, refused_keyword, tool_input
from tests.protocols.rules.sending import LOOK_UP, NOVA, SONNET, history, said, sent, user
from tests.protocols.samples import ask

LONG = "mcp__" + "inventory_of_the_shop_" * 4 + "find"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
TARGETS = [
    ("converse", SONNET, "openai"), ("converse", SONNET, "anthropic"), ("converse", NOVA, "openai"),
    ("anthropic", "claude-sonnet-4-5", "openai"), ("openai", "gpt-4.1", "anthropic"), ("openai", "gpt-4.1", "bedrock"),
]  # fmt: skip


def names(service, body):
    """Names of the tools, of the calls and of the choice of a body."""
    if service == "converse":
        config = body["toolConfig"]
        tools = [tool["toolSpec"]["name"] for tool in config["tools"]]
        calls = [b["toolUse"]["name"] for turn in body["messages"] for b in turn["content"] if "toolUse" in b]
        return tools, calls, config["toolChoice"]["tool"]["name"]
    if service == "anthropic":
        calls = [b["name"] for turn in body["messages"] for b in turn["content"] if isinstance(b, dict) and "name" in b]
        return [tool["name"] for tool in body["tools"]], calls, body["tool_choice"]["name"]
    calls = [call["function"]["name"] for turn in body["messages"] for call in turn.get("tool_calls") or ()]
    return [one["function"]["name"] for one in body["tools"]], calls, body["tool_choice"]["function"]["name"]


@pytest.mark.parametrize("name", [LONG, "get weather", "files.read", "工具", "a/b:c"])
@pytest.mark.parametrize(("service", "model", "protocol"), TARGETS)
def test_names_are_rewritten_alike_and_given_back(service, model, protocol, name):
    fields = {
        "messages": history(name=name), "tools": (Tool(name, "d", {"type": "object"}), LOOK_UP),
        "tool_choice": ToolChoice("tool", name), "parameters": Parameters(max_tokens=50),
    }  # fmt: skip
    body, notes = sent(service, model, protocol, **fields)
    tools, calls, choice = names(service, body)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", choice)
    assert tools == [choice, "look_up"]
    assert calls == [choice]
    assert "given back in the answer" in notes
    undo = fit(ask(protocol, **fields), service, model, resolve(model)).undo
    (back,) = undo.flow([BlockStarted(0, "tool_use", id="new", name=choice)])
    assert (back.name, back.id) == (name, "new")
    again, _ = sent(service, model, protocol, **fields)
    assert again == body  # the provider's prompt cache reads the same bytes


def test_two_long_names_stay_two():
    tools = (Tool(LONG + "1", "a", {}), Tool(LONG + "2", "b", {}))
    body, _ = sent("converse", SONNET, tools=tools)
    assert len({tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]}) == 2


def test_a_name_that_anthropic_takes_is_left_to_anthropics_clients():
    body, notes = sent("anthropic", "claude-sonnet-4-5", "anthropic", tools=(Tool("f" * 100, "d", {"type": "object"}),))
    assert body["tools"][0]["name"] == "f" * 100
    assert notes == ""


@pytest.mark.parametrize("id_", ["functions.look_up:0", "x" * 90, "call 1", "a|b|c", "ünïcode"])
@pytest.mark.parametrize(("service", "model", "protocol"), TARGETS)
def test_ids_are_rewritten_alike_in_call_and_result(service, model, protocol, id_):
    body, _ = sent(service, model, protocol, messages=history(id_), tools=(LOOK_UP,))
    text = json.dumps(body)
    if service == "converse":
        use, result = body["messages"][1]["content"][0]["toolUse"], body["messages"][2]["content"][0]["toolResult"]
        call, answer = use["toolUseId"], result["toolUseId"]
    elif service == "anthropic":
        call, answer = body["messages"][1]["content"][0]["id"], body["messages"][2]["content"][0]["tool_use_id"]
    else:
        call, answer = body["messages"][1]["tool_calls"][0]["id"], body["messages"][2]["tool_call_id"]
        assert len(call) <= 40
    assert call == answer
    if service != "openai":
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call)
        assert json.dumps(id_)[1:-1] not in text


def test_repeated_ids_become_different_ones():
    talk = (*history("c1"), user("again"), *history("c1")[1:])
    body, _ = sent("converse", SONNET, messages=talk, tools=(LOOK_UP,))
    uses = [b["toolUse"]["toolUseId"] for turn in body["messages"] for b in turn["content"] if "toolUse" in b]
    results = [b["toolResult"]["toolUseId"] for turn in body["messages"] for b in turn["content"] if "toolResult" in b]
    assert len(set(uses)) == 2
    assert uses == results


@pytest.mark.parametrize(
    ("service", "model"), [("converse", "mistral.mistral-large-2407-v1:0"), ("openai", "mistral-large-latest")]
)
def test_mistral_gets_nine_letters(service, model):
    body, _ = sent(service, model, "anthropic", messages=history("toolu_01A"), tools=(LOOK_UP,))
    found = re.findall(r'"(?:toolUseId|id|tool_call_id)": "([^"]*)"', json.dumps(body))
    assert len(found) == 2
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", one) for one in found)


@pytest.mark.parametrize("schema", [None, {}, {"properties": {"a": {}}}, {"type": "string"}, {"anyOf": [{}]}, True])
@pytest.mark.parametrize(
    ("service", "model"), [("converse", SONNET), ("converse", NOVA), ("anthropic", "claude-opus-4-6")]
)
def test_schemas_are_objects(schema, service, model):
    body, _ = sent(service, model, tools=(Tool("f", "d", schema),))
    tool = (body.get("toolConfig") or body)["tools"][0]
    given = tool["input_schema"] if service == "anthropic" else tool["toolSpec"]["inputSchema"]["json"]
    assert given["type"] == "object"
    assert not given.keys() & {"anyOf", "oneOf", "allOf"}


def test_what_is_sent_once_too_often_is_sent_once_and_what_differs_is_refused():
    twice = (LOOK_UP, LOOK_UP)
    assert len(sent("converse", SONNET, tools=twice)[0]["toolConfig"]["tools"]) == 1
    other = Tool("look_up", "d", {"type": "object", "properties": {"a": {}}})
    for service, model in (("converse", SONNET), ("anthropic", "claude-sonnet-4-5")):
        with pytest.raises(Failure) as caught:
            sent(service, model, tools=(LOOK_UP, other))
        assert (caught.value.kind, caught.value.field) == ("invalid_request", "tools")


def test_a_model_that_cannot_be_forced_is_asked_in_words():
    body, notes = sent("converse", LLAMA, tools=(LOOK_UP,), tool_choice=ToolChoice("any"))
    assert "toolChoice" not in body["toolConfig"]
    assert "calling one of the tools" in json.dumps(body["messages"][-1])
    assert "tool_choice=asked for in words" in notes


def test_a_model_that_calls_no_tools_in_a_stream_is_asked_for_a_whole_answer():
    for stream in (True, False):
        fitted = fit(ask(tools=(LOOK_UP,), stream=stream), "converse", LLAMA, resolve(LLAMA))
        assert fitted.request.stream is False
        assert any("told from a whole answer" in note for note in fitted.notes) is stream
    assert fit(ask(stream=True), "converse", LLAMA, resolve(LLAMA)).request.stream is True
    assert fit(ask(tools=(LOOK_UP,), stream=True), "converse", SONNET, resolve(SONNET)).request.stream is True


def test_a_model_without_tools_refuses_them_in_the_clients_words():
    with pytest.raises(Failure) as caught:
        sent("converse", "amazon.titan-text-express-v1", tools=(LOOK_UP,))
    assert caught.value.kind == "invalid_request"
    assert caught.value.field == "tools"
    assert caught.value.fix


def test_pictures_in_results_reach_openai_in_a_turn_of_the_user():
    picture = ToolResult("c1", (Text("look"), Image("image/png", b"\x89PNG\r\n\x1a\n")))
    body, notes = sent(
        "openai", "gpt-4.1", "anthropic",
        messages=(user("a"), said(ToolUse("c1", "f")), Message("user", (picture, Text("and?")))),
    )  # fmt: skip
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "tool", "user"]
    assert "image_url" not in json.dumps(body["messages"][2])
    assert "image_url" in json.dumps(body["messages"][3])
    assert notes


def test_failed_results_stay_failed():
    failed = ToolResult("c1", (Text("no such file"),), error=True)
    talk = (user("a"), said(ToolUse("c1", "f")), Message("user", (failed,)))
    body, _ = sent("converse", SONNET, "anthropic", messages=talk)
    assert body["messages"][2]["content"][0]["toolResult"]["status"] == "error"
    body, _ = sent("openai", "gpt-4.1", "anthropic", messages=talk)
    assert "rror" in body["messages"][2]["content"].replace("no such file", "")


# -- schemas ----------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c"])
LEAVES = st.sampled_from(
    [
        {"type": "string"}, {"type": "string", "minLength": 2}, {"type": "integer", "minimum": 0, "maximum": 5},
        {"type": ["string", "null"]}, {"enum": ["x", "y"]}, {"const": 1}, {"type": "string", "format": "date"},
        {"type": "string", "format": "phone"}, {"type": "string", "pattern": "^a+$"}, {"$ref": "#/$defs/one"},
        {"type": "string", "pattern": "(?=a)b"}, {}, True, {"type": "object"}, {"$ref": "https://x/y"},
    ]
)  # fmt: skip
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        st.dictionaries(NAMES, inner, min_size=1).map(lambda found: {"type": "object", "properties": found})
        | inner.map(lambda one: {"type": "array", "items": one, "minItems": 3})
        | st.lists(inner, min_size=1, max_size=2).map(lambda found: {"anyOf": found})
        | st.lists(inner, min_size=1, max_size=2).map(lambda found: {"oneOf": found})
    ),
    max_leaves=6,
)
ROOTS = st.dictionaries(NAMES, SCHEMAS, min_size=1).map(
    lambda found: {"type": "object", "properties": found, "$defs": {"one": {"type": "string", "maxLength": 9}}}
)


@settings(max_examples=300, deadline=None)
@given(ROOTS)
def test_an_adapted_schema_holds_nothing_that_is_refused(schema):
    try:
        closed, moved = adapted(schema)
    except Unsayable:
        return
    assert refused_keyword(closed) is None
    assert closed["properties"].keys() == schema["properties"].keys()
    assert closed["additionalProperties"] is False
    words = json.dumps(closed)
    assert all(f"{keyword}:" in words for keyword in moved if keyword != "additionalProperties")
    assert adapted(closed)[0] == closed


@settings(max_examples=300, deadline=None)
@given(SCHEMAS | ROOTS, st.booleans())
def test_any_schema_becomes_the_input_of_a_tool(schema, plain):
    found = tool_input(schema, plain=plain)
    assert found["type"] == "object"
    assert not found.keys() & {"anyOf", "oneOf", "allOf"}
    assert tool_input(found, plain=plain) == found
    if isinstance(schema, dict) and "properties" in schema and not plain:
        assert found is schema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}},
         "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}}},
    ],
)  # fmt: skip
def test_open_and_recursive_schemas_cannot_be_said(schema):
    with pytest.raises(Unsayable):
        adapted(schema)


def test_a_large_schema_for_nova_is_not_written_out_without_end():
    layers = {f"l{n}": {"type": "object", "properties": {c: {"$ref": f"#/$defs/l{n + 1}"} for c in "abcdefgh"}}
              for n in range(7)}  # fmt: skip
    schema = {"type": "object", "properties": {"x": {"$ref": "#/$defs/l0"}}, "$defs": {**layers, "l7": {}}}
    assert tool_input(schema, plain=True)["$defs"] == schema["$defs"]


@pytest.mark.parametrize("protocol", ["bedrock", "openai"])
def test_json_in_a_tool_result_that_is_no_object_reaches_converse_as_the_same_text(protocol):
    parts = (Data([{"qty": 4}, {"qty": 2}]), Data({"kept": True}), Data("a word"), Data(None))
    turns = (user("q"), said(ToolUse("c1", "look_up")), Message("tool", (ToolResult("c1", parts),)))
    body, notes = sent("converse", SONNET, protocol, messages=turns, tools=(LOOK_UP,))
    told = body["messages"][2]["content"][0]["toolResult"]["content"]
    assert told == [{"text": '[{"qty":4},{"qty":2}]'}, {"json": {"kept": True}}, {"text": '"a word"'}, {"text": "null"}]
    assert "tool_results=3 JSON values" in notes
