# ruff: noqa: E501
"""Good requests bent in one place or several: whatever they are, no 5xx and no trace back."""

from __future__ import annotations

import copy
import json
import random

import aiohttp
import pytest

from tests.server.house import Scripted, serving

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
OPENAI = {
    "model": "strong",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "stock", "arguments": '{"title": "x"}'}},
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "3"},
    ],
    "tools": [{"type": "function", "function": {"name": "stock", "description": "d", "parameters": SCHEMA}}],
    "tool_choice": {"type": "function", "function": {"name": "stock"}},
    "temperature": 0, "top_p": 0.9, "max_tokens": 20, "stop": ["x"], "n": 1, "seed": 1, "user": "u",
    "stream": True, "stream_options": {"include_usage": True}, "metadata": {"hapenny_feature": "f"},
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
}  # fmt: skip
ANTHROPIC = {
    "model": "strong",
    "max_tokens": 20,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "messages": [
        {"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "t"}, "title": "T"},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
            {"type": "tool_use", "id": "toolu_1", "name": "stock", "input": {"title": "x"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "3"}]},
        ]},
    ],
    "tools": [{"name": "stock", "description": "d", "input_schema": SCHEMA}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "temperature": 1, "stop_sequences": ["x"], "metadata": {"user_id": "u"}, "stream": False,
}  # fmt: skip
CONVERSE = {
    "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
    "messages": [
        {"role": "user", "content": [
            {"text": "Look"},
            {"image": {"format": "png", "source": {"bytes": PNG}}},
            {"document": {"format": "txt", "name": "T", "source": {"bytes": "dA=="}}},
        ]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "stock", "input": {"title": "x"}}}]},
        {"role": "user", "content": [
            {"toolResult": {"toolUseId": "t1", "content": [{"json": {"n": 3}}], "status": "success"}},
        ]},
    ],
    "inferenceConfig": {"maxTokens": 20, "temperature": 0.5, "topP": 0.9, "stopSequences": ["x"]},
    "toolConfig": {
        "tools": [{"toolSpec": {"name": "stock", "description": "d", "inputSchema": {"json": SCHEMA}}}],
        "toolChoice": {"auto": {}},
    },
    "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": "enabled"},
    "additionalModelRequestFields": {"top_k": 5},
    "requestMetadata": {"team": "a"},
}  # fmt: skip
RESPONSES = {
    "model": "strong",
    "instructions": "Be brief.",
    "input": [
        {"role": "developer", "content": "Be kind."},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "Look"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"},
        ]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "g"},
        {"type": "message", "role": "assistant", "id": "msg_1", "content": [
            {"type": "output_text", "text": "Let me see.", "annotations": [{"type": "url_citation", "url": "u"}]}]},
        {"type": "function_call", "call_id": "call_1", "name": "stock", "arguments": '{"title": "x"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "3"}]},
    ],
    "tools": [{"type": "function", "name": "stock", "description": "d", "parameters": SCHEMA, "strict": True}],
    "tool_choice": {"type": "function", "name": "stock"}, "parallel_tool_calls": False,
    "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"],
    "text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA, "strict": True}, "verbosity": "low"},
    "temperature": 0, "top_p": 0.9, "max_output_tokens": 20, "user": "u", "safety_identifier": "s", "store": False,
    "metadata": {"hapenny_feature": "f"}, "stream": True, "truncation": "auto",
}  # fmt: skip
COMPLETIONS = {
    "model": "strong", "prompt": ["Tide ", "of "], "echo": True, "max_tokens": 20, "stop": ["x"], "n": 1, "logprobs": 2,
    "temperature": 0, "top_p": 0.9, "seed": 1, "user": "u", "stream": True, "stream_options": {"include_usage": True},
}  # fmt: skip
INVOKE = {key: value for key, value in ANTHROPIC.items() if key not in ("model", "stream")}
INVOKE["anthropic_version"] = "bedrock-2023-05-31"
MODEL = "/model/anthropic.claude-3-sonnet"
TARGETS = {
    "/v1/responses": RESPONSES,
    "/v1/completions": COMPLETIONS,
    "/v1/chat/completions": OPENAI,
    "/v1/messages": ANTHROPIC,
    "/v1/messages/count_tokens": ANTHROPIC,
    f"{MODEL}/converse": CONVERSE,
    f"{MODEL}/converse-stream": CONVERSE,
    f"{MODEL}/invoke": INVOKE,
    f"{MODEL}/invoke-with-response-stream": INVOKE,
}
ODD = [
    None, True, False, 0, -1, 1e308, 10**30, 0.5, "", "x", "\x00", "\ud800", "é" * 300,
    [], {}, [[]], [None], {"": None},
    {"type": "text"}, {"type": None}, {"type": "text", "text": None}, [{"text": 1}], "data:image/png;base64,%%%",
    {"type": "ephemeral", "ttl": 5}, "https://example.com/x.png", ["a", 1], {"a": {"b": {"c": []}}},
]  # fmt: skip


def places(value, found):
    """Every container of `value` with every key in it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found.append((value, key))
        places(inner, found)
    return found


def bent(good, chance):
    """`good` with one to three places replaced, dropped, doubled, wrapped or swapped; now and then bytes are bent."""
    body = copy.deepcopy(good)
    for _ in range(chance.choice((1, 1, 2, 3))):
        spots = places(body, [])
        if not spots:
            break
        holder, key = chance.choice(spots)
        kind = chance.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            holder[key] = [holder[key]]
        elif kind == 2:
            other, there = chance.choice(spots)
            holder[key] = copy.deepcopy(other[there]) if there in other or isinstance(other, list) else None
        elif kind == 3 and isinstance(holder, list):
            holder.extend(copy.deepcopy(holder[:8]))
        else:
            holder[key] = copy.deepcopy(chance.choice(ODD))
    data = json.dumps(body).encode()
    if chance.random() < 0.15:
        at = chance.randrange(len(data))
        data = data[:at] + chance.randbytes(chance.randrange(3)) + data[at + chance.randrange(4) :]
    return data


async def hammer(tmp_path, path, times, seed):
    chance = random.Random(f"{path}{seed}")
    async with serving(tmp_path, Scripted()) as (url, app), aiohttp.ClientSession() as session:
        good = 0
        for _ in range(times):
            body = bent(TARGETS[path], chance)
            headers = {}
            if chance.random() < 0.1:
                name = chance.choice(("priority", "tags", "route", "session", "locale", "intent"))
                headers[f"x-hapenny-{name}"] = chance.choice(("", "1e9", "a=b,c", "x" * 300, "\xe9", "-5", "default"))
            async with session.post(url + path, data=body, headers=headers) as answer:
                text = await answer.text(errors="replace")
                assert answer.status < 500, (path, body, text)
                assert "Traceback" not in text
                good += answer.status == 200
        assert good  # the bending leaves some requests whole: both sides of the border were walked
        assert app.gateway.books.violations == 0


@pytest.mark.parametrize("path", TARGETS)
async def test_bent_requests_never_break_the_gateway(tmp_path, path):
    await hammer(tmp_path, path, 60, 0)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("path", TARGETS)
async def test_many_bent_requests_never_break_the_gateway(tmp_path, path, seed):
    await hammer(tmp_path, path, 3_000, seed)
