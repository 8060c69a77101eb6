# ruff: noqa: E501
"""Answers from one protocol to another: what an answer keeps, frames that are forwarded, streams that are odd."""

from __future__ import annotations

import json

import pytest

from hapenny.core.errors import Failure
from hapenny.core.events import (
    CitationDelta,
    Other,
    Started,
    Stopped,
    TextDelta,
    Tokens,
    ToolCallDelta,
    Usage,
)
from hapenny.core.messages import (
    ToolUse,
)
from hapenny.protocols import codec
from tests.protocols import samples


def stream(name, events, **flags):
    encoder = codec(name).encoder(samples.ask(name, stream=True, **flags))
    return encoder.encode(events) + encoder.end()


def read(name, body, **given):
    decoder = codec(name).decoder(**given)
    return decoder.feed(body) + decoder.close()


def test_prompt_tokens_include_the_cache_for_openai_only():
    tokens = Tokens(input=10, output=5, cache_read=100, cache_write=7)
    done = samples.collected([TextDelta("x"), Stopped("end_turn"), Usage(tokens)])
    usage = json.loads(codec("openai").encode_answer(done, samples.ask()))["usage"]
    assert (usage["prompt_tokens"], usage["total_tokens"]) == (117, 122)
    usage = json.loads(codec("anthropic").encode_answer(done, samples.ask()))["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (10, 100)
    usage = json.loads(codec("bedrock").encode_answer(done, samples.ask()))["usage"]
    assert (usage["inputTokens"], usage["totalTokens"]) == (10, 122)


@pytest.mark.parametrize(
    ("bedrock", "openai", "anthropic"),
    [
        ("end_turn", "stop", "end_turn"),
        ("stop_sequence", "stop", "stop_sequence"),
        ("max_tokens", "length", "max_tokens"),
        ("model_context_window_exceeded", "length", "model_context_window_exceeded"),
        ("tool_use", "tool_calls", "tool_use"),
        ("guardrail_intervened", "content_filter", "refusal"),
        ("content_filtered", "content_filter", "refusal"),
        ("malformed_model_output", "stop", "end_turn"),
        ("some_future_reason", "stop", "end_turn"),
    ],
)
def test_stop_reasons(bedrock, openai, anthropic):
    body = {"output": {"message": {"role": "assistant", "content": [{"text": "x"}]}}, "stopReason": bedrock}
    done = samples.collected(codec("bedrock").decode_answer(json.dumps(body).encode(), {}))
    answered = json.loads(codec("openai").encode_answer(done, samples.ask()))
    assert answered["choices"][0]["finish_reason"] == openai
    assert json.loads(codec("anthropic").encode_answer(done, samples.ask()))["stop_reason"] == anthropic


def test_frames_are_forwarded_as_they_came_unless_replaced():
    # Constructed with the padding that providers add.
    frames = [
        b'data: {"id":"i","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"obfuscation":"a"}\n\n',
        b'data: {"id":"i","model":"m","choices":[{"index":0,"delta":{"content":"Hel"}}],"obfuscation":"bb"}\n\n',
        b'data: {"id":"i","model":"m","choices":[{"index":0,"delta":{"content":"lo"}}],"obfuscation":"c"}\n\n',
        b'data: {"id":"i","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"obfuscation":"d"}\n\n',
        b'data: {"id":"i","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
        b"data: [DONE]\n\n",
    ]
    events = read("openai", b"".join(frames))
    assert stream("openai", events, stream_usage=True) == b"".join(frames)
    assert stream("openai", events) == b"".join(frames[:4] + frames[5:])
    replaced = [TextDelta("LO", event.block) if getattr(event, "text", "") == "lo" else event for event in events]
    body = stream("openai", replaced)
    assert frames[1] in body
    assert frames[2] not in body
    assert samples.collected(read("openai", body)).text == "HelLO"


def test_anthropic_frames_pass_from_invoke_to_messages_unchanged():
    frames = [
        b'{"type":"message_start","message":{"id":"i","model":"m","usage":{"input_tokens":3,"output_tokens":1}}}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""} }',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}  }',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"novel_delta","x":1}}',
    ]
    raw = [b"event: " + json.loads(frame)["type"].encode() + b"\ndata: " + frame + b"\n\n" for frame in frames]
    decoder = codec("anthropic").decoder()
    events = decoder.feed(b"".join(raw))
    assert codec("anthropic").encoder(samples.ask(stream=True)).encode(events) == b"".join(raw)
    through = codec("invoke").encoder(samples.ask(stream=True)).encode(events)
    assert codec("invoke").decoder().feed(through) == events


