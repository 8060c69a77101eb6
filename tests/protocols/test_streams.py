"""Recorded streams of many providers: what we read, what the official clients read of the same bytes, and what they
read of what we write, in every dialect. Streamed counts are the provider's in every one of them."""

from __future__ import annotations

import json

import pytest

from hapenny.core.messages import Text, Thinking, ToolUse
from hapenny.protocols import codec, eventstream
from tests.protocols import samples
from tests.protocols.recorded_streams import ANTHROPIC, BEDROCK, OPENAI, STREAMS

REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
CONVERSE = {**REASONS, "content_filter": ("content_filtered", "guardrail_intervened")}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def events_of(stream, size=0):
    decoder = codec(stream.protocol).decoder(model="m", id="i", created=1)
    body = stream.body
    pieces = [body[at : at + size] for at in range(0, len(body), size)] if size else [body]
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


def written(stream, client):
    """The stream as a client of another dialect gets it, batch by batch as it comes."""
    decoder = codec(stream.protocol).decoder(model="m", id="i", created=1)
    encoder = codec(client).encoder(samples.ask(client, stream=True, stream_usage=True))
    body = b"".join(encoder.encode(decoder.feed(piece)) for piece in stream.body.splitlines(keepends=True))
    return body + encoder.encode(decoder.close()) + encoder.end()


def parsed(arguments):
    return json.loads(arguments) if arguments.strip() else {}


each = pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.id)


@each
@pytest.mark.parametrize("size", [0, 1, 7, 64])
def test_what_the_answer_says(stream, size):
    done = samples.collected(events_of(stream, size))
    content = done.choices[0].content
    assert "".join(block.text for block in content if isinstance(block, Text)) == stream.text
    assert "".join(block.text for block in content if isinstance(block, Thinking)) == stream.thinking
    calls = [(block.name, parsed(block.arguments)) for block in content if isinstance(block, ToolUse)]
    assert calls == stream.calls
    assert len({block.id for block in content if isinstance(block, ToolUse)}) == len(stream.calls)
    assert (done.tokens.prompt, done.tokens.output, done.tokens.cache_read) == stream.usage
    answer = json.loads(codec("anthropic").encode_answer(done, samples.ask()))
    assert answer["stop_reason"] == REASONS[stream.finish]


@pytest.mark.parametrize("client", ["bedrock", "openai", "anthropic"])
def test_a_converse_stream_that_ends_twice_ends_once_for_the_client(client):
    frames = [eventstream.event(name, json.dumps(data).encode()) for name, data in CONVERSED]
    body = b"".join(frames[:3]) + frames[3] * 2 + frames[4] * 2
    decoder = codec("bedrock").decoder(model="m", id="i", created=1)
    encoder = codec(client).encoder(samples.ask(client, stream=True, stream_usage=True))
    out = encoder.encode(decoder.feed(body)) + encoder.encode(decoder.close()) + encoder.end()
    ends = {
        "bedrock": (b"messageStop", b"outputTokens"),
        "openai": (b'"finish_reason":"stop"', b'"completion_tokens"'),
        "anthropic": (b'"stop_reason":"end_turn"', b"event: message_delta"),
    }
    assert [out.count(end) for end in ends[client]] == [1, 1]


CONVERSED = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "fine"}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}, "metrics": {"latencyMs": 5}}),
]


# -- the official clients ----------------------------------------------------------------------------------------------


def serve(server, body, content_type):
    server.reply = lambda seen: (200, {"content-type": content_type}, body)


def by_openai(server, gpt, body):
    """What the openai client makes of a stream, put together as its users do."""
    serve(server, body, "text/event-stream")
    text, calls, finish, usage = "", {}, None, None
    for chunk in gpt.chat.completions.create(**CHAT, stream=True):
        usage = chunk.usage or usage
        for choice in chunk.choices or ():
            finish = choice.finish_reason or finish
            change = choice.delta
            text += flat(change.content)
            text += change.refusal or ""
            if change.function_call is not None:
                entry = calls.setdefault("function", ["", ""])
                entry[0] += change.function_call.name or ""
                entry[1] += change.function_call.arguments or ""
            for piece in change.tool_calls or ():
                entry = calls.setdefault(piece.index, ["", ""])
                entry[0] += piece.function.name or ""
                entry[1] += piece.function.arguments or ""
    cached = usage.prompt_tokens_details.cached_tokens if usage and usage.prompt_tokens_details else 0
    counted = (usage.prompt_tokens, usage.completion_tokens, cached or 0) if usage else None
    return text, [(name, parsed(arguments)) for name, arguments in calls.values()], finish, counted


def flat(content):
    """The text of a content; Mistral's thoughts are parts of it, as its own clients read them."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    return content or ""


def by_anthropic(server, claude, body):
    """What the anthropic client's helper makes of a stream."""
    serve(server, body, "text/event-stream")
    with claude.messages.stream(max_tokens=64, **CHAT) as stream:
        message = stream.get_final_message()
    usage = message.usage
    cached = usage.cache_read_input_tokens or 0
    prompt = usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0)
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
    return text, calls, message.stop_reason, (prompt, usage.output_tokens, cached)


