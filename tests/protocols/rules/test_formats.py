"""Answers in JSON from every model: by the service's own format, by a tool, or in words that are checked."""

from __future__ import annotations

import json

import pytest

from hapenny.catalog import resolve
from hapenny.core.messages import Parameters, Thinks
from hapenny.protocols.rules import fit
from hapenny.protocols.rules.formats import ANSWER
from hapenny.protocols.rules.undo import OneObject, Spoken
from tests.protocols.rules.sending import LOOK_UP, NOVA, OPUS, SONNET, sent
from tests.protocols.samples import ask

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
OLD = "anthropic.claude-3-haiku-20240307-v1:0"
OPEN = {"type": "object", "additionalProperties": {"type": "string"}}


def schema(given=SCHEMA, **fields):
    return Parameters(
        format={"type": "json_schema", "json_schema": {"name": "s", "schema": given}}, max_tokens=5_000, **fields
    )


OBJECT = Parameters(format={"type": "json_object"}, max_tokens=50)


def undone(service, model, **fields):
    undo = fit(ask(**fields), service, model, resolve(model)).undo
    return [type(one) for one in undo.transforms] if undo is not None else []


def test_a_schema_is_closed_for_claude_and_what_it_refuses_is_said_in_words():
    for service, model in (("converse", SONNET), ("anthropic", "claude-sonnet-4-5")):
        body, notes = sent(service, model, parameters=schema())
        if service == "converse":
            given = json.loads(body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"])
        else:
            given = body["output_config"]["format"]["schema"]
        assert given["additionalProperties"] is False
        assert "minimum" not in given["properties"]["n"]
        assert "minimum: 1" in given["properties"]["n"]["description"]
        assert "response_format=closed" in notes
        assert undone(service, model, parameters=schema()) == []


@pytest.mark.parametrize(
    ("service", "model"), [("converse", OLD), ("converse", NOVA), ("anthropic", "claude-opus-4-1")]
)
def test_models_without_the_format_are_made_to_call_a_tool(service, model):
    body, notes = sent(service, model, parameters=schema())
    tool = (body.get("toolConfig") or body)["tools"][0]
    assert (tool.get("toolSpec") or tool)["name"] == ANSWER
    assert ANSWER in json.dumps((body.get("toolConfig") or {}).get("toolChoice") or body.get("tool_choice"))
    assert "said as a tool" in notes
    assert undone(service, model, parameters=schema()) == [Spoken]


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (NOVA, {"parameters": schema(), "tools": (LOOK_UP,)}),
        (NOVA, {"parameters": schema(OPEN)}),
        ("us.meta.llama3-3-70b-instruct-v1:0", {"parameters": schema()}),
        (OLD, {"parameters": OBJECT}),
        (SONNET, {"parameters": OBJECT}),
        (OPUS, {"parameters": OBJECT}),
        (SONNET, {"parameters": schema(OPEN, thinking=Thinks("enabled", 1_024))}),
    ],
)
def test_the_rest_is_asked_for_in_words_and_checked(model, fields):
    body, notes = sent("converse", model, **fields)
    assert "one JSON object and nothing else" in body["system"][-1]["text"]
    assert "checked here" in notes
    assert OneObject in undone("converse", model, **fields)
    assert "outputConfig" not in body


def test_the_brace_is_begun_where_the_model_goes_on():
    for model, begun in ((OLD, True), (SONNET, True), (NOVA, True), (OPUS, False)):
        body, _ = sent("converse", model, parameters=OBJECT)
        assert (body["messages"][-1]["role"] == "assistant") is begun, model
    body, _ = sent("converse", SONNET, parameters=OBJECT, tools=(LOOK_UP,))
    assert body["messages"][-1]["role"] == "user"


def test_openai_gets_what_was_asked():
    body, notes = sent("openai", "gpt-4.1", "openai", parameters=schema())
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert notes == ""
    for service, model in (("converse", SONNET), ("anthropic", "claude-sonnet-4-5")):
        body, _ = sent(service, model, parameters=Parameters(format={"type": "text"}, max_tokens=5))
        assert "outputConfig" not in body
        assert "output_config" not in body
