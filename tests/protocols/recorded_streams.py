"""Streamed answers as providers send them, and what each of them says. Every row names where its form is documented or
was reported (owner/name#number); texts and counts are constructed."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from hapenny.core.messages import Protocol
from hapenny.protocols import eventstream


@dataclass
class Recorded:
    """A stream and its meaning.

    `usage`: tokens of the prompt with what a cache served, of the answer, and from the cache. `word`: OpenAI's own word
    for the end, where it is another. `plain`: whether the official client reads the stream itself as it is meant; where
    it does not, we say more than it.
    """

    source: str
    protocol: Protocol
    body: bytes
    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str = "stop"
    word: str = ""
    usage: tuple[int, int, int] = (9, 4, 0)
    plain: bool = True

    @property
    def id(self) -> str:
        return f"{self.source} {self.protocol}"


def sse(*chunks: Any, done: bool = True) -> bytes:
    body = b"".join(
        chunk if isinstance(chunk, bytes) else b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks
    )
    return body + (b"data: [DONE]\n\n" if done else b"")


def piece(delta: dict[str, Any] | None, finish: str | None = None, *, index: int = 0, **more: Any) -> dict[str, Any]:
    inner = {"choice": {}, **more}
    choice = {"index": index, "delta": delta, "finish_reason": finish, **inner.pop("choice")}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **inner}


def counts(prompt: int = 9, completion: int = 4, **more: Any) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **more,
    }


def last(**more: Any) -> dict[str, Any]:
    whole = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
    return {**whole, "usage": counts(), **more}


def call(index: Any, id_: str | None, name: str | None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    function = {"name": name} if name is not None else {}
    if arguments is not None:
        function["arguments"] = arguments
    entry: dict[str, Any] = {"index": index, "function": function, **more}
    if id_ is not None:
        entry |= {"id": id_, "type": "function"}
    return {"tool_calls": [entry]}


def both(first: int, second: int) -> dict[str, Any]:
    calls = (call(first, "a", "f", '{"x":1}'), call(second, "b", "g", '{"y":2}'))
    return {"tool_calls": [entry for one in calls for entry in one["tool_calls"]]}


ROLE = piece({"role": "assistant", "content": ""})
HALF, PENNY, STOP = piece({"content": "Half "}), piece({"content": "a penny"}), piece({}, "stop")
TEXT = "Half a penny"
CALLS = piece({}, "tool_calls")
TWO = [("f", {"x": 1}), ("g", {"y": 2})]

OPENAI = [
    Recorded("OpenAI, API reference, streaming", "openai", sse(ROLE, HALF, PENNY, STOP, last()), TEXT),
    Recorded(
        "OpenAI, API reference, prompt caching",
        "openai",
        sse(ROLE, HALF, PENNY, STOP, last(usage=counts(prompt_tokens_details={"cached_tokens": 5}))),
        TEXT,
        usage=(9, 4, 5),
    ),
    Recorded(
        "OpenAI, API reference, stream obfuscation; usage null in every other chunk",
        "openai",
        sse(
            *[{**chunk, "usage": None, "obfuscation": "aZ"} for chunk in (ROLE, HALF, PENNY, STOP)],
            last(obfuscation=""),
        ),
        TEXT,
    ),
    Recorded(
        "OpenAI, function calling guide",
        "openai",
        sse(
            piece({"role": "assistant", "content": None, **call(0, "a", "f", "")}),
            piece(call(0, None, None, '{"x"')),
            piece(call(0, None, None, ":1}")),
            piece(call(1, "b", "g", "")),
            piece(call(1, None, None, '{"y":2}')),
            CALLS,
            last(),
        ),
        calls=TWO,
        finish="tool_calls",
    ),
    Recorded(
        "OpenAI, function calling guide: a named function ends with stop",
        "openai",
        sse(piece(call(0, "a", "f", '{"x":1}')), STOP, last()),
        calls=TWO[:1],
        finish="tool_calls",
    ),
    Recorded(
        "OpenAI, API reference: function_call, deprecated",
        "openai",
        sse(
            piece({"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}}),
            piece({"function_call": {"arguments": '{"x":'}}),
            piece({"function_call": {"arguments": "1}"}}),
            piece({}, "function_call"),
            last(),
        ),
        calls=TWO[:1],
        finish="tool_calls",
        word="function_call",
        plain=False,
    ),
    Recorded(
        "BerriAI/litellm#39721: a refusal",
        "openai",
        sse(ROLE, piece({"refusal": "I will "}), piece({"refusal": "not."}), STOP, last()),
        "I will not.",
        finish="content_filter",
        word="stop",
        plain=False,
    ),
    Recorded(
        "Azure OpenAI, content streaming: filter results first, and of each piece",
        "openai",
        sse(
            {"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
            *[
                {**chunk, "choices": [{**chunk["choices"][0], "content_filter_results": {"hate": {"filtered": False}}}]}
                for chunk in (ROLE, HALF, PENNY, STOP)
            ],
            last(),
        ),
        TEXT,
    ),
    Recorded(
        "vLLM, continuous_usage_stats",
        "openai",
        sse(
            *[
                {**chunk, "usage": counts(completion=made)}
                for made, chunk in enumerate((ROLE, HALF, PENNY, piece({}, "stop", choice={"stop_reason": None})))
            ],
            last(),
        ),
        TEXT,
    ),
    Recorded(
        "BerriAI/litellm#31957 (vLLM): reasoning and text in one chunk",
        "openai",
        sse(
            ROLE,
            piece({"reasoning_content": "Coins. "}),
            piece({"reasoning_content": "Old ones.", "content": "Half "}),
            PENNY,
            STOP,
            last(),
        ),
        TEXT,
        "Coins. Old ones.",
    ),
    Recorded(
        "vLLM, reasoning outputs: the field is `reasoning` since 0.12",
        "openai",
        sse(ROLE, piece({"reasoning": "Coins."}), HALF, PENNY, STOP, last()),
        TEXT,
        "Coins.",
    ),
    Recorded(
        "DeepSeek, reasoning model; cache hits beside the counts",
        "openai",
        sse(
            piece({"role": "assistant", "content": None, "reasoning_content": ""}),
            piece({"content": None, "reasoning_content": "Coins."}),
            piece({"content": "Half ", "reasoning_content": None}),
            PENNY,
            piece({"content": ""}, "stop", usage=counts(prompt_cache_hit_tokens=5, prompt_cache_miss_tokens=4)),
        ),
        TEXT,
        "Coins.",
        usage=(9, 4, 5),
    ),
    Recorded(
        "sgl-project/sglang#3912: finish_reason is empty until the end",
        "openai",
        sse(
            piece({"role": "assistant", "content": ""}, ""),
            piece({"content": "Half "}, ""),
            piece({"content": "a penny"}, ""),
            piece({}, "length", choice={"matched_stop": None}),
            last(),
        ),
        TEXT,
        finish="length",
    ),
    Recorded(
        "adolfousier/opencrabs#1499: finish_reason stop in every chunk",
        "openai",
        sse(piece({"role": "assistant", "content": "Half "}, "stop"), piece({"content": "a penny"}, "stop"), last()),
        TEXT,
    ),
    Recorded(
        "BerriAI/litellm#12481: eos as the reason",
        "openai",
        sse(ROLE, HALF, PENNY, piece({}, "eos"), last()),
        TEXT,
        plain=False,
    ),
    Recorded(
        "BerriAI/litellm#34692: tool_use as the reason",
        "openai",
        sse(piece(call(0, "a", "f", '{"x":1}')), piece({}, "tool_use"), last()),
        calls=TWO[:1],
        finish="tool_calls",
        plain=False,
    ),
    Recorded(
        "ollama/ollama#4357: calls that end with stop, all at once",
        "openai",
        sse(
            piece({"role": "assistant", "content": "", **both(0, 1)}),
            STOP,
            last(),
        ),
        calls=TWO,
        finish="tool_calls",
    ),
    Recorded(
        "NousResearch/hermes-agent#62940 (Gemini): parallel calls all at index 0",
        "openai",
        sse(
            piece(call(0, "a", "f", '{"x":1}', extra_content={"google": {"thought_signature": "c2ln"}})),
            piece(call(0, "b", "g", '{"y":2}')),
            piece({}, "stop", usage=counts()),
        ),
        calls=TWO,
        finish="tool_calls",
        plain=False,
    ),
    Recorded(
        "su-kaka/gcli2api#406: index 0 for all, in one chunk",
        "openai",
        sse(
            piece(both(0, 0)),
            CALLS,
            last(),
        ),
        calls=TWO,
        finish="tool_calls",
        plain=False,
    ),
    Recorded(
        "mrdushidush/claudette#238: arguments as an object",
        "openai",
        sse(piece(call(0, "a", "f", {"x": 1})), CALLS, last()),
        calls=TWO[:1],
        finish="tool_calls",
        plain=False,
    ),
    Recorded(
        "ggml-org/llama.cpp#20202: no arguments at all, or a space",
        "openai",
        sse(piece(call(0, "a", "f")), piece(call(1, "b", "g", " ")), CALLS, last()),
        calls=[("f", {}), ("g", {})],
        finish="tool_calls",
        plain=False,
    ),
    Recorded(
        "mcowger/plexus#765: later pieces with an empty id and name",
        "openai",
        sse(
            piece(call(0, "a", "f")),
            piece(call(0, "", "", '{"x"')),
            piece(call(0, "", "", ":1}")),
            CALLS,
            last(),
        ),
        calls=TWO[:1],
        finish="tool_calls",
        plain=False,
    ),
    Recorded(
        "Fireworks, function calling: the id and name come with every piece",
        "openai",
        sse(
            piece(call(0, "a", "f", '{"x"')),
            piece(call(0, "a", "f", ":1}")),
            CALLS,
            last(),
        ),
        calls=TWO[:1],
        finish="tool_calls",
        plain=False,
    ),
    Recorded(
        "vLLM, tool parsers: index as a string",
        "openai",
        sse(
            piece(call("0", "a", "f", '{"x":1}')),
            piece(call("1", "b", "g", '{"y":')),
            piece(call("1", None, None, "2}")),
            CALLS,
            last(),
        ),
        calls=TWO,
        finish="tool_calls",
        plain=False,
    ),
    Recorded(
        "llama.cpp, server: text between two pieces of a call",
        "openai",
        sse(
            piece(call(0, "a", "f", '{"x"')),
            HALF,
            piece(call(0, None, None, ":1}")),
            PENNY,
            CALLS,
            last(),
        ),
        TEXT,
        calls=TWO[:1],
        finish="tool_calls",
    ),
    Recorded(
        "Mistral, chat completion streaming: the counts stand beside the last choice",
        "openai",
        sse(ROLE, HALF, piece({"content": "a penny"}, "stop", usage=counts())),
        TEXT,
    ),
    Recorded(
        "Mistral, reasoning: content as a list",
        "openai",
        sse(
            piece({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Coins."}]}]}),
            piece({"content": [{"type": "text", "text": "Half "}]}),
            PENNY,
            piece({"content": ""}, "stop", usage=counts()),
        ),
        TEXT,
        "Coins.",
        plain=False,
    ),
    Recorded(
        "Mistral, function calling: no index",
        "openai",
        sse(
            piece({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"x": 1}'}}]}),
            piece({"content": ""}, "tool_calls", usage=counts()),
        ),
        calls=TWO[:1],
        finish="tool_calls",
        plain=False,
    ),
    Recorded(
        "Gemini, OpenAI compatibility: counts in every chunk, no [DONE]",
        "openai",
        sse(
            *[{**chunk, "usage": counts(completion=made)} for made, chunk in enumerate((HALF, PENNY))],
            piece({}, "stop", usage=counts()),
            done=False,
        ),
        TEXT,
    ),
    Recorded(
        "Groq, API reference: x_groq.usage",
        "openai",
        sse(ROLE, HALF, PENNY, {**STOP, "x_groq": {"id": "req_1", "usage": {**counts(), "total_time": 0.01}}}),
        TEXT,
        plain=False,
    ),
    Recorded(
        "Moonshot, API reference: usage within the choice",
        "openai",
        sse(ROLE, HALF, PENNY, piece({}, "stop", choice={"usage": counts(cached_tokens=5)})),
        TEXT,
        usage=(9, 4, 5),
        plain=False,
    ),
    Recorded(
        "diegosouzapw/OmniRoute#9750: counts beside an empty delta",
        "openai",
        sse(ROLE, HALF, PENNY, STOP, piece({}, None, usage=counts())),
        TEXT,
    ),
    Recorded(
        "Perplexity, streaming: the message so far stands beside the delta",
        "openai",
        sse(
            piece({"content": "Half "}, choice={"message": {"role": "assistant", "content": "Half "}}),
            piece(
                {"content": "a penny"},
                "stop",
                choice={"message": {"role": "assistant", "content": "Half a penny"}},
                usage=counts(search_context_size="low"),
                citations=["https://example.org"],
            ),
        ),
        TEXT,
    ),
    Recorded(
        "OpenRouter, streaming: comments while it works, and cost in the counts",
        "openai",
        sse(
            b": OPENROUTER PROCESSING\n\n",
            ROLE,
            piece({"reasoning": "Coins.", "reasoning_details": [{"type": "reasoning.text", "text": "Coins."}]}),
            b": OPENROUTER PROCESSING\n\n",
            HALF,
            PENNY,
            piece({}, "stop", choice={"native_finish_reason": "STOP"}),
            piece({"role": "assistant", "content": ""}, None, usage=counts(cost=0.01)),
        ),
        TEXT,
        "Coins.",
    ),
    Recorded(
        "xAI, streaming: every chunk counts; a last chunk without choices",
        "openai",
        sse(
            piece({"role": "assistant", "reasoning_content": "Coins."}, usage=counts(completion=1)),
            piece({"content": "Half "}, usage=counts(completion=2)),
            piece({"content": "a penny"}, "stop", usage=counts(completion=3)),
            last(system_fingerprint="fp"),
        ),
        TEXT,
        "Coins.",
    ),
    Recorded(
        "llama.cpp, server README: timings beside the last choice",
        "openai",
        sse(ROLE, HALF, PENNY, piece({}, "stop", timings={"prompt_n": 9, "predicted_n": 4}), last()),
        TEXT,
    ),
    Recorded(
        "Cohere, compatibility API: CRLF line ends, no space after the colon",
        "openai",
        sse(ROLE, HALF, PENNY, STOP, last()).replace(b"data: ", b"data:").replace(b"\n", b"\r\n"),
        TEXT,
    ),
    Recorded(
        "TGI, messages API: the role in every delta",
        "openai",
        sse(
            piece({"role": "assistant", "content": "Half "}),
            piece({"role": "assistant", "content": "a penny"}),
            piece({"role": "assistant", "content": ""}, "eos_token"),
            last(),
        ),
        TEXT,
        plain=False,
    ),
    Recorded(
        "maximhq/bifrost#6523: an opening chunk without a delta",
        "openai",
        sse(piece(None), HALF, PENNY, STOP, last()),
        TEXT,
        plain=False,
    ),
]  # fmt: skip


def messages(*events: Any) -> bytes:
    return b"".join(
        event if isinstance(event, bytes) else f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        for event in events
    )


def start(**usage: Any) -> dict[str, Any]:
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 1, **usage},
    }  # fmt: skip
    return {"type": "message_start", "message": message}


def block(index: int, opening: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": opening},
        *[{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas],
        {"type": "content_block_stop", "index": index},
    ]


def words(index: int = 0, *texts: str) -> list[dict[str, Any]]:
    deltas = [{"type": "text_delta", "text": text} for text in texts or ("Half ", "a penny")]
    return block(index, {"type": "text", "text": ""}, *deltas)


def tool(index: int, id_: str, name: str, *pieces: str) -> list[dict[str, Any]]:
    deltas = [{"type": "input_json_delta", "partial_json": text} for text in pieces]
    return block(index, {"type": "tool_use", "id": id_, "name": name, "input": {}}, *deltas)


def end(reason: str = "end_turn", **usage: Any) -> list[dict[str, Any]]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 4, **usage}},
        {"type": "message_stop"},
    ]


ANTHROPIC = [
    Recorded("Anthropic, streaming guide", "anthropic", messages(start(), *words(), *end()), TEXT),
    Recorded(
        "Anthropic, streaming guide: pings, comments and events without a name",
        "anthropic",
        messages(
            start(), {"type": "ping"}, *words()[:2], b": keep-alive\n\n", {"type": "ping"}, *words()[2:], *end()
        ),
        TEXT,
    ),
    Recorded(
        "Anthropic, prompt caching: counts at the start",
        "anthropic",
        messages(
            start(
                cache_read_input_tokens=5,
                cache_creation_input_tokens=3,
                cache_creation={"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
            ),
            *words(),
            *end(),
        ),
        TEXT,
        usage=(17, 4, 5),
    ),
    Recorded(
        "Anthropic, streaming guide: counts of the prompt again at the end",
        "anthropic",
        messages(
            start(input_tokens=0),
            *words(),
            *end(input_tokens=9, cache_read_input_tokens=5, cache_creation_input_tokens=0),
        ),
        TEXT,
        usage=(14, 4, 5),
    ),
    Recorded(
        "Anthropic, tool use: two calls after a text, one without input",
        "anthropic",
        messages(
            start(),
            *words(),
            *tool(1, "toolu_1", "f", "", '{"x"', ": 1}"),
            *tool(2, "toolu_2", "g"),
            *end("tool_use"),
        ),
        TEXT,
        calls=[("f", {"x": 1}), ("g", {})],
        finish="tool_calls",
    ),
    Recorded(
        "Anthropic, extended thinking",
        "anthropic",
        messages(
            start(),
            *block(
                0,
                {"type": "thinking", "thinking": "", "signature": ""},
                {"type": "thinking_delta", "thinking": "Coins."},
                {"type": "signature_delta", "signature": "c2ln"},
            ),
            *words(1),
            *end(),
        ),
        TEXT,
        "Coins.",
    ),
    Recorded(
        "Anthropic, stop reasons: max_tokens", "anthropic", messages(start(), *words(), *end("max_tokens")), TEXT,
        finish="length",
    ),
    Recorded(
        "Anthropic, stop reasons: refusal", "anthropic", messages(start(), *words(), *end("refusal")), TEXT,
        finish="content_filter",
    ),
    Recorded(
        "Anthropic, web search: counts of the server's tools",
        "anthropic",
        messages(start(), *words(), *end(server_tool_use={"web_search_requests": 2})),
        TEXT,
    ),
]  # fmt: skip


def event(name: str, payload: dict[str, Any], kind: str = "event") -> bytes:
    headers = eventstream.event_headers(name) if kind == "event" else eventstream.exception_headers(name)
    return eventstream.frame(headers, json.dumps(payload).encode())


def converse(*events: tuple[str, dict[str, Any]]) -> bytes:
    return b"".join(event(name, payload) for name, payload in events)


def delta(index: int, inner: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": inner}


def stop(index: int) -> tuple[str, dict[str, Any]]:
    return "contentBlockStop", {"contentBlockIndex": index}


BEGIN: tuple[str, dict[str, Any]] = ("messageStart", {"role": "assistant"})
SAY = (delta(0, {"text": "Half "}), delta(0, {"text": "a penny"}), stop(0))


def close(reason: str = "end_turn", **usage: Any) -> list[tuple[str, dict[str, Any]]]:
    counted = {"inputTokens": 9, "outputTokens": 4, "totalTokens": 13, **usage}
    return [("messageStop", {"stopReason": reason}), ("metadata", {"usage": counted, "metrics": {"latencyMs": 7}})]


BEDROCK = [
    Recorded("AWS, ConverseStream reference", "bedrock", converse(BEGIN, *SAY, *close()), TEXT),
    Recorded(
        "AWS, ConverseStream reference: an unknown event is skipped",
        "bedrock",
        converse(BEGIN, ("novelEvent", {"x": 1}), *SAY, *close()),
        TEXT,
    ),
    Recorded(
        "AWS, prompt caching",
        "bedrock",
        converse(
            BEGIN, *SAY, *close(cacheReadInputTokens=5, cacheWriteInputTokens=3,
                                cacheDetails=[{"ttl": "1h", "inputTokens": 3}], totalTokens=21)
        ),
        TEXT,
        usage=(17, 4, 5),
    ),
    Recorded(
        "AWS, tool use",
        "bedrock",
        converse(
            BEGIN,
            *SAY,
            ("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "f"}}}),
            delta(1, {"toolUse": {"input": '{"x"'}}),
            delta(1, {"toolUse": {"input": ":1}"}}),
            stop(1),
            ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t2", "name": "g"}}}),
            stop(2),
            *close("tool_use"),
        ),
        TEXT,
        calls=[("f", {"x": 1}), ("g", {})],
        finish="tool_calls",
    ),
    Recorded(
        "AWS, reasoning",
        "bedrock",
        converse(
            BEGIN,
            delta(0, {"reasoningContent": {"text": "Coins."}}),
            delta(0, {"reasoningContent": {"signature": "c2ln"}}),
            stop(0),
            delta(1, {"text": TEXT}),
            stop(1),
            *close(),
        ),
        TEXT,
        "Coins.",
    ),
    Recorded(
        "AWS, guardrails", "bedrock", converse(BEGIN, *SAY, *close("guardrail_intervened")), TEXT,
        finish="content_filter",
    ),
    Recorded(
        "AWS, InvokeModelWithResponseStream with Claude",
        "invoke",
        b"".join(
            event("chunk", {"bytes": base64.b64encode(json.dumps(native).encode()).decode()})
            for native in (
                start(), *words(), *end()[:1],
                {"type": "message_stop", "amazon-bedrock-invocationMetrics": {
                    "inputTokenCount": 9, "outputTokenCount": 4, "invocationLatency": 9, "firstByteLatency": 3}},
            )
        ),
        TEXT,
    ),
]  # fmt: skip

STREAMS = [*OPENAI, *ANTHROPIC, *BEDROCK]