def test_another_protocols_frames_are_never_forwarded():
    for source in ("openai", "anthropic", "bedrock"):
        events = read(source, stream(source, samples.text_answer(), stream_usage=True))
        assert any(event.raw for event in events)
        for target in ("openai", "anthropic", "bedrock", "invoke"):
            again = samples.collected(read(target, stream(target, events, stream_usage=True)))
            assert again.text == samples.collected(samples.text_answer()).text
            assert (again.tokens.prompt, again.tokens.output) == (136, 7)


def test_counts_that_come_along_in_every_chunk_count_once():
    # vLLM's continuous_usage_stats; and servers whose last chunk has both choices and usage.
    def chunk(delta, finish, completion):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        usage = {"prompt_tokens": 9, "completion_tokens": completion}
        return b"data: " + json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode() + b"\n\n"

    body = chunk({"content": "a"}, None, 1) + chunk({"content": "b"}, None, 2) + chunk({}, "stop", 3)
    events = read("openai", body + b"data: [DONE]\n\n")
    assert [event.tokens for event in events if isinstance(event, Usage)] == [Tokens(input=9, output=3)]
    assert b"completion_tokens" not in stream("openai", events)


def test_tool_calls_without_ids_or_in_one_piece():
    # As some compatible servers stream them: no id, no index, all arguments at once.
    call = {"function": {"name": "f", "arguments": '{"a":1}'}}
    body = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}).encode() + b"\n\n"
    body += b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n'
    (block,) = samples.collected(read("openai", body)).choices[0].content
    assert (block.name, block.arguments) == ("f", '{"a":1}')
    assert block.id


def calls(*entries):
    """A stream of tool call pieces, one a chunk: (index, id, name, arguments)."""
    body = b""
    for index, id_, name, arguments in entries:
        call = {"index": index, "function": {"arguments": arguments}}
        if id_:
            call |= {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
        body += b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}).encode() + b"\n\n"
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n'
    return body + end + b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize("target", ["openai", "anthropic", "bedrock", "invoke"])
@pytest.mark.parametrize(
    "pieces",
    [
        # one after the other; starts first; word by word in turn; the first one without arguments; broken JSON
        [(0, "a", "f", ""), (0, "", "", '{"x":1}'), (1, "b", "g", ""), (1, "", "", '{"y":2}')],
        [(0, "a", "f", ""), (1, "b", "g", ""), (0, "", "", '{"x":1}'), (1, "", "", '{"y":2}')],
        [(0, "a", "f", '{"x"'), (1, "b", "g", '{"y"'), (0, "", "", ":1}"), (1, "", "", ":2}")],
        [(0, "a", "f", '{"x"'), (1, "b", "g", '{"y"'), (1, "", "", ":2}"), (0, "", "", ":1}")],
    ],
)
def test_tool_calls_in_any_order_stay_apart(target, pieces):
    decoder = codec("openai").decoder()
    encoder = codec(target).encoder(samples.ask(stream=True, stream_usage=True))
    body = b"".join(encoder.encode(decoder.feed(line + b"\n\n")) for line in calls(*pieces).split(b"\n\n") if line)
    decoder.close()
    content = samples.collected(read(target, body + encoder.end())).choices[0].content
    assert content == [ToolUse("a", "f", '{"x":1}'), ToolUse("b", "g", '{"y":2}')]


def test_broken_arguments_hold_the_next_call_back_but_lose_nothing():
    body = calls((0, "a", "f", '{"x":'), (1, "b", "g", "{}"))
    content = samples.collected(read("openai", body)).choices[0].content
    assert content == [ToolUse("a", "f", '{"x":'), ToolUse("b", "g", "{}")]


