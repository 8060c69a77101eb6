"""Requests from one protocol to another: what is said in other words, what is refused, what is reported as left out."""

from __future__ import annotations

import json

import pytest

from hapenny.core.errors import Failure
from hapenny.core.messages import (
    Data,
    Document,
    Image,
    Message,
    Opaque,
    Parameters,
    Text,
    Thinking,
    Thinks,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from hapenny.protocols import codec
from hapenny.protocols.invoke import is_native_anthropic
from tests.protocols import samples

CLAUDE = "anthropic.claude-x"


def out(name, request, model=CLAUDE):
    return json.loads(codec(name).encode_request(request, model=model).body)


TALK = (
    Message("user", (Text("a"),)),
    Message("assistant", (ToolUse("c1", "f", '{"x": 1.0}'), ToolUse("c2", "f", ""))),
    Message("tool", (ToolResult("c1", (Text("one"),)),)),
    Message("tool", (ToolResult("c2", (Text("two"),)),)),
    Message("user", (Text("go on"),)),
)


def test_tool_turns_merge_into_one_user_turn():
    request = samples.ask("openai", messages=TALK)
    roles = [turn["role"] for turn in out("bedrock", request)["messages"]]
    assert roles == ["user", "assistant", "user"]
    last = out("anthropic", request)["messages"][-1]["content"]
    assert [block["type"] for block in last] == ["tool_result", "tool_result", "text"]


def test_user_turns_with_tool_results_split_for_openai():
    content = (ToolResult("c1", (Data({"r": 1}),)), Text("go on"))
    turns = out("openai", samples.ask("bedrock", messages=(Message("user", content),)))["messages"]
    assert turns == [
        {"role": "tool", "tool_call_id": "c1", "content": '{"r":1}'},
        {"role": "user", "content": "go on"},
    ]


def test_arguments_keep_their_bytes():
    request = samples.ask("openai", messages=TALK)
    assert b'"input":{"x": 1.0}' in codec("anthropic").encode_request(request, model="m").body
    assert b'"input":{"x": 1.0}' in codec("bedrock").encode_request(request, model=CLAUDE).body


def test_arguments_that_are_no_object_are_refused():
    bad = (Message("user", (Text("a"),)), Message("assistant", (ToolUse("c", "f", '{"x":'),)))
    for name in ("anthropic", "bedrock", "invoke"):
        with pytest.raises(Failure, match="not a JSON object"):
            out(name, samples.ask("openai", messages=bad))


def test_cache_points_change_their_words():
    request = samples.ask(
        "anthropic",
        system=(Text("s", "1h"),),
        messages=(Message("user", (Text("a", "default"), Text("b"))),),
        tools=(Tool("f", schema={}, checkpoint="5m"),),
    )
    body = out("bedrock", request)
    assert body["system"] == [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert body["messages"][0]["content"] == [{"text": "a"}, {"cachePoint": {"type": "default"}}, {"text": "b"}]
    assert body["toolConfig"]["tools"][1] == {"cachePoint": {"type": "default", "ttl": "5m"}}
    back = codec("bedrock").decode_request(json.dumps(body).encode(), model=CLAUDE, stream=False, headers={})
    assert (back.system, back.messages, back.tools) == (request.system, request.messages, request.tools)
    assert "cache_control" not in json.dumps(out("openai", request))


def test_the_automatic_cache_point_of_anthropic_stands_last_on_bedrock():
    body = out("bedrock", samples.ask("anthropic", checkpoint="1h"))
    assert body["messages"][-1]["content"][-1] == {"cachePoint": {"type": "default", "ttl": "1h"}}


def test_a_cache_point_inside_a_tool_result_moves_behind_it():
    inside = ToolResult("c", (Text("r", "default"),))
    content = out("bedrock", samples.ask("anthropic", messages=(Message("user", (inside,)),)))["messages"][0]["content"]
    assert list(content[0]) == ["toolResult"]
    assert content[1] == {"cachePoint": {"type": "default"}}


def test_system_prompts():
    later = (Message("user", (Text("a"),)), Message("system", (Text("late"),)), Message("user", (Text("b"),)))
    request = samples.ask("openai", system=(Text("early", extras={"role": "developer"}),), messages=later)
    assert [turn["role"] for turn in out("openai", request)["messages"]] == ["developer", "user", "system", "user"]
    assert out("bedrock", request)["system"] == [{"text": "early"}, {"text": "late"}]
    assert out("bedrock", request)["messages"] == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]


def test_parameters_find_their_places():
    request = samples.ask(
        "anthropic",
        parameters=Parameters(max_tokens=5, top_k=3, stop=("x",), thinking=Thinks("enabled", 1024), effort="low"),
    )
    body = out("bedrock", request)
    assert body["inferenceConfig"] == {"maxTokens": 5, "stopSequences": ["x"]}
    assert body["additionalModelRequestFields"] == {
        "top_k": 3,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    assert body["outputConfig"] == {"effort": "low"}
    nova = out("bedrock", samples.ask("openai", parameters=Parameters(top_k=3)), model="us.amazon.nova-pro-v1:0")
    assert nova["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 3}}


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("gpt-4o", "max_tokens"),
        ("gpt-5.2-mini", "max_completion_tokens"),
        ("o4-mini", "max_completion_tokens"),
        ("openai/o3", "max_completion_tokens"),
        ("gpt-oss-120b", "max_tokens"),
        ("meta-llama/Llama-3", "max_tokens"),
    ],
)
def test_the_limit_has_the_name_the_model_takes(model, key):
    body = out("openai", samples.ask("openai", parameters=Parameters(max_tokens=5)), model=model)
    assert {name for name in body if name.startswith("max_")} == {key}


def test_a_json_schema_is_said_by_all():
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    request = samples.ask("openai", parameters=Parameters(format=form))
    assert out("anthropic", request)["output_config"] == {
        "format": {"type": "json_schema", "schema": {"type": "object"}}
    }
    structure = out("bedrock", request)["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert json.loads(structure["schema"]) == {"type": "object"}
    for name in ("anthropic", "bedrock"):
        with pytest.raises(Failure, match="JSON mode"):
            out(name, samples.ask("openai", parameters=Parameters(format={"type": "json_object"})))


def test_what_is_left_out_is_reported():
    request = samples.ask("openai", parameters=Parameters(seed=1, verbosity="low"), extras={"logit_bias": {}})
    assert codec("anthropic").lost(request) == ["logit_bias", "seed", "verbosity"]
    assert codec("bedrock").lost(request) == ["logit_bias", "seed", "verbosity"]
    assert codec("openai").lost(request) == []
    assert codec("openai").lost(samples.ask("anthropic", parameters=Parameters(thinking=Thinks()))) == ["thinking"]


def test_extras_go_to_their_own_protocol_only():
    request = samples.ask("anthropic", extras={"container": "c"}, parameters=Parameters(max_tokens=5))
    assert out("anthropic", request)["container"] == "c"
    assert out("invoke", request)["container"] == "c"
    assert "container" not in out("bedrock", request)
    assert "container" not in out("openai", request)


def test_betas_are_a_header_here_and_a_field_there():
    request = samples.ask("anthropic", extras={"anthropic_beta": ["a", "b"]})
    wire = codec("anthropic").encode_request(request, model="m")
    assert wire.headers["anthropic-beta"] == "a,b"
    assert "anthropic_beta" not in json.loads(wire.body)
    assert out("invoke", request)["anthropic_beta"] == ["a", "b"]


@pytest.mark.parametrize("target", ["openai", "anthropic", "bedrock", "invoke"])
def test_foreign_blocks_and_tools_are_refused_with_a_fix(target):
    for protocol in ("openai", "anthropic", "bedrock"):
        if target == protocol or (target == "invoke" and protocol == "anthropic"):
            continue
        block = Opaque(protocol, {"type": "novel"})
        for request in (
            samples.ask(protocol, messages=(Message("user", (block,)),)),
            samples.ask(protocol, tools=(Tool("web", kind="web_search"),)),
        ):
            with pytest.raises(Failure) as caught:
                out(target, request)
            assert caught.value.kind == "invalid_request"
            assert caught.value.fix


def test_references_that_cannot_be_followed_are_refused():
    web = samples.ask("openai", messages=(Message("user", (Image(url="https://x/a.png"),)),))
    cloud = samples.ask("bedrock", messages=(Message("user", (Image("image/png", url="s3://a/b"),)),))
    with pytest.raises(Failure, match="cannot"):
        out("bedrock", web)
    for name in ("openai", "anthropic"):
        with pytest.raises(Failure, match="cannot follow"):
            out(name, cloud)


def test_documents():
    text = Document("text/plain", text="words", name="N")
    pdf = Document("application/pdf", b"hi", name="my_file?.pdf")
    request = samples.ask("anthropic", messages=(Message("user", (text, pdf)),))
    parts = out("openai", request)["messages"][0]["content"]
    assert parts[0] == {"type": "text", "text": "N\nwords"}
    assert parts[1]["file"]["file_data"] == "data:application/pdf;base64,aGk="
    assert out("bedrock", request)["messages"][0]["content"][1]["document"]["name"] == "my-file-pdf"


def test_unsigned_reasoning_of_another_model_is_dropped_whole_and_signed_kept():
    content = (Thinking("theirs"), Thinking("ours", "c2ln"), Text("t"))
    request = samples.ask("openai", messages=(Message("user", (Text("a"),)), Message("assistant", content)))
    kinds = [next(iter(block)) for block in out("bedrock", request)["messages"][1]["content"]]
    assert kinds == ["reasoningContent", "text"]


def test_several_answers_at_once_are_refused_where_unknown():
    for name in ("anthropic", "bedrock", "invoke"):
        with pytest.raises(Failure, match="one answer"):
            out(name, samples.ask("openai", parameters=Parameters(n=2)))


def test_forbidden_tools():
    request = samples.ask("openai", tools=(samples.WEATHER,), tool_choice=ToolChoice("none"))
    assert "toolConfig" not in out("bedrock", request)
    assert out("anthropic", request)["tool_choice"] == {"type": "none"}


def test_wire_paths():
    arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.m"
    wire = codec("bedrock").encode_request(samples.ask("openai", stream=True), model=arn)
    assert wire.path == "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.m/converse-stream"
    assert codec("invoke").encode_request(samples.ask("openai"), model="a:0").path == "/model/a%3A0/invoke"


def test_streams_ask_for_usage_even_if_the_client_did_not():
    assert out("openai", samples.ask("openai", stream=True))["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("body", "model", "native"),
    [
        (b'{"anthropic_version":"bedrock-2023-05-31","messages":[]}', "arn:custom", True),
        (b'{"messages":[]}', "anthropic.claude-3", True),
        (b"not json", "us.anthropic.claude-3", True),
        (b'{"prompt":"\\n\\nHuman: hi","max_tokens_to_sample":5}', "anthropic.claude-v2", False),
        (b'{"inputText":"hi"}', "amazon.titan-embed-text-v2:0", False),
        (b'{"messages":[]}', "meta.llama3", False),
    ],
)
def test_native_bodies(body, model, native):
    assert is_native_anthropic(body, model) is native
