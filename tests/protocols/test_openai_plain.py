"""The everyday forms of chat completions mean what the readers of the whole dialect read in them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.protocols.openai import answer, plain, request

TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text(max_size=20)}),
    min_size=1,
    max_size=5,
)
ASKED = st.fixed_dictionaries(
    {"model": st.text(min_size=1, max_size=8), "messages": TURNS},
    optional={
        "temperature": st.one_of(st.none(), st.integers(0, 2), st.floats(0, 2)),
        "top_p": st.one_of(st.none(), st.floats(0, 1)),
        "max_tokens": st.one_of(st.none(), st.integers(0, 2**40), st.just(3.0)),
        "stream": st.one_of(st.none(), st.booleans()),
        "stream_options": st.one_of(st.none(), st.just({}), st.fixed_dictionaries({"include_usage": st.booleans()})),
    },
)
COUNTS = st.integers(0, 10**6)
DETAILS = st.fixed_dictionaries({"cached_tokens": st.integers(0, 9)})
USAGE = st.one_of(
    st.builds(
        lambda prompt, output: {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
        },
        COUNTS,
        COUNTS,
    ),
    st.fixed_dictionaries(
        {"prompt_tokens": COUNTS, "completion_tokens": COUNTS, "total_tokens": COUNTS},
        optional={"prompt_tokens_details": DETAILS},
    ),
)
SAID = st.fixed_dictionaries(
    {
        "id": st.text(min_size=1, max_size=8),
        "object": st.just("chat.completion"),
        "created": st.integers(0, 2**40),
        "model": st.text(min_size=1, max_size=8),
        "choices": st.tuples(
            st.fixed_dictionaries(
                {
                    "finish_reason": st.sampled_from(["stop", "length"]),
                    "message": st.fixed_dictionaries(
                        {"content": st.text(min_size=1)},
                        optional={"role": st.just("assistant"), "refusal": st.none(), "annotations": st.just([])},
                    ),
                },
                optional={"index": st.just(0), "logprobs": st.none()},
            )
        ),
        "usage": USAGE,
    },
    optional={"service_tier": st.sampled_from(["default", None]), "system_fingerprint": st.text(max_size=5)},
)


@given(ASKED, st.sampled_from([None, True, False]))
def test_a_plain_request_is_read_as_any_other(asked, stream):
    body = json.dumps(asked).encode()
    read = plain.request(body, stream)
    if read is not None:
        assert read == request.decode(body, stream)
        kept = [type(each) for each in (read.parameters.temperature, read.parameters.max_tokens)]
        whole = request.decode(body, stream).parameters
        assert kept == [type(each) for each in (whole.temperature, whole.max_tokens)]  # one key for both


@given(SAID)
def test_a_plain_answer_is_read_as_any_other(said):
    body = json.dumps(said).encode()
    assert plain.answer(body) == answer.decode(body, "asked", "id", 1.0)


@pytest.mark.parametrize(
    "more",
    [
        {"tools": []},
        {"n": 1},
        {"user": "u"},
        {"temperature": 3},
        {"messages": []},
        {"messages": [{"role": "user", "content": "a", "name": "b"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        {"stream_options": {"include_usage": True, "more": 1}},
    ],
)
def test_whatever_else_a_body_holds_is_left_to_the_whole_dialect(more):
    asked = {"model": "m", "messages": [{"role": "user", "content": "a"}], **more}
    assert plain.request(json.dumps(asked).encode(), None) is None


def test_a_long_body_is_not_tried():
    asked = {"model": "m", "messages": [{"role": "user", "content": "a" * plain.LONGEST}]}
    assert plain.request(json.dumps(asked).encode(), None) is None