def test_a_tool_of_the_provider_passes_to_its_own_protocol():
    native = [
        {"type": "message_start", "message": {"id": "i", "model": "m", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"query":"x"}'}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "found"}},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5, "server_tool_use": {"web_search_requests": 1}}},
        {"type": "message_stop"},
    ]  # fmt: skip
    body = b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in native)
    events = read("anthropic", body)
    done = samples.collected(events)
    whole = json.loads(codec("anthropic").encode_answer(done, samples.ask()))
    assert whole["content"][0] == {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}
    assert whole["usage"]["server_tool_use"] == {"web_search_requests": 1}
    assert samples.plain(samples.collected(read("anthropic", stream("anthropic", events)))) == samples.plain(done)
    for name in ("openai", "bedrock"):
        again = samples.collected(read(name, stream(name, events, stream_usage=True)))
        assert [block.text for block in again.choices[0].content] == ["found"]


def test_citations_stay_in_their_protocol():
    note = {"type": "char_location", "cited_text": "x", "document_index": 0, "start_char_index": 0, "end_char_index": 1}
    events = [Started("i", "m"), TextDelta("t"), CitationDelta(note), Stopped("end_turn"), Usage(Tokens())]
    assert samples.collected(read("anthropic", stream("anthropic", events))).choices[0].content[0].citations == (note,)
    assert b"char_location" not in stream("bedrock", events)
    assert b"char_location" not in stream("openai", events)


def test_unknown_frames_pass_to_their_own_protocol_only():
    odd = b'event: novel\ndata: {"type":"novel","x":1}\n\n'
    (event,) = codec("anthropic").decoder().feed(odd)
    assert isinstance(event, Other)
    assert codec("anthropic").encoder(samples.ask()).encode([event]) == odd
    assert codec("openai").encoder(samples.ask()).encode([event]) == b""
    assert codec("bedrock").encoder(samples.ask()).encode([event]) == b""


def test_what_the_wire_leaves_out_the_caller_fills_in():
    body = stream("bedrock", samples.text_answer())
    started = read("bedrock", body, model="m1", id="id1", created=7.0)[0]
    assert (started.model, started.id, started.created) == ("m1", "id1", 7.0)
    answered = stream("openai", read("bedrock", body, model="m1", id="id1", created=7.0))
    assert b'"model":"m1"' in answered
    assert b'"created":7' in answered


def test_logprobs_of_a_stream_are_collected():
    token = {"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [token]}}]},
        {"choices": [{"index": 0, "delta": {"content": "b"}, "logprobs": {"content": [token]}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    body = b"".join(b"data: " + json.dumps(c).encode() + b"\n\n" for c in chunks) + b"data: [DONE]\n\n"
    done = samples.collected(read("openai", body))
    whole = json.loads(codec("openai").encode_answer(done, samples.ask()))
    assert whole["choices"][0]["logprobs"] == {"content": [token, token]}


def test_notes_do_not_disturb_any_decoder():
    for name in ("openai", "anthropic", "bedrock", "invoke"):
        encoder = codec(name).encoder(samples.ask(stream=True, stream_usage=True))
        events = samples.text_answer()
        body = encoder.note({"a": "b\nc"}) + encoder.ping()
        for event in events:
            body += encoder.encode([event]) + encoder.note({"x": "1"}) + encoder.ping()
        body += encoder.end()
        again = samples.collected(read(name, body))
        assert again.choices == samples.collected(events).choices
        assert again.tokens.prompt == samples.TOKENS.prompt


def test_an_answer_without_a_beginning_is_still_well_formed():
    for name in ("openai", "anthropic", "bedrock", "invoke"):
        body = stream(name, [TextDelta("x"), Stopped("end_turn"), Usage(Tokens(output=1))], stream_usage=True)
        assert samples.collected(read(name, body)).text == "x"


def test_a_piece_of_a_call_that_is_not_under_way_is_the_providers_fault():
    for name in ("anthropic", "bedrock", "invoke"):
        with pytest.raises(Failure) as caught:
            codec(name).encoder(samples.ask()).encode([Started("i", "m"), ToolCallDelta("{}", 3)])
        assert caught.value.kind == "upstream"


def test_the_model_behind_a_prompt_router_is_named():
    body = {
        "output": {"message": {"role": "assistant", "content": [{"text": "x"}]}},
        "stopReason": "end_turn",
        "trace": {"promptRouter": {"invokedModelId": "arn:chosen"}},
    }
    events = codec("bedrock").decode_answer(json.dumps(body).encode(), {}, model="router")
    assert events[0].model == "arn:chosen"
