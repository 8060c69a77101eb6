"""What a client gets of the service rules: a whole gateway before a server that refuses what Bedrock refuses."""

from __future__ import annotations

import contextlib
import json

import aiohttp
import pytest
from aiohttp import web

from hapenny.cli.simulate import provider
from hapenny.config import load
from tests.backends.servers import serving
from tests.server.house import running

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "amazon.nova-pro-v1:0"
CONFIG = """
backends: {far: {kind: bedrock, region: us-east-1, base_url: "%s", api_key: any-key-will-do}}
tiers: {fast: %s, strong: %s}
routes: {default: {preset: %s, holdout: %s, stages: {%s}}}
ledger: {path: "%s"}
"""
LONG = "mcp__files__" + "read_a_file_of_the_workspace_" * 3 + "by.path"
TOOL = {"type": "function", "function": {"name": LONG, "description": "d", "parameters": {}}}
TALK = [
    {"role": "assistant", "content": "Hello, how can I help?"},
    {"role": "user", "content": "read it"},
    {"role": "assistant", "content": "", "tool_calls": [
        {"id": "functions.read:0", "type": "function", "function": {"name": LONG, "arguments": "{}"}},
        {"id": "functions.read:1", "type": "function", "function": {"name": LONG, "arguments": "{}"}},
    ]},
    {"role": "tool", "tool_call_id": "functions.read:0", "content": " "},
    {"role": "user", "content": "and now?"},
]  # fmt: skip


@contextlib.asynccontextmanager
async def gateway(tmp_path, preset="demo", holdout=0, modes=""):
    app, _ = provider("current-2026")
    await app.gateway.start()
    port = await app.start(port=0)
    url = f"http://127.0.0.1:{port}"
    config = load(text=CONFIG % (url, NOVA, HAIKU, preset, holdout, modes, tmp_path / "ledger.db"))
    try:
        async with running(config) as (url, served):
            yield url, served
    finally:
        await app.stop()


async def post(url, path, body):
    async with aiohttp.ClientSession() as session, session.post(url + path, json=body) as answer:
        return answer.status, answer.headers, await answer.text()


def chat(**fields):
    return {"model": "strong", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 200, **fields}


@pytest.mark.parametrize("model", ["strong", "fast"])
@pytest.mark.parametrize(
    ("preset", "holdout", "modes"),
    [("demo", 0, ""), ("demo", 1, ""), ("safe", 0, "parameters: shadow"), ("safe", 0, "parameters: off")],
)
async def test_a_strange_conversation_is_answered_whatever_the_stages_do(tmp_path, preset, holdout, modes, model):
    body = chat(
        model=model, messages=TALK, temperature=0.3, top_p=0.9, seed=7, stop=["\n\n\n", "END"], user="u" * 900,
        reasoning_effort="low", presence_penalty=0.5,
    )  # fmt: skip
    async with gateway(tmp_path, preset, holdout, modes) as (url, _):
        status, headers, text = await post(url, "/v1/chat/completions", body)
    assert status == 200, text
    notes = headers["x-hapenny-notes"]
    for word in ("tool_ids=2 rewritten", "in front", "1 missing", "seed=", "presence_penalty=", "stop=1 of 2"):
        assert word in notes, notes


