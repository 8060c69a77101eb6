# ruff: noqa: E501
"""The same dialect on both sides loses nothing: a key that nobody knows, put into any object, comes out where it was.

Requests, whole answers, streams, and answers that a cache keeps and serves again. Bodies are constructed after the
service model and the clients' types, with the habits of compatible servers added.
"""

from __future__ import annotations

import base64
import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.core.events import Usage, events_of
from hapenny.protocols import codec, eventstream
from tests.protocols import samples
from tests.protocols.test_fuzz import RICH

NAMES = ["openai", "responses", "anthropic", "bedrock", "invoke"]
KEY = "x_novel"

CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "f", "arguments": '{"a":1}'},
    "extra_content": {"google": {"thought_signature": "SIG=="}},
}
WHOLE = {
    "openai": [
        {
            "id": "i", "object": "chat.completion", "created": 1, "model": "m", "system_fingerprint": "fp", "service_tier": "default",
            "choices": [
                {
                    "index": 0, "finish_reason": "tool_calls", "logprobs": {"content": [{"token": "t", "logprob": -0.1, "bytes": None, "top_logprobs": []}]},
                    "message": {
                        "role": "assistant", "content": "t", "reasoning": "why", "reasoning_details": [{"type": "reasoning.text", "text": "why"}],
                        "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}}, {"type": "novel", "x": 1}],
                        "audio": {"id": "a", "data": "aGk="}, "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}],
                        "tool_calls": [CALL, {"id": "c2", "type": "custom", "custom": {"name": "x", "input": "y"}}],
                    },
                },
                {"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": None, "refusal": "no"}},
            ],
            "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "prompt_tokens_details": {"cached_tokens": 1}, "cost": 0.1},
        },
        {
            "id": "i", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "why"}]}, {"type": "text", "text": "t"}, {"type": "reference", "reference_ids": [1]}]}}],
        },
        {
            "id": "i", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "finish_reason": "function_call", "message": {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}, "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]}}],
        },
    ],
    "anthropic": [
        {
            "id": "i", "type": "message", "role": "assistant", "model": "m", "container": {"id": "c"}, "context_management": {"applied_edits": []},
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "redacted_thinking", "data": "d"},
                {"type": "text", "text": "t", "citations": [{"type": "char_location", "cited_text": "x", "document_index": 0, "start_char_index": 0, "end_char_index": 1}, {"type": "novel_location", "x": 1}]},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result", "url": "u"}]},
                {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
            ],
            "stop_reason": "tool_use", "stop_sequence": None, "stop_details": {"type": "x"},
            "usage": {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 2, "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 1}, "server_tool_use": {"web_search_requests": 1}, "output_tokens_details": {"thinking_tokens": 1}, "service_tier": "standard"},
        },
    ],
    "bedrock": [
        {
            "output": {"message": {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}, {"reasoningContent": {"redactedContent": "aGk="}},
                {"text": "t"}, {"citationsContent": {"content": [{"text": "a"}, {"text": "b"}], "citations": [{"title": "t", "location": {"web": {"url": "u"}}}]}},
                {"toolUse": {"toolUseId": "c", "name": "f", "input": {"a": 1}}}, {"toolUse": {"toolUseId": "s", "name": "n", "input": {}, "type": "server_tool_use"}},
                {"image": {"format": "png", "source": {"bytes": "aGk="}}},
            ]}},
            "stopReason": "tool_use", "metrics": {"latencyMs": 5}, "additionalModelResponseFields": {"a": {"b": 1}},
            "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2, "cacheWriteInputTokens": 2, "cacheDetails": [{"ttl": "1h", "inputTokens": 1}]},
            "trace": {"promptRouter": {"invokedModelId": "m"}}, "performanceConfig": {"latency": "standard"}, "serviceTier": {"type": "default"},
        },
    ],
}  # fmt: skip
WHOLE["invoke"] = WHOLE["anthropic"]