def by_boto3(server, bedrock, body):
    """What boto3 makes of a Converse stream."""
    serve(server, body, "application/vnd.amazon.eventstream")
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    text, calls, finish, usage = "", {}, None, {}
    for event in bedrock.converse_stream(modelId="m", messages=messages)["stream"]:
        if "contentBlockStart" in event:
            start = event["contentBlockStart"]
            if "toolUse" in start["start"]:
                calls[start["contentBlockIndex"]] = [start["start"]["toolUse"]["name"], ""]
        elif "contentBlockDelta" in event:
            change = event["contentBlockDelta"]["delta"]
            text += change.get("text", "")
            if "toolUse" in change:
                calls[event["contentBlockDelta"]["contentBlockIndex"]][1] += change["toolUse"]["input"]
        elif "messageStop" in event:
            finish = event["messageStop"]["stopReason"]
        elif "metadata" in event:
            usage = event["metadata"]["usage"]
    cached = usage.get("cacheReadInputTokens", 0)
    prompt = usage["inputTokens"] + cached + usage.get("cacheWriteInputTokens", 0)
    whole = [(name, parsed(arguments)) for name, arguments in calls.values()]
    return text, whole, finish, (prompt, usage["outputTokens"], cached)


def by_invoke(server, bedrock, body):
    """The native events of an InvokeModel stream, as boto3 hands them on."""
    serve(server, body, "application/vnd.amazon.eventstream")
    answer = bedrock.invoke_model_with_response_stream(modelId="m", body=b"{}")
    natives = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    text = "".join(event["delta"].get("text", "") for event in natives if event["type"] == "content_block_delta")
    usage = {}
    for event in natives:
        usage |= event.get("message", {}).get("usage", {}) | event.get("usage", {})
    cached = usage.get("cache_read_input_tokens", 0)
    prompt = usage["input_tokens"] + cached + usage.get("cache_creation_input_tokens", 0)
    (reason,) = [event["delta"]["stop_reason"] for event in natives if event["type"] == "message_delta"]
    calls = [
        (event["content_block"]["name"], event["index"])
        for event in natives
        if event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use"
    ]
    inputs = {
        index: "".join(
            event["delta"]["partial_json"]
            for event in natives
            if event["type"] == "content_block_delta"
            and event["index"] == index
            and event["delta"]["type"] == "input_json_delta"
        )
        for _, index in calls
    }
    return text, [(name, parsed(inputs[i])) for name, i in calls], reason, (prompt, usage["output_tokens"], cached)


@pytest.mark.parametrize("stream", [s for s in OPENAI if s.plain], ids=lambda stream: stream.id)
def test_the_openai_client_reads_the_same_of_the_same_bytes(server, gpt, stream):
    text, calls, _, usage = by_openai(server, gpt, stream.body)
    assert (text, calls, usage[:2]) == (stream.text, stream.calls, stream.usage[:2])


@pytest.mark.parametrize("stream", ANTHROPIC, ids=lambda stream: stream.id)
def test_the_anthropic_client_reads_the_same_of_the_same_bytes(server, claude, stream):
    assert by_anthropic(server, claude, stream.body) == (
        stream.text,
        stream.calls,
        REASONS[stream.finish],
        stream.usage,
    )


@pytest.mark.parametrize("stream", BEDROCK, ids=lambda stream: stream.id)
def test_boto3_reads_the_same_of_the_same_bytes(server, bedrock, stream):
    read = by_boto3 if stream.protocol == "bedrock" else by_invoke
    text, calls, _, usage = read(server, bedrock, stream.body)
    assert (text, calls, usage) == (stream.text, stream.calls, stream.usage)


@each
def test_through_us_to_the_openai_client(server, gpt, stream):
    text, calls, finish, usage = by_openai(server, gpt, written(stream, "openai"))
    assert (text, calls, usage) == (stream.text, stream.calls, stream.usage)
    assert finish == (stream.word or stream.finish)


@each
def test_through_us_to_the_anthropic_client(server, claude, stream):
    text, calls, reason, usage = by_anthropic(server, claude, written(stream, "anthropic"))
    assert (text, calls, usage) == (stream.text, stream.calls, stream.usage)
    assert reason == REASONS[stream.finish]


@each
def test_through_us_to_boto3(server, bedrock, stream):
    text, calls, reason, usage = by_boto3(server, bedrock, written(stream, "bedrock"))
    assert (text, calls, usage) == (stream.text, stream.calls, stream.usage)
    assert reason in CONVERSE[stream.finish]


@each
def test_through_us_to_invoke_model(server, bedrock, stream):
    text, calls, reason, usage = by_invoke(server, bedrock, written(stream, "invoke"))
    assert (text, calls, usage) == (stream.text, stream.calls, stream.usage)
    assert reason == REASONS[stream.finish]
