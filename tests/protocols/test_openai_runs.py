"""Chunks that are read many at once say what they say one by one, whatever their texts and however bytes are cut."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hapenny.core.events import TextDelta
from hapenny.protocols.registry import codec

TEXTS = st.one_of(
    st.text(min_size=0, max_size=6),
    st.sampled_from(
        ["a", "halfpenny ", "é", "橋", "\n", '"', "\\", "data: ", "\n\n", "\u2028", "\u3000", "\x7f", "}]}"]
    ),
)
HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(delta, more=None, ascii_only=False, **fields):
    choice = {"index": 0, "delta": delta, "finish_reason": None, **(more or {})}
    return b"data: " + json.dumps({**HEAD, "choices": [choice], **fields}, ensure_ascii=ascii_only).encode() + b"\n\n"


def stream(texts, ascii_only, odd):
    frames = [chunk({"role": "assistant", "content": ""})]
    for number, text in enumerate(texts):
        more = {"logprobs": {"content": []}} if odd == number else None
        frames.append(chunk({"content": text}, more, ascii_only))
    frames.append(chunk({}, {"finish_reason": "stop"}))
    frames.append(b"data: " + json.dumps({**HEAD, "choices": [], "usage": {"prompt_tokens": 1}}).encode() + b"\n\n")
    return [*frames, b"data: [DONE]\n\n"]


def events(pieces):
    """The events of a stream; texts that follow one another are joined, with their frames."""
    decoder = codec("openai").decoder(model="m", id="i", created=1.0)
    told = []
    for event in [event for piece in pieces for event in decoder.feed(piece)] + decoder.close():
        last = told[-1] if told else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta):
            told[-1] = TextDelta(last.text + event.text, last.block, last.choice, last.raw + event.raw)
        else:
            told.append(event)
    return told


@given(st.lists(TEXTS, max_size=12), st.booleans(), st.integers(-1, 12), st.lists(st.integers(0, 3_000), max_size=4))
def test_the_same_events_with_the_same_frames_however_they_come(texts, ascii_only, odd, cuts):
    frames = stream(texts, ascii_only, odd)
    whole = b"".join(frames)
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    cut = [whole[a:b] for a, b in pairwise(places)]
    one_by_one = events([bytes((byte,)) for byte in whole])  # no run ever comes whole
    assert events(frames) == one_by_one
    assert events([whole]) == one_by_one
    assert events(cut) == one_by_one
    assert "".join(event.text for event in one_by_one if isinstance(event, TextDelta)) == "".join(texts)


def test_what_only_looks_like_the_chunk_before_is_read_for_itself():
    told = [chunk({"content": "a"})] * 3
    forged = told[0].replace(b'"content": "a"', b'"content": "a", "content": "b"')
    text = "".join(
        event.text
        for event in events([chunk({"role": "assistant", "content": ""}), *told, b"".join([told[0], forged, told[0]]),
                             chunk({}, {"finish_reason": "stop"}), b"data: [DONE]\n\n"])
        if isinstance(event, TextDelta)
    )  # fmt: skip
    assert text == "aaaaba"


def test_texts_that_came_together_are_one_piece_and_go_on_as_they_came():
    request = codec("openai").decode_request(
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}', model=None, stream=None, headers={}
    )
    decoder, encoder = codec("openai").decoder(model="m", id="i", created=1.0), codec("openai").encoder(request)
    encoder.encode(decoder.feed(chunk({"role": "assistant", "content": ""}) + 2 * chunk({"content": "a"})))
    many = b"".join(chunk({"content": text}) for text in ("one ", "bridge", "橋"))
    batch = decoder.feed(many)
    assert [event.text for event in batch] == ["one bridge橋"]
    assert encoder.encode(batch) == many