WHOLE["responses"] = [
    {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "service_tier": "default", "store": True,
        "text": {"format": {"type": "text"}}, "reasoning": {"effort": "low", "summary": None}, "metadata": {"a": "b"},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "why"}], "content": [{"type": "reasoning_text", "text": "because"}], "encrypted_content": "gAAA"},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "t", "annotations": [{"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}, {"type": "novel", "x": 1}], "logprobs": [{"token": "t", "logprob": -0.1, "bytes": [116], "top_logprobs": []}]}, {"type": "refusal", "refusal": "no"}, {"type": "novel_part", "x": {"y": 1}}]},
            {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"},
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "d", "name": "x", "input": "12"},
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        ],
        "usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4, "audio_tokens": 1}, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 14},
    },
    {
        "id": "resp_2", "object": "response", "created_at": 1, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "model": "m",
        "output": [{"type": "message", "id": "msg_2", "role": "assistant", "status": "incomplete", "content": [{"type": "output_text", "text": "t", "annotations": []}]}],
        "usage": {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14},
    },
]  # fmt: skip


def chunk(delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


USED = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
END = [
    chunk({}, "stop"),
    {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": USED},
]
NATIVE = [
    {"type": "message_start", "message": {"id": "i", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "t"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "begun"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "t"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "citations_delta", "citation": {"type": "char_location"}}},
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}},
    {"type": "content_block_stop", "index": 2},
    {"type": "content_block_start", "index": 3, "content_block": {"type": "redacted_thinking", "data": "d"}},
    {"type": "content_block_stop", "index": 3},
    {"type": "content_block_start", "index": 4, "content_block": {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}},
    {"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_stop", "index": 4},
    {"type": "novel", "x": {"y": 1}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": {"output_tokens": 1}, "context_management": {"applied_edits": []}},
    {"type": "message_stop"},
]  # fmt: skip
STREAMS = {
    "openai": [
        [chunk({"role": "assistant", "content": ""}), chunk({"content": "t"}), chunk({"content": "u"}), *END],
        [chunk({"role": "assistant", "content": "begun"}, service_tier="default"), *END],
        [chunk({"role": "assistant", "content": ""}), chunk({"tool_calls": [{"index": 0, **CALL}]}), chunk({}, "tool_calls"), END[1]],
        [chunk({"role": "assistant", "tool_calls": [{"index": 0, **CALL}, {"index": 1, **CALL, "id": "c2"}]}, "tool_calls"), END[1]],
        [chunk({"role": "assistant"}), chunk({"reasoning": "why", "content": "t"}), chunk({"audio": {"id": "a", "data": "aGk="}}), chunk({"images": [{"type": "image_url", "image_url": {"url": "u"}}]}), *END],
        [chunk({"role": "assistant", "function_call": {"name": "f", "arguments": ""}}), chunk({"function_call": {"arguments": "{}"}}), chunk({}, "function_call"), END[1]],
        [chunk({"role": "assistant", "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "why"}]}]}), chunk({"content": "t"}, usage=USED), chunk({}, "stop", usage=USED)],
        [chunk({"role": "assistant", "content": None}), chunk({"refusal": "no"}), *END],
        [chunk({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a"'}}]}), chunk({"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "g", "arguments": "{}"}}]}), chunk({"content": "between"}), chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}), chunk({}, "tool_calls"), END[1]],
    ],
    "anthropic": [NATIVE],
    "bedrock": [
        [
            ("messageStart", {"role": "assistant"}),
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "t"}}}),
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "s"}}}),
            ("contentBlockStop", {"contentBlockIndex": 0}),
            ("contentBlockStart", {"contentBlockIndex": 1, "start": {}}),
            ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "t"}}),
            ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"citation": {"title": "t"}}}),
            ("contentBlockStop", {"contentBlockIndex": 1}),
            ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "c", "name": "f"}}}),
            ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": "{}"}}}),
            ("contentBlockStop", {"contentBlockIndex": 2}),
            ("novelEvent", {"x": {"y": 1}}),
            ("messageStop", {"stopReason": "tool_use", "additionalModelResponseFields": {"a": {"b": 1}}}),
            ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}, "metrics": {"latencyMs": 1}, "trace": {"guardrail": {}}}),
        ],
    ],
}  # fmt: skip
STREAMS["invoke"] = STREAMS["anthropic"]


def told(items):
    """A stream of the Responses dialect, its frames numbered."""
    return [{"sequence_number": number, **item} for number, item in enumerate(items)]


