# ruff: noqa: E501
"""Whatever arrives: a 4xx in the client's protocol, or a request that can be sent on; never another exception."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.core.errors import Failure
from hapenny.protocols import codec, eventstream
from tests.protocols import samples

NAMES = ["openai", "responses", "anthropic", "bedrock", "invoke"]
EXAMPLES = 60

# Bodies that use as much of each protocol as one request can. Constructed after the service model and the SDK types.
RICH = {
    "openai": {
        "model": "m",
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]},
            {"role": "user", "name": "n", "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}}, {"type": "file", "file": {"file_data": "aGk=", "filename": "f"}}]},
            {"role": "assistant", "content": None, "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}], "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}, {"id": "d", "type": "custom", "custom": {"name": "x", "input": "y"}}]},
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "r"}]},
            {"role": "function", "name": "f", "content": "r"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}}, {"type": "custom", "custom": {"name": "x"}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": True, "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "max_completion_tokens": 5, "max_tokens": 5, "temperature": 1, "top_p": 1, "top_k": 1, "n": 1, "seed": 1,
        "stop": ["a"], "presence_penalty": 0, "frequency_penalty": 0, "reasoning_effort": "low", "verbosity": "low",
        "service_tier": "auto", "stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False},
        "store": True, "user": "u", "metadata": {"a": "b"}, "logit_bias": {"1": 1},
    },
    "responses": {
        "model": "m", "instructions": "s",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}], "id": "msg_0", "status": "completed"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "t"}, {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"}, {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "f"}, {"type": "input_file", "file_id": "file-1"}, {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "why"}], "content": [{"type": "reasoning_text", "text": "because"}], "encrypted_content": "gAAA"},
            {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "phase": "commentary", "content": [{"type": "output_text", "text": "u", "annotations": [{"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}], "logprobs": [{"token": "u", "logprob": -0.1, "bytes": [117], "top_logprobs": []}]}, {"type": "refusal", "refusal": "no"}]},
            {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"},
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "d", "name": "x", "input": "y"},
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "r"}, {"type": "input_image", "image_url": "https://example.com/a.png"}], "id": "fco_1"},
            {"type": "custom_tool_call_output", "call_id": "d", "output": "r"},
            {"role": "user", "content": "and then?"},
            {"role": "developer", "content": "late"},
        ],
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}, {"type": "custom", "name": "x", "format": {"type": "grammar", "syntax": "lark", "definition": "g"}}, {"type": "web_search", "filters": {"allowed_domains": ["a"]}}],
        "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": True,
        "reasoning": {"effort": "low", "summary": "auto", "extra": {"a": 1}}, "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low", "extra": {"a": 1}},
        "max_output_tokens": 50, "temperature": 1, "top_p": 1, "service_tier": "auto", "store": False, "include": ["reasoning.encrypted_content"],
        "truncation": "auto", "metadata": {"a": "b"}, "user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "stream": True,
        "stream_options": {"include_obfuscation": False}, "top_logprobs": 2, "max_tool_calls": 3,
    },
    "anthropic": {
        "model": "m", "max_tokens": 5, "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "t", "citations": [{"type": "char_location"}]}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}, {"type": "image", "source": {"type": "url", "url": "http://x"}}, {"type": "image", "source": {"type": "file", "file_id": "f"}}, {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="}, "title": "t", "context": "c", "citations": {"enabled": True}}, {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}, {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}}, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "r"}], "is_error": True}]},
        ],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True, "cache_control": {"type": "ephemeral"}}, {"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True}, "stop_sequences": ["a"],
        "temperature": 1, "top_p": 1, "top_k": 1, "thinking": {"type": "enabled", "budget_tokens": 1024},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}, "x": 1},
        "cache_control": {"type": "ephemeral"}, "service_tier": "auto", "metadata": {"user_id": "u"}, "stream": True,
        "anthropic_beta": ["b"], "container": "c",
    },
    "bedrock": {
        "system": [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}, {"guardContent": {"text": {"text": "g"}}}],
        "messages": [
            {"role": "user", "content": [{"text": "t"}, {"image": {"format": "png", "source": {"bytes": "aGk="}}}, {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://a/b", "bucketOwner": "1"}}}}, {"document": {"format": "pdf", "name": "n", "source": {"bytes": "aGk="}, "context": "c", "citations": {"enabled": True}}}, {"video": {"format": "mp4", "source": {"bytes": "aGk="}}}, {"cachePoint": {"type": "default"}}]},
            {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}, {"reasoningContent": {"redactedContent": "aGk="}}, {"toolUse": {"toolUseId": "c", "name": "f", "input": {"a": 1}}}, {"citationsContent": {"content": [{"text": "t"}], "citations": [{"title": "t"}]}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "c", "content": [{"text": "r"}, {"json": {"a": 1}}], "status": "error"}}]},
        ],
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": {"type": "object"}}, "strict": True}}, {"cachePoint": {"type": "default"}}, {"systemTool": {"name": "n"}}], "toolChoice": {"tool": {"name": "f"}}},
        "inferenceConfig": {"maxTokens": 5, "temperature": 1, "topP": 1, "stopSequences": ["a"]},
        "additionalModelRequestFields": {"top_k": 1, "thinking": {"type": "enabled", "budget_tokens": 5}, "x": 1},
        "requestMetadata": {"a": "b"}, "performanceConfig": {"latency": "optimized"}, "serviceTier": {"type": "flex"},
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{}", "name": "n", "description": "d"}}}, "effort": "low"},
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}, "promptVariables": {"a": {"text": "b"}},
    },
}  # fmt: skip
RICH["invoke"] = {**RICH["anthropic"], "anthropic_version": "bedrock-2023-05-31"}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(
        ["", "text", "user", "tool", "ephemeral", "default", "data:image/png;base64,", 10**400, -1, 1e308]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def take(name: str, body: bytes) -> str:
    """Decodes as a server would; a failure must make a 4xx, a request must be writable or refused in all protocols."""
    talk = codec(name)
    on_path = name in ("bedrock", "invoke")
    try:
        request = talk.decode_request(
            body, model="anthropic.m" if on_path else None, stream=True if on_path else None, headers={}
        )
    except Failure as failure:
        assert failure.kind == "invalid_request"
        assert failure.field
        assert failure.fix
        status, _, answer = talk.encode_error(failure, "r")
        assert 400 <= status < 500
        json.loads(answer)
        return "refused"
    for target in NAMES:
        codec(target).lost(request)
        try:
            codec(target).encode_request(request, model="m")
        except Failure as failure:
            assert failure.kind == "invalid_request"
    return "taken"


@pytest.mark.parametrize("name", NAMES)
def test_the_rich_body_reads_the_same_after_it_went_out(name):
    talk, body = codec(name), json.dumps(RICH[name]).encode()
    assert take(name, body) == "taken"
    model, stream = (None, None) if name not in ("bedrock", "invoke") else ("anthropic.m", True)
    request = talk.decode_request(body, model=model, stream=stream, headers={})
    wire = talk.encode_request(request, model=request.model)
    assert talk.decode_request(wire.body, model=model, stream=stream, headers=wire.headers) == request


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(body=st.binary(max_size=60))
def test_any_bytes(name, body):
    take(name, body)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    body=st.dictionaries(st.sampled_from(sorted({key for rich in RICH.values() for key in rich})), values, max_size=4)
)
def test_any_fields(name, body):
    take(name, json.dumps(body).encode())


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def changed(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and new is places:
        del copy[path[0]]
    else:
        copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


WRONG = [None, True, 0, -1, 10**400, 1.5, "", "x", [], {}, [None], {"x": None}, ["x"], {"type": "x"}, [[]]]


@pytest.mark.parametrize("name", NAMES)
def test_each_field_wrong_in_every_way(name):
    """Every value of the rich body is left out and replaced by values of every type: systematically, not by chance."""
    outcomes = set()
    for path in places(RICH[name]):
        for new in ([places] if path else []) + WRONG:
            try:
                body = json.dumps(changed(RICH[name], path, new)).encode()
                outcomes.add(take(name, body))
            except Exception as error:
                error.add_note(f"{path}: {new!r}")
                raise
    assert outcomes == {"taken", "refused"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"a":[', b'[{"a":'])
@pytest.mark.parametrize("depth", [40, 99, 150, 600, 100_000])
def test_deep_nesting(name, opening, depth):
    closing = opening.translate(bytes.maketrans(b"[{", b"]}"), b'"a:')[::-1]
    deep = opening * depth + b"1" + closing * depth
    assert take(name, deep) == "refused"
    for key in (b"novel", b"system", b"tools", b"metadata", b"toolConfig"):
        plain = {k: v for k, v in RICH[name].items() if k in ("model", "max_tokens", "messages", "anthropic_version")}
        body = json.dumps(plain).encode()[:-1] + b',"%b":%b}' % (key, deep)
        outcome = take(name, body)
        assert outcome == "refused" or depth < 100


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", [b"1" * 5000, b"1e999", b"-1e999", b"NaN", b"Infinity", b"1" * 25, b"1e400"])
def test_huge_numbers(name, number):
    for key in (b"max_tokens", b"temperature", b"novel", b"seed", b"top_k", b"n"):
        body = json.dumps({k: v for k, v in RICH[name].items() if k != key.decode()}).encode()
        take(name, body[:-1] + b',"%b":%b}' % (key, number))


@pytest.mark.parametrize("name", NAMES)
def test_text_that_is_no_unicode(name):
    body = json.dumps(RICH[name]).encode()
    assert take(name, body.replace(b'"t"', b'"\xff"')) == "refused"
    assert take(name, body.replace(b'"t"', b'"\\ud800"')) == "refused"


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(pieces=st.lists(st.binary(max_size=40), max_size=4), value=values)
def test_any_bytes_from_upstream(name, pieces, value):
    """A provider that sends nonsense makes a Failure, never another exception."""
    nonsense = json.dumps(value).encode()
    frames = [
        *pieces,
        b"data: " + nonsense + b"\n\n",
        eventstream.event("chunk", nonsense),
        eventstream.event("contentBlockDelta", nonsense),
        eventstream.event("metadata", nonsense),
    ]
    for frame in frames:
        decoder = codec(name).decoder()
        try:
            decoder.feed(frame)
            decoder.close()
        except Failure as failure:
            assert failure.kind != "invalid_request"
    for body in (nonsense, *pieces):
        try:
            codec(name).decode_answer(body, {})
        except Failure as failure:
            assert failure.kind != "invalid_request"
        for status in (400, 429, 500, 599):
            assert codec(name).decode_error(status, {}, body).upstream_status == status


def write(events):
    """Whatever was read can be written, or is refused as the provider's fault."""
    samples.collected(events)
    for target in NAMES:
        encoder = codec(target).encoder(samples.ask(target, stream=True, stream_usage=True))
        try:
            encoder.encode(events)
        except Failure as failure:
            assert failure.kind == "upstream"
        encoder.end()


