"""Answers of servers that write what no strict reader takes: they are paid for, so they are read."""

from __future__ import annotations

import json

import pytest

from hapenny.core.errors import Failure
from hapenny.protocols import codec
from tests.protocols import samples

WHOLE = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"%b"},"logprobs":{"content":[{"token":"a","logprob":%b,"bytes":[97],'
    b'"top_logprobs":[]}]},"finish_reason":"stop"}]}'
)
CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    b'{"content":"%b"},"logprobs":{"content":[{"token":"a","logprob":%b,"bytes":[97],"top_logprobs":[]}]},'
    b'"finish_reason":null}]}\n\n'
)
STOP = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},'
    b'"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
ODD = [
    (b"half \\ud83d", b"-0.1", "half \ufffd"),
    (b"other half \\uDE00", b"-0.1", "other half \ufffd"),
    (b"whole \\ud83d\\ude00, then \\ud83d", b"-0.1", "whole \U0001f600, then \ufffd"),
    (b"a path \\\\ud83d stays", b"NaN", "a path \\ud83d stays"),
    (b"cut \xf0\x9f\x98", b"-0.1", "cut \ufffd"),
    (b"plain", b"-Infinity", "plain"),
    (b"plain", b"-1e999", "plain"),
]


@pytest.mark.parametrize(("said", "logprob", "text"), ODD)
def test_a_whole_answer_is_read(said, logprob, text):
    body = WHOLE % (said, logprob)
    for sent in (body, b"\xef\xbb\xbf" + body):
        answer = samples.collected(codec("openai").decode_answer(sent, {}))
        assert answer.text == text
        for client in ("openai", "anthropic", "bedrock"):
            told = codec(client).encode_answer(answer, samples.ask(client))
            assert text in json.dumps(json.loads(told), ensure_ascii=False).replace("\\\\", "\\")


@pytest.mark.parametrize(("said", "logprob", "text"), ODD)
def test_a_stream_is_read(said, logprob, text):
    decoder = codec("openai").decoder()
    events = [*decoder.feed(CHUNK % (said, logprob)), *decoder.feed(STOP), *decoder.close()]
    assert samples.collected(events).text == text


@pytest.mark.parametrize(
    "body", [b'{"choices": [', b"{'choices': []}", b'{"choices": [],}', b"<html>", b"", b'"\\ud83d"']
)
def test_what_is_no_json_is_still_an_upstream_error(body):
    with pytest.raises(Failure) as caught:
        codec("openai").decode_answer(body, {})
    assert caught.value.kind == "upstream"