async def test_long_names_come_back_whole_and_streamed(tmp_path):
    body = chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": LONG}})
    async with gateway(tmp_path) as (url, _):
        status, headers, text = await post(url, "/v1/chat/completions", body)
        assert status == 200, text
        (call,) = json.loads(text)["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == LONG
        assert "tool_names=1 rewritten" in headers["x-hapenny-notes"]
        status, _, text = await post(url, "/v1/chat/completions", {**body, "stream": True})
        assert status == 200
        chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
        named = [
            call["function"]["name"] for chunk in chunks for choice in chunk["choices"]
            for call in choice["delta"].get("tool_calls") or () if call["function"].get("name")
        ]  # fmt: skip
        assert named == [LONG]
        status, _, text = await post(
            url, "/v1/messages",
            {"model": "strong", "max_tokens": 50, "messages": [{"role": "user", "content": "x"}], "stream": True,
             "tools": [{"name": "f" * 100, "input_schema": {"type": "object"}}],
             "tool_choice": {"type": "tool", "name": "f" * 100}},
        )  # fmt: skip
        assert status == 200
        assert f'"name":"{"f" * 100}"' in text.replace(" ", "")


@pytest.mark.parametrize("model", ["strong", "fast"])
@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "s", "schema": {
            "type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}}},
        {"type": "json_schema", "json_schema": {"name": "s", "schema": {
            "type": "object", "additionalProperties": {"type": "string"}}}},
    ],
)  # fmt: skip
async def test_json_is_json_on_every_model(tmp_path, model, form):
    body = chat(model=model, messages=[{"role": "user", "content": "Give me JSON."}], response_format=form)
    async with gateway(tmp_path) as (url, _):
        status, headers, text = await post(url, "/v1/chat/completions", body)
        assert status == 200, text
        choice = json.loads(text)["choices"][0]
        assert isinstance(json.loads(choice["message"]["content"]), dict)
        assert choice["finish_reason"] == "stop"
        assert "tool_calls" not in choice["message"]
        assert "response_format=" in headers["x-hapenny-notes"]
        status, _, text = await post(url, "/v1/chat/completions", {**body, "stream": True})
        assert status == 200
        chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
        streamed = "".join(one["delta"].get("content") or "" for chunk in chunks for one in chunk["choices"])
        assert isinstance(json.loads(streamed), dict)


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"n": 2}, "n", "one answer at a time"),
        ({"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]}, "messages", "bytes"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, *[
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": f"{n}.pdf"}}
            for n in range(6)]]}]}, "messages", "at most 5"),
    ],
)  # fmt: skip
async def test_what_cannot_be_sent_is_refused_with_field_and_fix(tmp_path, fields, field, words):
    async with gateway(tmp_path) as (url, app):
        for stream in (False, True):
            status, _, text = await post(url, "/v1/chat/completions", chat(**fields, stream=stream))
            assert status == 400, text
            error = json.loads(text)["error"]
            assert error["param"].startswith(field)
            assert words in error["message"]
        assert app.gateway.books.violations == 0


async def test_claude_code_before_bedrock(tmp_path):
    body = {
        "model": "strong", "max_tokens": 4_000, "stream": True,
        "system": [{"type": "text", "text": "You are a coding agent.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "list", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "content": "",
                 "cache_control": {"type": "ephemeral"}}]},
        ],
        "tools": [{"name": "Bash", "description": "d", "input_schema": {"type": "object"},
                   "eager_input_streaming": True, "cache_control": {"type": "ephemeral"}}],
        "context_management": {"edits": []}, "metadata": {"user_id": "u" * 300},
        "thinking": {"type": "enabled", "budget_tokens": 2_000},
    }  # fmt: skip
    betas = {"anthropic-beta": "claude-code-20250219,oauth-2025-04-20"}
    async with (
        gateway(tmp_path) as (url, _),
        aiohttp.ClientSession(headers=betas) as session,
        session.post(url + "/v1/messages?beta=true", json=body) as answer,
    ):
        text = await answer.text()
        assert answer.status == 200, text
        assert "message_stop" in text
        notes = answer.headers["x-hapenny-notes"]
        assert all(word in notes for word in ("context_management", "oauth-2025-04-20", "eager_input_streaming"))


async def test_a_stream_is_told_from_a_whole_answer_where_a_model_calls_no_tools_in_one(tmp_path):
    asked = []

    async def converse(request):
        asked.append((request.path, await request.json()))
        name = asked[-1][1]["toolConfig"]["tools"][0]["toolSpec"]["name"]
        use = {"toolUse": {"toolUseId": "tooluse_1", "name": name, "input": {"a": 1}}}
        return web.json_response({
            "output": {"message": {"role": "assistant", "content": [{"text": "Let me look."}, use]}},
            "stopReason": "tool_use", "usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12},
            "metrics": {"latencyMs": 5},
        })  # fmt: skip

    llama = "us.meta.llama3-3-70b-instruct-v1:0"
    async with serving(converse) as far:
        config = load(text=CONFIG % (far, llama, llama, "demo", 0, "", tmp_path / "ledger.db"))
        async with running(config) as (url, _):
            status, headers, text = await post(url, "/v1/chat/completions", chat(tools=[TOOL], stream=True))
    assert status == 200, text
    assert asked[0][0].endswith("/converse")
    assert "told from a whole answer" in headers["x-hapenny-notes"]
    chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    calls = [call for chunk in chunks for one in chunk["choices"] for call in one["delta"].get("tool_calls") or ()]
    assert calls[0]["function"]["name"] == LONG
    assert json.loads("".join(call["function"].get("arguments") or "" for call in calls)) == {"a": 1}
    assert text.rstrip().endswith("data: [DONE]")