STREAM_KEYS = {
    "openai": [
        {"id": "i", "model": "m", "created": 1, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "x", "reasoning_content": "r", "refusal": "n", "tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}], "annotations": [{}], "thinking_blocks": [{"type": "thinking", "signature": "s"}]}, "logprobs": {"content": [{}]}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}}},
    ],
    "anthropic": [
        {"type": "message_start", "message": {"id": "i", "model": "m", "usage": {"input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 1}}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {}}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": "x"}, "usage": {"output_tokens": 1}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "m"}},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", ["openai", "anthropic", "invoke"])
def test_each_field_of_a_stream_wrong_in_every_way(name):
    import base64

    for event in STREAM_KEYS["openai" if name == "openai" else "anthropic"]:
        for path in places(event):
            for new in ([places] if path else []) + WRONG[:4] + WRONG[5:]:
                payload = json.dumps(changed(event, path, new)).encode()
                if name == "invoke":
                    chunk = json.dumps({"bytes": base64.b64encode(payload).decode()}).encode()
                    frame = eventstream.event("chunk", chunk)
                else:
                    frame = b"data: " + payload + b"\n\n"
                try:
                    events = codec(name).decoder().feed(frame)
                except Failure as failure:
                    assert failure.kind != "invalid_request"
                    continue
                write(events)


BEDROCK_EVENTS = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "c", "name": "f"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{}"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "t"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"redactedContent": "t"}}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("messageStop", {"stopReason": "end_turn", "additionalModelResponseFields": {"stop_sequence": "x"}}),
    ("metadata", {"usage": {"inputTokens": 1, "cacheDetails": [{"ttl": "1h", "inputTokens": 1}]}, "metrics": {}}),
]


def test_each_field_of_a_converse_stream_wrong_in_every_way():
    for kind, event in BEDROCK_EVENTS:
        for path in places(event):
            for new in ([places] if path else []) + WRONG:
                frame = eventstream.event(kind, json.dumps(changed(event, path, new)).encode())
                try:
                    events = codec("bedrock").decoder().feed(frame)
                except Failure as failure:
                    assert failure.kind == "upstream"
                    continue
                write(events)


@pytest.mark.parametrize("name", NAMES)
def test_a_body_of_25_megabytes_passes(name):
    big = "x" * (25 << 20)
    message = {"role": "user", "content": [{"text": big}] if name == "bedrock" else big}
    assert take(name, json.dumps({**RICH[name], "messages": [message]}).encode()) == "taken"


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5000, deadline=None)
@given(data=st.data())
def test_damaged_bodies(name, data):
    """Long: the rich body with bytes changed, cut out and put in at random."""
    body = bytearray(json.dumps(RICH[name]).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        end = start + data.draw(st.integers(0, 12))
        body[start:end] = data.draw(st.binary(max_size=12) | st.sampled_from([b"{", b"]", b",", b'"', b"null", b"1e5"]))
    take(name, bytes(body))
