"""Usage read out of answers that no codec understands."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.core.events import Tokens
from hapenny.protocols import eventstream
from hapenny.protocols.gauge import Gauge

JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
FRAMES = {"content-type": eventstream.CONTENT_TYPE}
RESPONSE = {
    "type": "response.completed",
    "sequence_number": 9,
    "response": {
        "model": "gpt-4o",
        "usage": {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 60},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": 120,
        },
    },
}  # constructed after the event order of OpenAI's Responses API


def read(headers, pieces):
    gauge = Gauge(headers)
    for piece in pieces:
        gauge.feed(piece)
    return gauge.end(), gauge.model


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"model": "m", "usage": {"prompt_tokens": 7, "total_tokens": 7}}, Tokens(input=7)),
        (
            {"usage": {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}}},
            Tokens(input=4, output=4, cache_read=5),
        ),
        (
            {"usage": {"input_tokens": 9, "output_tokens": 4, "cache_read_input_tokens": 5}},
            Tokens(input=9, output=4, cache_read=5),
        ),
        (
            {"usage": {"inputTokens": 3, "outputTokens": 2, "cacheReadInputTokenCount": 1}},
            Tokens(input=3, output=2, cache_read=1),
        ),
        ({"usage": {"prompt_tokens": "7"}}, None),
        ({"usage": None}, None),
        ({"choices": []}, None),
        ([], None),
    ],
)
def test_the_usage_of_a_json_body_in_any_providers_words(body, tokens):
    text = json.dumps(body).encode()
    assert read(JSON, [text[:5], text[5:]])[0] == tokens


@given(st.lists(st.integers(1, 60), max_size=30))
def test_the_last_usage_of_a_stream_of_responses_wherever_it_is_cut(cuts):
    text = (
        f"event: response.created\ndata: {{}}\n\nevent: response.completed\ndata: {json.dumps(RESPONSE)}\n\n".encode()
    )
    pieces, start = [], 0
    for cut in cuts:
        pieces.append(text[start : start + cut])
        start += cut
    pieces.append(text[start:])
    tokens, model = read(EVENTS, pieces)
    assert tokens == Tokens(input=40, output=20, cache_read=60, reasoning=5)
    assert model == "gpt-4o"


def test_the_metrics_at_the_end_of_an_invoke_model_stream():
    native = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 11, "outputTokenCount": 6}}
    payload = json.dumps({"bytes": base64.b64encode(json.dumps(native).encode()).decode()}).encode()
    first = json.dumps({"bytes": base64.b64encode(b'{"outputText": "hi"}').decode()}).encode()
    data = eventstream.event("chunk", first) + eventstream.event("chunk", payload)
    assert read(FRAMES, [data[:20], data[20:90], data[90:]])[0] == Tokens(input=11, output=6)


def test_counts_in_headers_stand_where_the_body_has_none():
    headers = {**JSON, "x-amzn-bedrock-input-token-count": "8"}
    assert read(headers, [b'{"embedding": [0.1]}'])[0] == Tokens(input=8)


@given(st.sampled_from([JSON, EVENTS, FRAMES, {}]), st.lists(st.binary(max_size=200), max_size=5))
def test_no_bytes_break_it(headers, pieces):
    tokens, model = read(headers, pieces)
    assert tokens is None or isinstance(tokens, Tokens)
    assert isinstance(model, str)
