"""What servers that are not OpenAI's want otherwise of chat completions, and what OpenAI's own models refuse."""

from __future__ import annotations

import json

import pytest

from hapenny.backends.fitting import Fitting
from hapenny.core.exchange import Target
from hapenny.core.messages import Message, Parameters, Text, Thinking, ToolChoice, ToolResult, ToolUse
from hapenny.protocols import codec
from hapenny.protocols.rules.drafts_of_json_schema import modern
from tests.protocols.rules.sending import LOOK_UP, SONNET, said, sent, user
from tests.protocols.samples import ask

TALK = (
    user("a", "b"),
    said("c", "d"),
    user("e"),
    said(ToolUse("abcdefghi", "look_up")),
    Message("user", (ToolResult("abcdefghi", (Text("4"), Text("left"))),)),
)


def test_several_texts_are_one_string_for_other_servers():
    body, _ = sent(
        "openai", "deepseek-chat", "anthropic", system=(Text("s"), Text("t")), messages=TALK, tools=(LOOK_UP,)
    )
    contents = [turn["content"] for turn in body["messages"] if turn["content"] is not None]
    assert contents == ["s\n\nt", "a\n\nb", "c\n\nd", "e", "4\n\nleft"]


def test_openai_gets_the_parts():
    body, _ = sent("openai", "gpt-4.1", "anthropic", messages=TALK, tools=(LOOK_UP,))
    assert [part["text"] for part in body["messages"][0]["content"]] == ["a", "b"]


def test_requests_of_one_shape_are_not_taken_for_each_other():
    """A backend remembers which parameters need no change; the turns are looked at all the same."""
    fitting, target, openai = Fitting(), Target("deepseek-chat"), codec("openai")
    assert fitting.take(ask("anthropic", messages=(user("a"),)), target, openai).request.messages[0].text == "a"
    request = fitting.take(ask("anthropic", messages=(user("a", "b"),)), target, openai).request
    assert request.messages[0].content == (Text("a\n\nb"),)


@pytest.mark.parametrize("model", ["mistral-large-latest", "gemini-2.5-pro"])
def test_a_field_that_a_server_refuses_is_not_sent(model):
    body, notes = sent("openai", model, "anthropic", parameters=Parameters(top_k=5))
    assert "top_k" not in body
    assert "top_k=not sent" in notes
    assert sent("openai", "Qwen/Qwen3-8B", "anthropic", parameters=Parameters(top_k=5))[0]["top_k"] == 5


def test_mistral_goes_on_from_the_user():
    body, notes = sent("openai", "mistral-small-latest", "anthropic", messages=(user("hi"), said("Hel")))
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert "prefill" in notes
    body, _ = sent("openai", "gpt-4.1", "anthropic", messages=(user("hi"), said("Hel")))
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant"]


@pytest.mark.parametrize("protocol", ["anthropic", "openai"])
def test_models_that_reason_alone_have_no_parallel_calls_to_forbid(protocol):
    choice = ToolChoice("auto", None, False)
    body, notes = sent("openai", "o3-mini", protocol, tools=(LOOK_UP,), tool_choice=choice)
    assert "parallel_tool_calls" not in body
    assert "parallel_tool_calls=not sent" in notes
    assert sent("openai", "gpt-4.1", protocol, tools=(LOOK_UP,), tool_choice=choice)[0]["parallel_tool_calls"] is False


@pytest.mark.parametrize("protocol", ["anthropic", "openai", "responses"])
def test_newer_models_call_functions_without_reasoning(protocol):
    asked = {"tools": (LOOK_UP,), "parameters": Parameters(effort="high")}
    body, notes = sent("openai", "gpt-5.4-2026-03-05", protocol, **asked)
    assert body["reasoning_effort"] == "none"
    assert "effort=none: chat completions" in notes
    assert sent("openai", "gpt-5.2", protocol, **asked)[0]["reasoning_effort"] == "high"
    assert sent("openai", "gpt-5.4", protocol, parameters=Parameters(effort="high"))[0]["reasoning_effort"] == "high"
    assert "reasoning_effort" not in sent("openai", "gpt-5.4", protocol, tools=(LOOK_UP,))[0]
    assert sent("openai", "gpt-5.6-sol", protocol, tools=(LOOK_UP,))[0]["reasoning_effort"] == "none"  # its own


def test_the_reasoning_behind_a_call_goes_back_to_who_wants_it():
    talk = (
        user("stock?"),
        said(Thinking("no call here"), "Hm."),
        user("well?"),
        said(Thinking("look it up"), ToolUse("abcdefghi", "look_up")),
        Message("user", (ToolResult("abcdefghi", (Text("4 left"),)),)),
    )
    body, _ = sent("openai", "deepseek-reasoner", "anthropic", messages=talk, tools=(LOOK_UP,))
    assert [turn.get("reasoning_content") for turn in body["messages"]] == [None, None, None, "look it up", None]
    for model in ("gpt-4.1", "Qwen/Qwen3-8B"):
        body, _ = sent("openai", model, "anthropic", messages=talk, tools=(LOOK_UP,))
        assert "reasoning_content" not in json.dumps(body)


