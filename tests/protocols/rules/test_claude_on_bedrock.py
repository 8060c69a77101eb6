"""Anthropic's dialect towards Bedrock: what is in the table goes through, the rest is left out with a note."""

from __future__ import annotations

import json

import pytest

from hapenny.catalog import resolve
from hapenny.core.errors import Failure
from hapenny.core.messages import Message, Parameters, Request, Text, Thinking, Tool
from hapenny.protocols import codec
from hapenny.protocols.rules import broken, fit
from hapenny.protocols.rules.claude_on_bedrock import BETAS, DATE

HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
OPUS_45 = "anthropic.claude-opus-4-5-20251101-v1:0"
TOOL = {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}


def sent(model=HAIKU, betas="", **fields):
    """The body for InvokeModel of a request as Anthropic's clients send it over HTTP, and the notes."""
    body = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], **fields}
    headers = {"content-type": "application/json"} | ({"anthropic-beta": betas} if betas else {})
    request = codec("anthropic").decode_request(json.dumps(body).encode(), model=None, stream=None, headers=headers)
    fitted = fit(request, "invoke", model, resolve(model))
    wire = json.loads(codec("invoke").encode_request(fitted.request, model=model).body)
    assert [breach.said for breach in broken(wire, "invoke", model, resolve(model))] == []
    return wire, "; ".join(fitted.notes)


def test_the_table_is_dated_and_names_only_betas():
    assert DATE
    assert set(BETAS.values()) <= set(BETAS)


@pytest.mark.parametrize("beta", BETAS)
def test_betas_of_the_table_are_sent_by_bedrocks_name(beta):
    body, notes = sent(betas=beta)
    assert body["anthropic_beta"] == [BETAS[beta]]
    assert "betas" not in notes


def test_unknown_betas_are_left_out_and_named():
    body, notes = sent(betas="oauth-2025-04-20,interleaved-thinking-2025-05-14,prompt-caching-scope-2026-01-05")
    assert body["anthropic_beta"] == ["interleaved-thinking-2025-05-14"]
    assert "betas not sent=oauth-2025-04-20,prompt-caching-scope-2026-01-05" in notes
    body, _ = sent(betas="oauth-2025-04-20")
    assert "anthropic_beta" not in body


@pytest.mark.parametrize(
    ("fields", "gone"),
    [
        ({"context_management": {"edits": []}}, "context_management"),
        ({"service_tier": "auto"}, "service_tier"),
        ({"speed": "fast"}, "speed"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": []}, "mcp_servers"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"tools": [{**TOOL, "eager_input_streaming": True}]}, "tools.eager_input_streaming"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, "tools.defer_loading"),
        ({"tools": [{**TOOL, "input_examples": [{}]}]}, "tools.input_examples"),
        ({"output_config": {"task_budget": {"tokens": 9}}}, "output_config.task_budget"),
    ],
)
def test_fields_that_bedrock_does_not_know_are_left_out_and_named(fields, gone):
    body, notes = sent(**fields)
    assert gone in notes
    name = gone.rpartition(".")[2]
    assert name not in json.dumps(body)


def test_what_a_beta_brings_stays_with_it():
    body, notes = sent(betas="context-management-2025-06-27", context_management={"edits": []})
    assert body["context_management"] == {"edits": []}
    assert "context_management" not in notes
    search = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    body, _ = sent(betas="advanced-tool-use-2025-11-20", tools=[search, {**TOOL, "defer_loading": True}])
    assert body["anthropic_beta"] == ["tool-search-tool-2025-10-19"]
    assert body["tools"][1]["defer_loading"] is True


def test_cache_control_at_the_top_moves_to_the_last_block():
    body, notes = sent(cache_control={"type": "ephemeral"})
    assert "cache_control" not in body
    assert "cache_control" in body["messages"][-1]["content"][-1]
    assert "cache_control=moved to the last block" in notes


def test_the_scope_of_a_cache_point_is_not_sent():
    control = {"type": "ephemeral", "ttl": "1h", "scope": "global"}
    body, _ = sent(system=[{"type": "text", "text": "s", "cache_control": control}])
    assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_tools_of_anthropics_that_bedrock_does_not_run_are_refused():
    with pytest.raises(Failure) as caught:
        sent(tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert (caught.value.kind, caught.value.field) == ("invalid_request", "tools")
    assert "Bedrock does not run it" in caught.value.fix
    for kind, name in (("bash_20250124", "bash"), ("text_editor_20250728", "str_replace_based_edit_tool")):
        assert sent(tools=[{"type": kind, "name": name}])[0]["tools"][0]["type"] == kind


def test_instructions_in_mid_conversation_join_the_others():
    body, notes = sent(
        messages=[
            {"role": "user", "content": "hi"}, {"role": "system", "content": "be brief"},
            {"role": "assistant", "content": "yes"}, {"role": "user", "content": "go"},
        ]
    )  # fmt: skip
    assert "be brief" in json.dumps(body["system"])
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert "moved to the system prompt" in notes


def test_opus_4_5_takes_an_effort_as_a_beta():
    body, _ = sent(OPUS_45, output_config={"effort": "low"})
    assert body["anthropic_beta"] == ["effort-2025-11-24"]
    assert body["output_config"]["effort"] == "low"


def test_what_a_client_sends_that_bedrock_takes_goes_as_it_is():
    given = {
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "hi"}],
        "stop_sequences": ["x"], "temperature": 0.5, "metadata": {"user_id": "u"},
    }  # fmt: skip
    body, notes = sent(**given)
    assert notes == ""
    assert {key: body[key] for key in given} == given


def test_signed_thinking_is_never_edited():
    thought = Thinking("t", "c2ln")
    request = Request(
        protocol="anthropic",
        model="m",
        messages=(
            Message("user", (Text("a"),)),
            Message("assistant", (thought, Text("b"))),
            Message("user", (Text("c", extras={"new": 1}),)),
        ),
        tools=(Tool("f", "d", {"type": "object"}),),
        parameters=Parameters(max_tokens=9),
    )
    fitted = fit(request, "invoke", HAIKU, resolve(HAIKU))
    assert fitted.request.messages[1].content[0] is thought
    assert "messages.new" in fitted.notes[0]
