"""What a codec writes it reads again, whole and in any pieces. (No proof by itself: the outside oracles are.)"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.core.events import Completion, events_of
from hapenny.core.messages import Request
from hapenny.protocols import codec
from tests.protocols import samples
from tests.protocols.strategies import completions, requests

NAMES = ["openai", "anthropic", "bedrock", "invoke"]
ON_PATH = ("bedrock", "invoke")

EXAMPLES = 20


def reread(name: str, request: Request) -> Request:
    wire = codec(name).encode_request(request, model=request.model)
    on_path = name in ON_PATH
    return codec(name).decode_request(
        wire.body,
        model=request.model if on_path else None,
        stream=request.stream if on_path else None,
        headers=wire.headers,
    )


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_requests(name, data):
    request = data.draw(requests(name))
    assert reread(name, request) == request


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_whole_answers(name, data):
    talk, done = codec(name), data.draw(completions(name))
    request = samples.ask(name)
    events = talk.decode_answer(
        talk.encode_answer(done, request), talk.answer_headers(done, request), model="m-1", id="id-1", created=5.0
    )
    again = samples.collected(events)
    assert samples.plain(again) == samples.plain(done)
    assert (again.id, again.model, again.created) == (done.id, done.model, done.created)


def streamed(name: str, done: Completion, **flags) -> bytes:
    encoder = codec(name).encoder(samples.ask(name, stream=True, stream_usage=True, **flags))
    return encoder.encode(events_of(done)) + encoder.note({"a": "b"}) + encoder.end()


def fed(name: str, data: bytes, cuts: list[int]):
    decoder = codec(name).decoder(model="m-1", id="id-1", created=5.0)
    events = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        events += decoder.feed(data[start:end])
    return events + decoder.close()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_streams_in_any_pieces(name, data):
    done = data.draw(completions(name))
    body = streamed(name, done)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    again = samples.collected(fed(name, body, cuts))
    assert samples.plain(again) == samples.plain(done)
    assert (again.id, again.model, again.created) == (done.id, done.model, done.created)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_line_ends_and_bare_frames(name, data):
    if name in ON_PATH:
        return
    done = data.draw(completions(name))
    body = streamed(name, done).replace(b"\n", data.draw(st.sampled_from([b"\r\n", b"\r"])))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    assert samples.plain(samples.collected(fed(name, body, cuts))) == samples.plain(done)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_forwarded_frames_say_the_same(name, data):
    done = data.draw(completions(name))
    events = fed(name, streamed(name, done), [])
    encoder = codec(name).encoder(samples.ask(name, stream=True, stream_usage=True))
    again = encoder.encode(events) + encoder.end()
    assert fed(name, again, []) == events


@pytest.mark.parametrize("source", NAMES)
@pytest.mark.parametrize("target", NAMES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_an_answer_crosses_the_bridge(source, target, data):
    """Upstream of one protocol, client of another: text, calls and counts survive."""
    done = data.draw(completions(source))
    events = fed(source, streamed(source, done), [])
    encoder = codec(target).encoder(samples.ask(target, stream=True, stream_usage=True))
    body = b"".join(encoder.encode([event]) for event in events) + encoder.end()
    again = samples.collected(fed(target, body, []))
    assert again.text == done.text
    calls = [[block for block in choice.content if hasattr(block, "arguments")] for choice in done.choices]
    crossed = [[block for block in choice.content if hasattr(block, "arguments")] for choice in again.choices]
    assert crossed == (calls if target == "openai" else calls[:1])
    assert again.tokens == done.tokens
