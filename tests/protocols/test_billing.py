"""How an answer was served and what it used beside text, read from the wire of each dialect."""

import json

import pytest

from hapenny.core.events import Started, Stopped, Tokens, Usage
from hapenny.core.messages import Request
from hapenny.protocols.billing import Billed, apart, billed, of_headers
from hapenny.protocols.registry import codec
from tests.protocols import samples


def chat(usage=None, **fields):
    message = {"role": "assistant", "content": "Hi"}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14, **(usage or {})},
        **fields,
    }


def message(usage=None, **fields):
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 4, **(usage or {})},
        **fields,
    }


def converse(**fields):
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 10, "outputTokens": 4, "totalTokens": 14},
        "metrics": {"latencyMs": 5},
        **fields,
    }


def read(dialect, body, request=None):
    extras = {}
    for event in codec(dialect).decode_answer(json.dumps(body).encode(), {}, model="m"):
        if isinstance(event, (Started, Stopped, Usage)):
            for name, fields in event.extras.items():
                extras[name] = {**extras.get(name, {}), **fields} if isinstance(fields, dict) else fields
    return billed(extras, request)


ASSESSMENT = {
    "g1": {
        "invocationMetrics": {
            "usage": {
                "contentPolicyUnits": 2,
                "topicPolicyUnits": 1,
                "wordPolicyUnits": 1,
                "sensitiveInformationPolicyUnits": 0,
            }
        }
    }
}


@pytest.mark.parametrize(
    ("dialect", "body", "expected"),
    [
        ("openai", chat(), Billed()),
        ("openai", chat(service_tier="flex"), Billed(service_tier="flex")),
        (
            "openai",
            chat({"prompt_tokens_details": {"audio_tokens": 6}, "completion_tokens_details": {"audio_tokens": 3}}),
            Billed(units=(("audio_input", 6), ("audio_output", 3))),
        ),
        (
            "openai",
            chat(
                {
                    "prompt_tokens_details": {
                        "audio_tokens": 6,
                        "cached_tokens": 5,
                        "cached_tokens_details": {"audio_tokens": 4},
                    }
                }
            ),
            Billed(units=(("audio_cache_read", 4), ("audio_input", 2))),
        ),
        ("anthropic", message({"service_tier": "priority"}), Billed(service_tier="priority")),
        ("anthropic", message({"inference_geo": "us"}), Billed(geo="us")),
        ("anthropic", message({"inference_geo": "global"}), Billed()),
        ("anthropic", message({"inference_geo": "not_available"}), Billed()),
        ("anthropic", message({"speed": "fast"}), Billed(speed="fast")),
        (
            "anthropic",
            message({"server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 0}}),
            Billed(units=(("web_search", 3),)),
        ),
        ("anthropic", message(container={"id": "c"}), Billed(units=(("code_execution", 1),))),
        (
            "anthropic",
            message({"iterations": [{"type": "compaction", "input_tokens": 9}, {"type": "message"}]}),
            Billed(units=(("compaction", 1),)),
        ),
        (
            "anthropic",
            message({"server_tool_use": {"web_search_requests": 1}}, container={"id": "c"}),
            Billed(units=(("web_search", 1),)),
        ),
        ("bedrock", converse(serviceTier={"type": "priority"}), Billed(service_tier="priority")),
        ("bedrock", converse(performanceConfig={"latency": "optimized"}), Billed(latency="optimized")),
        (
            "bedrock",
            converse(
                trace={"guardrail": {"inputAssessment": ASSESSMENT, "outputAssessments": {"g1": [ASSESSMENT["g1"]]}}}
            ),
            Billed(units=(("guardrail_content", 4), ("guardrail_topic", 2), ("guardrail_word", 2))),
        ),
        (
            "invoke",
            message(**{"amazon-bedrock-trace": {"guardrail": {"inputAssessment": ASSESSMENT}}}),
            Billed(units=(("guardrail_content", 2), ("guardrail_topic", 1), ("guardrail_word", 1))),
        ),
    ],
)  # fmt: skip
def test_what_an_answer_says_of_its_bill_is_read(dialect, body, expected):
    assert read(dialect, body) == expected


@pytest.mark.parametrize("junk", [None, 3, "x", [], {"server_tool_use": 3}, {"server_tool_use": {"a_requests": "9"}}])
def test_what_is_not_understood_is_not_read(junk):
    assert billed({"anthropic.usage": junk, "openai": junk, "openai.usage": junk, "bedrock.usage": junk}) == Billed()


def test_a_guardrail_that_ran_unseen_is_a_unit_without_a_price():
    request = samples.ask("bedrock", extras={"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}})
    assert read("bedrock", converse(), request).units == (("guardrail", 1),)
    native = samples.ask("invoke", extras={"x-amzn-bedrock-guardrailidentifier": "g"})
    assert read("invoke", message(), native).units == (("guardrail", 1),)


@pytest.mark.parametrize(
    ("model", "extras", "unit"),
    [
        ("gpt-4o-search-preview", {}, "web_search_preview"),
        ("gpt-5-search-api", {}, "web_search"),
        ("gpt-4o", {}, ""),
        ("gpt-4o", {"web_search_options": {}}, "web_search"),
    ],
)
def test_a_search_that_chat_completions_does_not_count_is_one(model, extras, unit):
    request = Request(protocol="openai", model=model, messages=(), extras=extras)
    assert read("openai", chat(), request).units == (((unit, 1),) if unit else ())


def test_headers_of_a_native_answer_say_how_it_was_served():
    headers = {"x-amzn-bedrock-service-tier": "flex", "x-amzn-bedrock-performanceconfig-latency": "optimized"}
    assert billed(of_headers(headers)) == Billed(service_tier="flex", latency="optimized")
    assert of_headers({"content-type": "application/json"}) == {}


def test_sounds_and_pictures_are_no_longer_counted_as_text():
    tokens = Tokens(input=10, output=8, cache_read=4)
    units = (("audio_input", 6), ("image_cache_read", 1), ("audio_output", 3), ("web_search", 2))
    split = apart(tokens, units)
    assert split == Tokens(input=4, output=5, cache_read=3, units=units)
    assert split.prompt == tokens.prompt
    assert apart(split, units) == split


def test_tools_of_a_responses_answer_stand_in_its_output():
    output = [{"type": "web_search_call"}, {"type": "web_search_call"}, {"type": "code_interpreter_call"},
              {"type": "computer_call"}, {"type": "message"}, "junk"]  # fmt: skip
    assert billed({"openai": {"output": output}}).units == (("web_search", 2), ("code_execution", 1))