def test_a_failed_result_says_something_to_anthropic():
    talk = (user("x"), said(ToolUse("c1", "look_up")), Message("user", (ToolResult("c1", (), True),)))
    for protocol in ("bedrock", "anthropic"):
        body, _ = sent("anthropic", "claude-sonnet-4-5", protocol, messages=talk, tools=(LOOK_UP,))
        (block,) = body["messages"][2]["content"]
        assert block["is_error"] is True
        assert block["content"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"type": "array", "items": [{"type": "str"}]}, {"type": "array", "prefixItems": [{"type": "string"}]}),
        ({"type": "number", "minimum": 1, "exclusiveMinimum": True}, {"type": "number", "exclusiveMinimum": 1}),
        ({"type": "number", "maximum": 1, "exclusiveMaximum": False}, {"type": "number", "maximum": 1}),
        ({"type": "string", "required": True}, {"type": "string"}),
        ({"type": "any"}, {}),
        ({"type": ["float", "None"]}, {"type": ["number", "null"]}),
        ({"type": "object", "properties": {"required": {"type": "bool"}}},
         {"type": "object", "properties": {"required": {"type": "boolean"}}}),
        ({"anyOf": [{"type": "int"}, "odd"]}, {"anyOf": [{"type": "integer"}, {}]}),
    ],
)  # fmt: skip
def test_schemas_of_older_drafts_are_said_in_the_new_one(old, new):
    assert modern(old) == new
    tool = LOOK_UP.__class__("f", "d", {"type": "object", "properties": {"a": old}})
    body, _ = sent("anthropic", "claude-sonnet-4-5", tools=(tool,))
    assert body["tools"][0]["input_schema"]["properties"]["a"] == new
    body, _ = sent("converse", SONNET, tools=(tool,))
    assert body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]["properties"]["a"] == new


def test_a_schema_of_the_new_draft_is_left_alone():
    schema = {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": {"type": ["string", "null"]}, "minItems": 1},
            "limit": {"type": "integer", "exclusiveMinimum": 0, "default": 3, "enum": [1, 2, 3]},
        },
        "required": ["items"],
        "$defs": {"x": {"anyOf": [{"type": "null"}, True]}},
    }
    assert modern(schema) is schema


@pytest.mark.parametrize(("service", "model"), [("converse", SONNET), ("anthropic", "claude-sonnet-4-5")])
def test_a_call_that_was_cut_does_not_end_the_conversation(service, model):
    """An answer that ends at `max_tokens` leaves half a JSON object behind; the client sends it back."""
    uses = [ToolUse(f"c{n}", "look_up", arguments) for n, arguments in enumerate(('{"item": "b', "[1]", "", "null"))]
    results = [ToolResult(use.id, (Text("4"),)) for use in uses]
    talk = (user("stock?"), said(*uses), Message("user", tuple(results)))
    body, notes = sent(service, model, "openai", messages=talk, tools=(LOOK_UP,))
    inputs = [(part.get("toolUse") or part)["input"] for part in body["messages"][1]["content"]]
    assert inputs == [{"invalid_arguments": '{"item": "b'}, {"invalid_arguments": "[1]"}, {}, {}]
    assert "arguments of 2 calls" in notes
    assert sent("openai", "gpt-4.1", "openai", messages=talk, tools=(LOOK_UP,))[1] == ""


@pytest.mark.parametrize(
    ("model", "role"),
    [("deepseek-chat", "system"), ("mistral-large-latest", "system"), ("Qwen/Qwen3-8B", "system"),
     ("gpt-5.2", "developer"), ("our-own-name", "developer")],
)  # fmt: skip
def test_the_developer_is_the_system_where_a_server_knows_no_other_name(model, role):
    turns = [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}], "novel": 1},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
        {"role": "developer", "content": "In French."},
        {"role": "user", "content": "q"},
    ]
    body = json.dumps({"model": "m", "messages": turns}).encode()
    asked = codec("openai").decode_request(body, model=None, stream=None, headers={})
    fitting = Fitting()
    fitting.take(ask(messages=(user("a"),)), Target(model), codec("openai"))  # one of another shape came before
    fitted = fitting.take(asked, Target(model), codec("openai"))
    told, notes = json.loads(codec("openai").encode_request(fitted.request, model=model).body), "; ".join(fitted.notes)
    assert [turn["role"] for turn in told["messages"]] == [role, "user", "assistant", role, "user"]
    assert told["messages"][0]["novel"] == 1
    assert ("developer said as system" in notes) == (role == "system")
