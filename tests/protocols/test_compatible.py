"""Whole answers of servers that speak OpenAI's dialect their own way, and how such servers give an answer up."""

from __future__ import annotations

import json

import anthropic
import botocore.exceptions
import openai
import pytest

from hapenny.core.errors import Failure
from hapenny.core.messages import ToolChoice
from hapenny.protocols import codec, eventstream
from tests.protocols import samples
from tests.protocols.recorded_streams import (
    BEGIN,
    HALF,
    PENNY,
    ROLE,
    SAY,
    STOP,
    converse,
    counts,
    event,
    last,
    piece,
    sse,
    start,
    words,
)
from tests.protocols.recorded_streams import messages as anthropic_stream


def answer(message, finish="stop", **more):
    choice = {
        "index": 0,
        "message": {"role": "assistant", **message},
        "finish_reason": finish,
        **more.pop("choice", {}),
    }
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **more}


def read(body, **given):
    return samples.collected(codec("openai").decode_answer(json.dumps(body).encode(), {}, **given))


def written(client, body, **fields):
    return json.loads(codec(client).encode_answer(read(body), samples.ask(client, **fields)))


def call(arguments=None, **more):
    function = {"name": "f"} | ({} if arguments is None else {"arguments": arguments})
    return {"tool_calls": [{"id": "a", "type": "function", "function": function, **more}]}


COUNTED = {"usage": counts()}


@pytest.mark.parametrize("finish", ["tool_calls", "stop", "tool_use", "function_call", "eos", "TOOL_CALLS"])
def test_calls_end_the_turn_whatever_the_server_says(finish):
    body = answer({"content": None, **call('{"x":1}')}, finish, **COUNTED)
    whole = written("anthropic", body)
    assert whole["stop_reason"] == "tool_use"
    assert whole["content"] == [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}]
    assert written("bedrock", body)["stopReason"] == "tool_use"
    assert written("openai", body)["choices"][0]["finish_reason"] in ("tool_calls", "function_call")


def test_a_named_tool_ends_with_stop_for_those_who_asked_for_it():
    body = answer({"content": None, **call('{"x":1}')}, "stop", **COUNTED)
    named = ToolChoice("tool", "f")
    assert written("openai", body, tool_choice=named)["choices"][0]["finish_reason"] == "stop"
    assert written("anthropic", body, tool_choice=named)["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("eos", "end_turn"),
        ("eos_token", "end_turn"),
        ("COMPLETE", "end_turn"),
        ("end_turn", "end_turn"),
        ("max_tokens", "max_tokens"),
        ("model_length", "model_context_window_exceeded"),
        ("content-filter", "refusal"),
        ("SAFETY", "refusal"),
        ("stop_sequence", "stop_sequence"),
    ],
)
def test_words_of_other_servers_for_the_end(finish, reason):
    assert written("anthropic", answer({"content": "x"}, finish, **COUNTED))["stop_reason"] == reason


@pytest.mark.parametrize(
    ("arguments", "given"),
    [({"x": 1}, {"x": 1}), ('{"x":1}', {"x": 1}), (" ", {}), ("", {}), (None, {}), ("null", {}), ({}, {})],
)
def test_arguments_in_any_form(arguments, given):
    body = answer({"content": None, **call(arguments)}, "tool_calls", **COUNTED)
    function = written("openai", body)["choices"][0]["message"]["tool_calls"][0]["function"]
    assert json.loads(function["arguments"]) == given
    if given is not None:
        assert written("anthropic", body)["content"][0]["input"] == given
        assert written("bedrock", body)["output"]["message"]["content"][0]["toolUse"]["input"] == given


def test_calls_without_ids_have_ids_of_their_own():
    calls = [{"function": {"name": name, "arguments": "{}"}} for name in "fgh"]
    body = answer({"content": None, "tool_calls": calls}, "tool_calls", **COUNTED)
    ids = [entry["id"] for entry in written("openai", body)["choices"][0]["message"]["tool_calls"]]
    assert len(set(ids)) == 3
    assert ids == [block["id"] for block in written("anthropic", body)["content"]]


@pytest.mark.parametrize(
    "content",
    ["Half a penny", [{"type": "text", "text": "Half "}, {"type": "text", "text": "a penny"}], ["Half ", "a penny"]],
)
def test_content_as_text_or_as_a_list(content):
    body = answer({"content": content}, **COUNTED)
    assert written("openai", body)["choices"][0]["message"]["content"] == "Half a penny"
    assert "".join(block["text"] for block in written("anthropic", body)["content"]) == "Half a penny"


