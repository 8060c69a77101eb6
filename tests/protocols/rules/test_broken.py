"""Bodies broken by hand: each rule is found, in the words of the service, and what is whole breaks none."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from hapenny.catalog import resolve
from hapenny.protocols.rules import RULES, broken
from hapenny.protocols.rules.manual import markdown

SONNET = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS = "anthropic.claude-opus-4-6-v1"
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
OLD = "anthropic.claude-3-haiku-20240307-v1:0"
NOVA = "amazon.nova-pro-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
MISTRAL = "mistral.mistral-large-2407-v1:0"
TITAN = "amazon.titan-text-express-v1"
GPT_OSS = "openai.gpt-oss-120b-1:0"
KIMI = "moonshot.kimi-k2-thinking"
SIGNED = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}}
SECRET = {"reasoningContent": {"redactedContent": "ZW5j"}}
BILLED = "x-anthropic-billing-header: cc_version=2.1.38; cc_entrypoint=cli; cch=00000;"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
ODD = {"type": "object", "properties": {"filter[name]": {"type": "string"}}}
CLOSED = {**SCHEMA, "additionalProperties": False}
DOCUMENT = {"document": {"name": "a", "format": "txt", "source": {"bytes": "dA=="}}}
CONVERSE = {
    "system": [{"text": "Be brief."}],
    "messages": [
        {"role": "user", "content": [{"text": "hi"}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "call00001", "name": "f", "input": {}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "call00001", "content": [{"text": "3"}]}}]},
    ],
    "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": SCHEMA}}}]},
    "inferenceConfig": {"maxTokens": 20},
}
MESSAGES = {
    "max_tokens": 20,
    "system": [{"type": "text", "text": "Be brief."}],
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "3"}]},
    ],
    "tools": [{"name": "f", "input_schema": SCHEMA}],
}
INVOKE = {**MESSAGES, "anthropic_version": "bedrock-2023-05-31"}
CHAT = {
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
}
WHOLE = {"converse": CONVERSE, "anthropic": MESSAGES, "invoke": INVOKE, "openai": CHAT}
OURS = {"converse": SONNET, "anthropic": "claude-sonnet-4-5", "invoke": HAIKU, "openai": "gpt-4.1"}


def put(place, value):
    """A change of a body: `value` at `place`, a path of keys; `...` appends."""

    def change(body):
        spot = body
        for key in place[:-1]:
            spot = spot.setdefault(key, {}) if isinstance(spot, dict) else spot[key]
        if place[-1] is ...:
            spot.append(value)
        else:
            spot[place[-1]] = value

    return change


def drop(*place):
    def change(body):
        for key in place[:-1]:
            body = body[key]
        del body[place[-1]]

    return change


def first(body):
    said = "hello" if "max_tokens" in body else [{"text": "hello"}]
    body["messages"].insert(0, {"role": "assistant", "content": said})


def documents(*names):
    return lambda body: body["messages"][0]["content"].extend(
        [{"document": {**DOCUMENT["document"], "name": name}} for name in names]
    )


def thinking(field, most):
    def change(body):
        (body["inferenceConfig"] if field else body)[most] = 2_000
        (body.setdefault(field, {}) if field else body)["thinking"] = {"type": "enabled", "budget_tokens": 1024}

    return change


def textformat(schema):
    form = {"type": "json_schema", "structure": {"jsonSchema": {"name": "s", "schema": schema}}}
    return put(("outputConfig",), {"textFormat": form})


def output(schema):
    return put(("output_config",), {"format": {"type": "json_schema", "schema": schema}})


def points(*lives):
    def change(body):
        for one in lives:
            body["system"] += [{"text": "more"}, {"cachePoint": {"type": "default", "ttl": one}}]

    return change


def controls(*lives):
    def change(body):
        body["system"] = [
            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": one}} for one in lives
        ]

    return change


M, C = "messages", "content"
BROKEN = [
    ("first_turn", "converse", first, SONNET, "A conversation must start with a user message."),
    ("first_turn", "invoke", first, HAIKU, 'first message must use the "user" role'),
    ("reserved_words", "converse", put(("system", 0, "text"), BILLED), SONNET, "is a reserved keyword"),
    ("reserved_words", "invoke", put(("system",), BILLED), HAIKU, "is a reserved keyword"),
    ("mixed_turn", "converse", put((M, 1, C, ...), {"text": "x"}), LLAMA, "and tool use blocks cannot be"),
    ("mixed_turn", "converse", put((M, 2, C, ...), {"text": "x"}), MISTRAL, "and tool result blocks cannot be"),
    ("stop_unsupported", "converse", put(("inferenceConfig", "stopSequences"), ["END"]), GPT_OSS, "Remove stopSeq"),
    ("stop_unsupported", "openai", put(("stop",), "END"), "gpt-5.2", "'stop' is not supported"),
    ("property_keys", "converse", put(("toolConfig", "tools", 0, "toolSpec", "inputSchema", "json"), ODD), SONNET,
     "Property keys should match"),
    ("property_keys", "anthropic", put(("tools", 0, "input_schema"), ODD), "claude-sonnet-4-5", "Property keys should"),
    ("array_items", "openai", put(("tools", 0, "function", "parameters", "properties", "l"), {"type": "array"}),
     "gpt-4.1", "array schema missing items"),
    ("effort_with_tools", "openai", put(("reasoning_effort",), "low"), "gpt-5.4", "Function tools with reasoning"),
    ("effort_with_tools", "openai", put(("n",), 1), "gpt-5.6-terra", "use /v1/responses or set"),
    ("tool_schema_top", "openai", put(("tools", 0, "function", "parameters", "oneOf"), [{}]), "gpt-4.1", "top level"),
    ("turns_alternate", "converse", put((M, ...), {"role": "user", C: [{"text": "x"}]}), SONNET, "must alternate"),
    ("empty_turn", "converse", put((M, 0, C), []), SONNET, "The content field in the Message object at messages.0"),
    ("empty_turn", "anthropic", put((M, 0, C), ""), "claude-sonnet-4-5", "all messages must have non-empty content"),
    ("blank_text", "converse", put((M, 0, C, 0, "text"), " \n"), SONNET, "at messages.0.content.0 is blank"),
    ("blank_text", "converse", put((M, 2, C, 0, "toolResult", C, 0, "text"), ""), NOVA, "toolResult.content.0 is"),
    ("blank_text", "converse", put(("system", 0, "text"), ""), NOVA, "at system.0 is blank"),
    ("blank_text", "anthropic", put((M, 0, C), " "), "claude-sonnet-4-5", "must contain non-whitespace text"),
    ("blank_text", "invoke", put((M, 2, C, 0, C), [{"type": "text", "text": "\t"}]), HAIKU, "non-whitespace text"),
    ("trailing_space", "converse", put((M, ...), {"role": "assistant", C: [{"text": "x "}]}), SONNET, "trailing white"),
    ("trailing_space", "invoke", put((M, ...), {"role": "assistant", C: "x\n"}), HAIKU, "trailing whitespace"),
    ("prefill", "converse", put((M, ...), {"role": "assistant", C: [{"text": "x"}]}), OPUS, "message prefill"),
    ("prefill", "converse", put((M, ...), {"role": "assistant", C: [{"text": "x"}]}), LLAMA, "message prefill"),
    ("prefill", "invoke", put((M, ...), {"role": "assistant", C: "x"}), OPUS, "must end with a user message"),
    ("system_prompt", "converse", lambda body: None, TITAN, "doesn't support system messages"),
    ("tool_history", "converse", drop("toolConfig"), SONNET, "The toolConfig field must be defined when using toolUse"),
    ("tool_pairs", "converse", put((M, 2, C), [{"text": "x"}]), SONNET, "Expected toolResult blocks at messages.2"),
    ("tool_pairs", "anthropic", put((M, 2, C), "x"), "claude-sonnet-4-5", "`tool_use` ids were found without"),
    ("tool_pairs", "openai", drop(M, 2), "gpt-4.1", "must be followed by tool messages"),
    ("tool_orphans", "converse", put((M, 1, C), [{"text": "x"}]), SONNET, "exceeds the number of toolUse blocks"),
    ("tool_orphans", "invoke", put((M, 1, C), "x"), HAIKU, "unexpected `tool_use_id` found"),
    ("tool_orphans", "openai", put((M, 1), {"role": "user", C: "x"}), "gpt-4.1", "preceeding message"),
    ("tool_ids", "converse", put((M, 1, C, 0, "toolUse", "toolUseId"), "a b"), SONNET, "[a-zA-Z0-9_.:-]+"),
    ("tool_ids", "anthropic", put((M, 1, C, 0, "id"), "a.b"), "claude-sonnet-4-5", "^[a-zA-Z0-9_-]+$"),
    ("tool_ids", "openai", put((M, 1, "tool_calls", 0, "id"), "c" * 41), "gpt-4.1", "maximum length 40"),
    ("tool_ids_of_mistral", "converse", put((M, 1, C, 0, "toolUse", "toolUseId"), "t1"), MISTRAL, "a length of 9"),
    ("tool_ids_of_mistral", "openai", lambda body: None, "mistral-large-latest", "a length of 9"),
    ("tool_ids_unique", "anthropic", put((M, 1, C, ...), MESSAGES[M][1][C][0]), "claude-sonnet-4-5", "must be unique"),
    ("tool_names", "converse", put(("toolConfig", "tools", 0, "toolSpec", "name"), "f" * 65), SONNET, "to 64"),
    ("tool_names", "converse", put((M, 1, C, 0, "toolUse", "name"), "a.b"), SONNET, "[a-zA-Z0-9_-]+"),
    ("tool_names", "invoke", put(("tools", 0, "name"), "f" * 129), HAIKU, "{1,128}"),
    ("tool_names", "openai", put(("tools", 0, "function", "name"), "a.b"), "gpt-4.1", "{1,64}"),
    ("tool_names_unique", "converse", put(("toolConfig", "tools", ...), CONVERSE["toolConfig"]["tools"][0]), NOVA, ""),
    ("tool_names_unique", "anthropic", put(("tools", ...), MESSAGES["tools"][0]), "claude-opus-4-6", "be unique"),
    ("tool_schema", "converse", put(("toolConfig", "tools", 0, "toolSpec", "inputSchema", "json"), {}), SONNET, "type"),
    ("tool_schema", "anthropic", put(("tools", 0, "input_schema"), {}), "claude-sonnet-4-5", "type: Field required"),
    ("tool_schema", "openai", put(("tools", 0, "function", "parameters"), {"type": "string"}), "gpt-4.1", '"object"'),
    ("tool_schema_top", "invoke", put(("tools", 0, "input_schema", "anyOf"), [{}]), HAIKU, "does not support oneOf"),
    ("tool_schema_top", "converse",
     put(("toolConfig", "tools", 0, "toolSpec", "inputSchema", "json", "oneOf"), [{}]), SONNET, "at the top level"),
    ("tool_choice", "converse", put(("toolConfig", "toolChoice"), {"any": {}}), LLAMA, "toolConfig.toolChoice.any"),
    ("tools_in_stream", "converse", lambda body: None, LLAMA, "tool use in streaming mode"),
    ("tools_unsupported", "converse", lambda body: None, TITAN, "doesn't support tool use"),
    ("thinking_history", "converse",
     thinking("additionalModelRequestFields", "maxTokens"), SONNET, "must start with a thinking block"),
    ("thinking_history", "invoke", thinking("", "max_tokens"), HAIKU, "but found"),
    ("thinking_forced", "invoke",
     lambda body: body.update(thinking={"type": "enabled"}, tool_choice={"type": "any"}), HAIKU, "forces tool use"),
    ("document_names", "converse", documents("a", "a"), SONNET, "duplicate document names"),
    ("document_count", "converse", documents(*"abcdef"), SONNET, "You can't include more than 5 documents"),
    ("image_count", "converse",
     lambda body: body[M][0][C].extend([{"image": {"format": "png", "source": {}}}] * 21), SONNET, "image_count > 20"),
    ("document_text", "converse", put((M, 0, C), [DOCUMENT]), SONNET, "A text block must be included"),
    ("document_source", "converse",
     put((M, 0, C, ...), {"document": {"name": "a", "source": {"text": "x"}}}), SONNET, "requires citations"),
    ("image_media", "anthropic",
     put((M, 0, C), [{"type": "image", "source": {"type": "base64", "media_type": "image/jpg"}}]), "claude-sonnet-4-5",
     "Input should be 'image/jpeg'"),
    ("image_media", "converse",
     put((M, 0, C, ...), {"image": {"format": "jpeg", "source": {"bytes": "iVBORw0KGgoAAAAA"}}}), SONNET, "image/png"),
    ("image_by_url", "invoke", put((M, 0, C), [{"type": "image", "source": {"type": "url", "url": "https://x"}}]),
     HAIKU, "url sources are not supported"),
    ("image_in_tool_result", "openai", put((M, 2, C), [{"type": "image_url"}]), "gpt-4.1", "Image URLs are only"),
    ("failed_result_empty", "converse",
     put((M, 2, C, 0, "toolResult"), {"toolUseId": "call00001", C: [], "status": "error"}), SONNET, "cannot be empty"),
    ("developer_role", "openai", put((M, 0, "role"), "developer"), "deepseek-chat", "unknown variant `developer`"),
    ("result_json", "converse",
     put((M, 2, C, 0, "toolResult"), {"toolUseId": "call00001", C: [{"json": [{"a": 1}]}]}), SONNET,
     "messages.2.content.0.toolResult.content.0.json is invalid"),
    ("stop_blank", "converse", put(("inferenceConfig", "stopSequences"), ["\n"]), SONNET, "non-whitespace"),
    ("stop_blank", "invoke", put(("stop_sequences",), [" "]), HAIKU, "non-whitespace"),
    ("stop_count", "converse", put(("inferenceConfig", "stopSequences"), list("abcde")), NOVA, "maximum item count: 4"),
    ("stop_count", "openai", put(("stop",), list("abcde")), "gpt-4.1", "maximum length 4"),
    ("user_id", "anthropic", put(("metadata",), {"user_id": "u" * 257}), "claude-sonnet-4-5", "at most 256"),
    ("user_id", "openai", put(("user",), "u" * 65), "gpt-4.1", "maximum length 64"),
    ("schema_open", "converse", textformat('{"type":"object"}'), SONNET, "explicitly set to false"),
    ("schema_open", "invoke", output({"type": "object"}), HAIKU, "explicitly set to false"),
    ("schema_keyword", "invoke", output({**CLOSED, "properties": {"a": {"type": "integer", "minimum": 1}}}), HAIKU,
     "For 'integer' type, property 'minimum' is not supported"),
    ("schema_unsupported", "converse", textformat("{}"), NOVA, "Remove outputConfig.textFormat and try again."),
    ("schema_unsupported", "invoke", output(CLOSED), OLD, "does not support output format"),
    ("cache_unsupported", "converse", points("5m"), LLAMA, "did not allow prompt caching"),
    ("cache_unsupported", "invoke", controls("5m"), OLD, "did not allow prompt caching"),
    ("cache_place", "converse",
     put(("toolConfig", "tools", ...), {"cachePoint": {"type": "default"}}), NOVA, "extraneous key [cachePoint]"),
    ("cache_behind", "converse",
     put((M, 2, C, ...), {"cachePoint": {"type": "default"}}), NOVA, "#/messages/2/content/1: extraneous key"),
    ("cache_count", "converse", points(*["5m"] * 5), SONNET, "A maximum of 4 blocks with cache_control"),
    ("cache_count", "anthropic", controls(*["5m"] * 5), "claude-sonnet-4-5", "Found 5."),
    ("cache_order", "invoke", controls("5m", "1h"), HAIKU, "must not come after a ttl='5m'"),
    ("beta", "invoke", put(("anthropic_beta",), ["files-api-2025-04-14"]), HAIKU, "invalid beta flag"),
    ("thinking_alone", "converse", put((M, 1, C), [SECRET]), OPUS, "does not support assistant message prefill"),
    ("thinking_alone", "invoke",
     put((M, 1, C), [{"type": "redacted_thinking", "data": "e"}]), OPUS, "does not support assistant message prefill"),
    ("thinking_unsigned", "converse", put((M, 1, C, ...), SIGNED), GPT_OSS, "reasoningContent.reasoningText.signature"),
    ("thinking_unsupported", "converse", put((M, 1, C, ...), SIGNED), KIMI, "support the reasoningContent field"),
    ("media_at_s3", "converse",
     put((M, 0, C, ...), {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}}), SONNET,
     "image.source.type: Field required"),
    ("service_tier", "converse", put(("serviceTier",), {"type": "flex"}), SONNET, "service tier is not supported"),
    ("extra_field", "invoke", put(("service_tier",), "auto"), HAIKU, "service_tier: Extra inputs are not permitted"),
    ("extra_field", "invoke", put(("context_management",), {}), HAIKU, "Extra inputs are not permitted"),
    ("extra_field", "invoke", put(("tools", 0, "eager_input_streaming"), True), HAIKU, "tools.0.custom.eager_input"),
    ("extra_field", "invoke", put(("tools", 0, "defer_loading"), True), HAIKU, "tools.0.custom.defer_loading"),
    ("server_tool", "invoke", put(("tools", ...), {"type": "web_search_20250305", "name": "w"}), HAIKU, "Input tag"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "service", "change", "model", "words"), BROKEN)
def test_the_service_says_its_own_words(name, service, change, model, words):
    body = copy.deepcopy(WHOLE[service])
    change(body)
    found = {breach.rule.name: breach for breach in broken(body, service, model, resolve(model), stream=True)}
    assert name in found
    assert words in found[name].said
    refusal = found[name].refusal(service)
    assert refusal.message == found[name].said
    assert refusal.upstream_status == RULES[name].status
    bedrock = {400: "ValidationException", 403: "AccessDeniedException"}[RULES[name].status]
    assert refusal.upstream_type == (bedrock if service in ("converse", "invoke") else "invalid_request_error")


@pytest.mark.parametrize("service", WHOLE)
def test_whole_bodies_break_nothing(service):
    model = OURS[service]
    assert list(broken(WHOLE[service], service, model, resolve(model))) == []


def test_every_rule_is_shown_here_and_has_a_source_a_date_and_a_fix():
    assert RULES.keys() == {name for name, *_ in BROKEN}
    for name, one in RULES.items():
        assert one.name == name
        assert one.source
        assert re.fullmatch(r"20\d\d-[01]\d-[0-3]\d", one.date)
        assert one.words
        assert one.fix or one.how == "repair"
        assert {service for shown, service, *_ in BROKEN if shown == name} <= set(one.words)


def test_the_page_shows_the_table():
    page = Path(__file__).parents[3] / "docs" / "service-rules.md"
    told = "python -m hapenny.protocols.rules.manual writes the table of docs/service-rules.md"
    assert page.read_text(encoding="utf-8").endswith("## The table\n\n" + markdown()), told
