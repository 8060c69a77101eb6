"""A stream that ends early but cleanly is an error, wherever it ends."""

from __future__ import annotations

import pytest

from hapenny.core.errors import Failure
from hapenny.core.events import Usage
from hapenny.protocols import codec, eventstream
from tests.protocols import samples

NAMES = ["openai", "anthropic", "bedrock", "invoke"]
SAMPLES = [samples.text_answer, samples.tool_answer, samples.thinking_answer]


def frames_of(name, events):
    encoder = codec(name).encoder(samples.ask(name, stream=True, stream_usage=True))
    body = encoder.encode(events) + encoder.end()
    if name in ("openai", "anthropic"):
        return [part + b"\n\n" for part in body.split(b"\n\n")[:-1]]
    return [frame.raw for frame in eventstream.Parser().feed(body)]


def outcome(name, data):
    decoder = codec(name).decoder()
    try:
        events = decoder.feed(data) + decoder.close()
    except Failure as failure:
        return failure.kind
    return events


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sample", SAMPLES)
def test_every_frame_is_needed(name, sample):
    frames = frames_of(name, sample())
    assert samples.collected(outcome(name, b"".join(frames))).tokens is not None
    for end in range(len(frames)):
        seen = outcome(name, b"".join(frames[:end]))
        if name == "openai" and end == len(frames) - 1:
            # Only [DONE] is missing: the answer is whole and counted, as some servers leave it.
            assert any(isinstance(event, Usage) for event in seen)
        else:
            assert seen == "truncated"


@pytest.mark.parametrize("name", NAMES)
def test_an_end_within_a_frame(name):
    frames = frames_of(name, samples.text_answer())
    for frame in frames[:-1]:
        before = b"".join(frames[: frames.index(frame)])
        assert outcome(name, before + frame[: len(frame) // 2]) in ("truncated", "upstream")


def chunk(delta, finish="null"):
    return b'data: {"id":"i","model":"m","choices":[{"index":0,"delta":%b,"finish_reason":%b}]}\n\n' % (
        delta.encode(),
        finish.encode(),
    )


def test_done_without_a_reason_is_a_truncation():
    # Some gateways end a broken upstream stream this way.
    assert outcome("openai", chunk('{"content":"Hel"}') + b"data: [DONE]\n\n") == "truncated"
    assert outcome("openai", b"data: [DONE]\n\n") == "truncated"
    assert outcome("openai", b"") == "truncated"


def test_one_choice_of_two_without_a_reason_is_a_truncation():
    second = b'data: {"choices":[{"index":1,"delta":{"content":"x"}}]}\n\n'
    assert outcome("openai", second + chunk("{}", '"stop"') + b"data: [DONE]\n\n") == "truncated"


def test_a_last_frame_without_its_blank_line_counts():
    frames = frames_of("anthropic", samples.text_answer())
    seen = outcome("anthropic", b"".join(frames).rstrip(b"\n"))
    assert samples.plain(samples.collected(seen)) == samples.plain(samples.collected(samples.text_answer()))


@pytest.mark.parametrize(
    ("name", "frame", "kind"),
    [
        ("openai", b'data: {"error":{"message":"m","type":"rate_limit_error","code":null}}\n\n', "rate_limited"),
        ("openai", b'data: {"error":{"message":"m","code":429}}\n\n', "rate_limited"),
        ("openai", b'data: {"error":"broken"}\n\n', "upstream"),
        ("anthropic", b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n', "overloaded"),
        (
            "bedrock",
            eventstream.frame(
                eventstream.exception_headers("throttlingException"),
                b'{"message":"Too many tokens, please wait before trying again."}',
            ),
            "rate_limited",
        ),
        (
            "bedrock",
            eventstream.frame(
                eventstream.headers({":message-type": "error", ":error-code": "InternalFailure"}),
                b"",
            ),
            "upstream",
        ),
        (
            "invoke",
            eventstream.frame(eventstream.exception_headers("modelTimeoutException"), b'{"message":"slow"}'),
            "timeout",
        ),
    ],
)
def test_errors_within_the_stream(name, frame, kind):
    start = frames_of(name, samples.text_answer())[:2]
    assert outcome(name, b"".join(start) + frame) == kind