def test_thoughts_within_the_content_stay_where_they_are_for_their_own_clients():
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Coins."}]},
        {"type": "text", "text": "Half a penny"},
    ]
    body = answer({"content": content}, **COUNTED)
    assert written("openai", body)["choices"][0]["message"]["content"] == content
    kinds = [block["type"] for block in written("anthropic", body)["content"]]
    assert kinds == ["thinking", "text"]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_under_any_name(name):
    body = answer({"content": "x", name: "Coins."}, **COUNTED)
    assert written("openai", body)["choices"][0]["message"][name] == "Coins."
    first = written("anthropic", body)["content"][0]
    assert (first["type"], first["thinking"]) == ("thinking", "Coins.")


def test_a_refusal_is_one_in_every_dialect():
    body = answer({"content": None, "refusal": "I will not."}, **COUNTED)
    assert written("openai", body)["choices"][0]["message"]["refusal"] == "I will not."
    whole = written("anthropic", body)
    assert (whole["content"], whole["stop_reason"]) == ([{"type": "text", "text": "I will not."}], "refusal")
    assert written("bedrock", body)["stopReason"] == "content_filtered"


def test_the_older_function_call():
    body = answer({"content": None, "function_call": {"name": "f", "arguments": '{"x":1}'}}, "function_call", **COUNTED)
    message = written("openai", body)["choices"][0]["message"]
    assert message["function_call"] == {"name": "f", "arguments": '{"x":1}'}
    assert written("anthropic", body)["content"][0]["input"] == {"x": 1}


def test_a_stop_sequence_that_the_server_names():
    for key in ("stop_reason", "matched_stop"):  # vLLM, SGLang
        whole = written("anthropic", answer({"content": "x"}, choice={key: "END"}, **COUNTED))
        assert (whole["stop_reason"], whole["stop_sequence"]) == ("stop_sequence", "END")
        whole = written("anthropic", answer({"content": "x"}, choice={key: 151645}, **COUNTED))
        assert (whole["stop_reason"], whole["stop_sequence"]) == ("end_turn", None)


def test_choices_numbered_with_words():
    choices = [
        {"index": str(n), "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for n, text in enumerate(("a", "b"))
    ]
    done = read({"id": "c", "model": "m", "choices": choices, **COUNTED})
    assert [choice.content[0].text for choice in done.choices] == ["a", "b"]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (counts(), (9, 4)),
        ({"prompt_tokens": 9, "total_tokens": 13}, (9, 4)),
        ({"prompt_tokens": 9.0, "completion_tokens": 4.0}, (9, 4)),
        ({"prompt_tokens": 9, "completion_tokens": None}, (9, 0)),
        (counts(completion_tokens_details=None, prompt_tokens_details=None), (9, 4)),
    ],
)
def test_counts_in_any_form(usage, tokens):
    done = read(answer({"content": "x"}, usage=usage))
    assert (done.tokens.prompt, done.tokens.output) == tokens


def test_a_stream_that_was_answered_whole_is_no_answer():
    """It may have been cut anywhere; a server that does not stream is named as such (`streams: false`)."""
    decoder = codec("openai").decoder(model="m", id="i", created=1)
    body = json.dumps(answer({"content": "Half a penny"}, **COUNTED), indent=1).encode()
    decoder.feed(body)
    with pytest.raises(Failure) as error:
        decoder.close()
    assert error.value.kind == "upstream"
    assert "streams: false" in error.value.fix


# -- how answers fail --------------------------------------------------------------------------------------------------


def kind_of(body, protocol="openai"):
    decoder = codec(protocol).decoder(model="m", id="i", created=1)
    try:
        decoder.feed(body)
        decoder.close()
    except Failure as failure:
        return failure.kind
    return "complete"