RESPONSE = {key: value for key, value in WHOLE["responses"][0].items() if key not in ("output", "usage")} | {
    "output": []
}
STREAMS["responses"] = [
    told([
        {"type": "response.created", "response": RESPONSE | {"status": "in_progress"}},
        {"type": "response.in_progress", "response": RESPONSE | {"status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1", "summary": []}},
        {"type": "response.reasoning_summary_part.added", "output_index": 0, "item_id": "rs_1", "summary_index": 0, "part": {"type": "summary_text", "text": ""}},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "item_id": "rs_1", "summary_index": 0, "delta": "why"},
        {"type": "response.reasoning_summary_text.done", "output_index": 0, "item_id": "rs_1", "summary_index": 0, "text": "why"},
        {"type": "response.reasoning_summary_part.done", "output_index": 0, "item_id": "rs_1", "summary_index": 0, "part": {"type": "summary_text", "text": "why"}},
        {"type": "response.output_item.done", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "why"}], "encrypted_content": "gAAA"}},
        {"type": "response.output_item.added", "output_index": 1, "item": {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", "output_index": 1, "content_index": 0, "item_id": "msg_1", "part": {"type": "output_text", "text": "", "annotations": []}},
        {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "item_id": "msg_1", "delta": "t", "logprobs": [{"token": "t", "logprob": -0.1}], "obfuscation": "xyz"},
        {"type": "response.output_text.annotation.added", "output_index": 1, "content_index": 0, "item_id": "msg_1", "annotation_index": 0, "annotation": {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}},
        {"type": "response.output_text.done", "output_index": 1, "content_index": 0, "item_id": "msg_1", "text": "t", "logprobs": []},
        {"type": "response.content_part.done", "output_index": 1, "content_index": 0, "item_id": "msg_1", "part": {"type": "output_text", "text": "t", "annotations": []}},
        {"type": "response.output_item.done", "output_index": 1, "item": {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "t", "annotations": []}]}},
        {"type": "response.output_item.added", "output_index": 2, "item": {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "", "status": "in_progress"}},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "item_id": "fc_1", "delta": "{}"},
        {"type": "response.function_call_arguments.done", "output_index": 2, "item_id": "fc_1", "name": "f", "arguments": "{}"},
        {"type": "response.output_item.done", "output_index": 2, "item": {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"}},
        {"type": "response.output_item.added", "output_index": 3, "item": {"type": "web_search_call", "id": "ws_1", "status": "in_progress"}},
        {"type": "response.web_search_call.searching", "output_index": 3, "item_id": "ws_1"},
        {"type": "response.output_item.done", "output_index": 3, "item": {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}},
        {"type": "response.output_item.added", "output_index": 4, "item": {"type": "custom_tool_call", "id": "ctc_1", "call_id": "d", "name": "x", "input": ""}},
        {"type": "response.custom_tool_call_input.delta", "output_index": 4, "item_id": "ctc_1", "delta": "12"},
        {"type": "response.custom_tool_call_input.done", "output_index": 4, "item_id": "ctc_1", "input": "12"},
        {"type": "response.output_item.done", "output_index": 4, "item": {"type": "custom_tool_call", "id": "ctc_1", "call_id": "d", "name": "x", "input": "12"}},
        {"type": "response.novel", "x": {"y": 1}},
        {"type": "response.completed", "response": WHOLE["responses"][0]},
    ]),
]  # fmt: skip