NETWORK = {"finish_reason": "stop", "native_finish_reason": "network_error"}
TOO_MANY = {"finish_reason": "error", "error": {"code": 429, "message": "Provider returned error"}}


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ({"error": {"message": "slow", "code": 429}}, "rate_limited"),
        ({"error": "CUDA error: out of memory"}, "upstream"),
        ({"object": "error", "message": "gone", "type": "InternalServerError", "code": 500}, "upstream"),
        ({"error": {"message": "insufficient", "type": "insufficient_quota"}}, "provider_account"),
        (b'error: {"code":500,"message":"context size exceeded","type":"server_error"}\n\n', "context_overflow"),
        (b'event: error\ndata: {"message":"broken"}\n\n', "upstream"),
        ({**STOP, "choices": [{"index": 0, "delta": {}, "finish_reason": "abort"}]}, "truncated"),
        ({**STOP, "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}, "model_error"),
        (piece({}, "insufficient_system_resource"), "overloaded"),
        ({**STOP, "choices": [{"index": 0, "delta": {}, **NETWORK}]}, "upstream"),
        ({**STOP, "choices": [{"index": 0, "delta": {}, **TOO_MANY}]}, "rate_limited"),
    ],
)
def test_errors_within_a_stream(frame, kind):
    assert kind_of(sse(ROLE, HALF, frame, last())) == kind


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        ({"message": {"content": "Half"}, **NETWORK}, "upstream"),
        ({"message": {"content": "Half"}, **TOO_MANY}, "rate_limited"),
        ({"message": {"content": None}, "finish_reason": None}, "upstream"),
    ],
)
def test_errors_within_a_whole_answer(choice, kind):
    """OpenRouter's, which answers 200; and a choice that is none: `choices: []` would be told of it."""
    body = json.dumps({"id": "c", "object": "chat.completion", "choices": [{"index": 0, **choice}]}).encode()
    with pytest.raises(Failure) as told:
        codec("openai").decode_answer(body, {}, model="m", id="i", created=1)
    assert told.value.kind == kind


def test_streams_that_end_too_soon():
    assert kind_of(sse(ROLE, HALF, PENNY, done=False)) == "truncated"
    assert kind_of(sse(ROLE, HALF, PENNY)) == "truncated"
    assert kind_of(sse(ROLE, HALF, PENNY, STOP, last(), done=False)) == "complete"  # only [DONE] is missing
    assert kind_of(sse(ROLE, HALF, PENNY, STOP)) == "complete"


def test_a_stream_that_ends_with_its_finish_reason_alone_was_cut():
    """Counts are asked for, so they or [DONE] follow it; without them the bill is not known either."""
    assert kind_of(sse(ROLE, HALF, PENNY, STOP, done=False)) == "truncated"


def test_a_streamed_call_whose_arguments_are_null_has_none():
    opened = piece({"tool_calls": [{"index": 0, "id": "c", "type": "function",
                                    "function": {"name": "look", "arguments": "null"}}]})  # fmt: skip
    decoder = codec("openai").decoder(model="m", id="i", created=1)
    events = decoder.feed(sse(ROLE, opened, piece({}, "tool_calls"), last())) + decoder.close()
    written = codec("openai").encoder(samples.ask("openai", stream=True)).encode(events).decode()
    chunks = [json.loads(line[6:]) for line in written.splitlines() if line.startswith("data: {")]
    calls = [each for chunk in chunks for one in chunk["choices"] for each in one["delta"].get("tool_calls", ())]
    assert json.loads("".join(each["function"].get("arguments", "") for each in calls)) == {}
    message = codec("anthropic").encode_answer(samples.collected(events), samples.ask("anthropic"))
    assert json.loads(message)["content"][-1]["input"] == {}


def serve(server, body, content_type):
    server.reply = lambda seen: (200, {"content-type": content_type}, body)


CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_an_error_in_a_stream_as_the_openai_client_sees_it(server, gpt):
    body = sse(ROLE, HALF, {"error": {"message": "slow", "code": 429}})
    serve(server, body, "text/event-stream")
    with pytest.raises(openai.APIError, match="slow"):
        list(gpt.chat.completions.create(**CHAT, stream=True))
    assert kind_of(body) == "rate_limited"


def test_an_error_in_a_stream_as_the_anthropic_client_sees_it(server, claude):
    fault = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    body = anthropic_stream(start(), *words()[:2], fault)
    serve(server, body, "text/event-stream")
    with (
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
        claude.messages.stream(max_tokens=9, **CHAT) as stream,
    ):
        stream.get_final_message()
    assert kind_of(body, "anthropic") == "overloaded"


@pytest.mark.parametrize(
    ("frame", "code", "kind"),
    [
        (event("throttlingException", {"message": "slow"}, "exception"), "throttlingException", "rate_limited"),
        (event("validationException", {"message": "Input is too long"}, "exception"), "validationException",
         "context_overflow"),
        ("error", "internalFailure", "upstream"),
    ],
)  # fmt: skip
def test_an_exception_in_a_stream_as_boto3_sees_it(server, bedrock, frame, code, kind):
    if frame == "error":
        headers = {":message-type": "error", ":error-code": code, ":error-message": "it broke"}
        frame = eventstream.frame(eventstream.headers(headers), b"")
    body = converse(BEGIN, *SAY[:1]) + frame
    serve(server, body, "application/vnd.amazon.eventstream")
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    with pytest.raises(botocore.exceptions.EventStreamError) as caught:
        list(bedrock.converse_stream(modelId="m", messages=messages)["stream"])
    assert caught.value.response["Error"]["Code"] == code
    decoder = codec("bedrock").decoder()
    with pytest.raises(Failure) as ours:
        decoder.feed(body)
    assert ours.value.kind == kind
    assert ours.value.message == caught.value.response["Error"]["Message"]


def test_a_converse_stream_without_its_end_is_an_error_for_us_alone(server, bedrock):
    """boto3 raises nothing when messageStop and metadata never come."""
    body = converse(BEGIN, *SAY)
    serve(server, body, "application/vnd.amazon.eventstream")
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    assert list(bedrock.converse_stream(modelId="m", messages=messages)["stream"])
    assert kind_of(body, "bedrock") == "truncated"


# -- answers that lack what every client reads ------------------------------------------------------------------------


@pytest.mark.parametrize("client", ["openai", "anthropic", "bedrock", "responses"])
def test_an_answer_without_a_choice_is_none(client):
    """Clients read the first choice: an empty list must not reach them as an answer."""
    with pytest.raises(Failure) as error:
        written(client, answer({"content": "x"}) | {"choices": []})
    assert error.value.kind == "upstream"


@pytest.mark.parametrize(("message", "reason"), [({"content": "Hi"}, "end_turn"), (call("{}"), "tool_use")])
def test_a_whole_answer_without_a_reason_is_over_all_the_same(message, reason):
    assert written("anthropic", answer(message, None))["stop_reason"] == reason


@pytest.mark.parametrize("word", ["max_length", "length_limit"])
def test_further_words_for_an_answer_that_was_cut(word):
    assert written("openai", answer({"content": "Hi"}, word))["choices"][0]["finish_reason"] == "length"
    assert written("anthropic", answer({"content": "Hi"}, word))["stop_reason"] == "max_tokens"


# -- names that come late ---------------------------------------------------------------------------------------------


def tool(**entry):
    return piece({"tool_calls": [{"index": 0, **entry}]})


LATE = {
    "an empty name first": [
        tool(id="a", type="function", function={"name": "", "arguments": ""}),
        tool(id="", function={"name": "f", "arguments": "{}"}),
    ],
    "no function first": [
        tool(id="a", type="function"), tool(function={"name": "f"}), tool(function={"arguments": "{}"}),
    ],
    "null first": [
        tool(id="a", type="function", function={"name": None, "arguments": ""}),
        tool(function={"name": "f", "arguments": "{"}), tool(function={"arguments": "}"}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("pieces", LATE.values(), ids=LATE)
def test_a_call_begins_when_its_name_is_known(pieces):
    def stream(client):
        request = samples.ask(client, stream=True)
        decoder, encoder = codec("openai").decoder(model="m", id="i", created=1), codec(client).encoder(request)
        chunks = sse(*pieces, piece({}, "tool_calls"), {"choices": [], "usage": counts()})
        return encoder.encode(decoder.feed(chunks) + decoder.close()).decode()

    frames = [json.loads(line[6:]) for line in stream("anthropic").splitlines() if line.startswith("data: ")]
    (begun,) = [frame["content_block"] for frame in frames if frame["type"] == "content_block_start"]
    assert (begun["type"], begun["id"], begun["name"]) == ("tool_use", "a", "f")
    assert "".join(frame["delta"]["partial_json"] for frame in frames if frame["type"] == "content_block_delta") == "{}"
    chunks = [json.loads(line[6:]) for line in stream("openai").splitlines() if line.startswith("data: {")]
    calls = [one for chunk in chunks for choice in chunk["choices"] for one in choice["delta"].get("tool_calls") or ()]
    functions = [one.get("function") or {} for one in calls]
    assert {one["index"] for one in calls} == {0}
    assert [one["id"] for one in calls if one.get("id")] == ["a"]
    assert "".join(one.get("name") or "" for one in functions) == "f"
    assert "".join(one.get("arguments") or "" for one in functions) == "{}"