def objects(value, path=()):
    """The paths of all objects in `value`."""
    if isinstance(value, dict):
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, inner in items:
        yield from objects(inner, (*path, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def marked(value, path, mark):
    value = copy.deepcopy(value)
    at(value, path)[KEY] = mark
    return value


def there(value, path, mark):
    """Whether the mark came out where it was."""
    try:
        return at(value, path)[KEY] == mark
    except (KeyError, IndexError, TypeError):
        return False


def through_request(name, body):
    on_path = name in ("bedrock", "invoke")
    model, stream = ("anthropic.m", True) if on_path else (None, None)
    request = codec(name).decode_request(json.dumps(body).encode(), model=model, stream=stream, headers={})
    return json.loads(codec(name).encode_request(request, model="m").body)


def answered(name, body):
    return samples.collected(codec(name).decode_answer(json.dumps(body).encode(), {}, model="m"))


def through_answer(name, body):
    return json.loads(codec(name).encode_answer(answered(name, body), samples.ask(name)))


def through_cache(name, body):
    kept = samples.collected(events_of(answered(name, body)))
    return json.loads(codec(name).encode_answer(kept, samples.ask(name)))


def framed(name, items):
    if name == "openai":
        return b"".join(b"data: " + json.dumps(item).encode() + b"\n\n" for item in items) + b"data: [DONE]\n\n"
    if name in ("anthropic", "responses"):
        return b"".join(f"event: {item['type']}\ndata: {json.dumps(item)}\n\n".encode() for item in items)
    if name == "bedrock":
        return b"".join(eventstream.event(kind, json.dumps(item).encode()) for kind, item in items)
    chunks = (json.dumps({"bytes": base64.b64encode(json.dumps(item).encode()).decode()}) for item in items)
    return b"".join(eventstream.event("chunk", item.encode()) for item in chunks)


def unframed(name, body):
    if name in ("openai", "anthropic", "responses"):
        lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ") and line != b"data: [DONE]"]
        return [json.loads(line) for line in lines]
    found = []
    for frame in eventstream.Parser().feed(body):
        payload = json.loads(frame.payload)
        found.append((frame.name, payload) if name == "bedrock" else json.loads(base64.b64decode(payload["bytes"])))
    return found


def through_stream(name, items, size=None):
    decoder = codec(name).decoder(model="m")
    encoder = codec(name).encoder(samples.ask(name, stream=True, stream_usage=True))
    body = framed(name, items)
    size = size or len(body)
    out = b""
    for start in range(0, len(body), size):
        if events := decoder.feed(body[start : start + size]):
            out += encoder.encode(events)
    return unframed(name, out + encoder.encode(decoder.close()) + encoder.end())


@pytest.mark.parametrize("name", NAMES)
def test_no_object_of_a_request_loses_a_key(name):
    lost = [
        path
        for path in objects(RICH[name])
        if not there(through_request(name, marked(RICH[name], path, "v")), path, "v")
    ]
    assert not lost


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("through", [through_answer, through_cache])
def test_no_object_of_a_whole_answer_loses_a_key(name, through):
    lost = []
    for body in WHOLE[name]:
        lost += [path for path in objects(body) if not there(through(name, marked(body, path, "v")), path, "v")]
    assert not lost


def kept_somewhere(name, items, mark, size=None):
    """Whether a frame with the mark comes out; frames may be joined, split or put in another order."""
    return any(
        at(frame, path).get(KEY) == mark for frame in through_stream(name, items, size) for path in objects(frame)
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [None, 7])
def test_no_object_of_a_stream_loses_a_key(name, size):
    lost = []
    for items in STREAMS[name]:
        lost += [path for path in objects(items) if not kept_somewhere(name, marked(items, path, "v"), "v", size)]
    assert not lost


marks = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_value_under_an_unknown_key_comes_out(name, data):
    mark = data.draw(marks)
    kind = data.draw(st.sampled_from(["request", "whole", "cached", "stream"]))
    if kind == "request":
        path = data.draw(st.sampled_from(list(objects(RICH[name]))))
        mark = mark if path != ("requestMetadata",) else "only strings stand there"
        assert there(through_request(name, marked(RICH[name], path, mark)), path, mark)
    elif kind == "stream":
        items = data.draw(st.sampled_from(STREAMS[name]))
        path = data.draw(st.sampled_from(list(objects(items))))
        assert kept_somewhere(name, marked(items, path, mark), mark, data.draw(st.none() | st.integers(1, 300)))
    else:
        body = data.draw(st.sampled_from(WHOLE[name]))
        path = data.draw(st.sampled_from(list(objects(body))))
        through = through_answer if kind == "whole" else through_cache
        assert there(through(name, marked(body, path, mark)), path, mark)


def holds(out, body):
    """Whether all of `body` is in `out`, but for counts, which are written anew, and nulls, which stand for absence."""
    if isinstance(body, dict):
        left = {key: value for key, value in body.items() if value is not None and key not in ("usage", "metrics")}
        return isinstance(out, dict) and all(key in out and holds(out[key], value) for key, value in left.items())
    if isinstance(body, list):
        return isinstance(out, list) and len(out) == len(body) and all(map(holds, out, body))
    return out == body


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_in_an_answer_comes_out_as_it_was(name):
    for body in WHOLE[name]:
        assert holds(through_answer(name, body), body)
        assert holds(through_cache(name, body), body)


@pytest.mark.parametrize("name", NAMES)
def test_streamed_usage_is_the_providers(name):
    for items in STREAMS[name]:
        decoder = codec(name).decoder(model="m")
        events = decoder.feed(framed(name, items)) + decoder.close()
        assert sum(isinstance(event, Usage) for event in events) == 1
