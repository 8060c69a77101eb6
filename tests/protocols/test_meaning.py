"""What an answer means beside its text, from dialect to dialect: citations, and the names of what cannot be said."""

from __future__ import annotations

import json

import pytest

from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Started,
    Stopped,
    TextDelta,
    Tokens,
    Usage,
)
from hapenny.protocols import codec
from tests.protocols import samples

PAGE = {
    "openai": {
        "type": "url_citation",
        "url_citation": {"url": "https://e.org/a", "title": "A", "start_index": 0, "end_index": 4},
    },
    "anthropic": {
        "type": "web_search_result_location",
        "cited_text": "tolls",
        "encrypted_index": "abc",
        "title": "A",
        "url": "https://e.org/a",
    },
    "bedrock": {"title": "A", "sourceContent": [{"text": "tolls"}], "location": {"web": {"url": "https://e.org/a"}}},
}
PLACES = [
    ("char_location", "documentChar", "start_char_index", "end_char_index"),
    ("page_location", "documentPage", "start_page_number", "end_page_number"),
    ("content_block_location", "documentChunk", "start_block_index", "end_block_index"),
]


def answered(note, text="Half a penny"):
    return [
        Started("i", "m", 1.0),
        BlockStarted(0, "text"),
        TextDelta(text),
        CitationDelta(note),
        BlockStopped(0),
        Stopped("end_turn"),
        Usage(Tokens(input=1, output=1)),
    ]


def whole(client, events):
    return json.loads(codec(client).encode_answer(samples.collected(events), samples.ask(client)))


def streamed(client, events):
    encoder = codec(client).encoder(samples.ask(client, stream=True, stream_usage=True))
    body = encoder.encode(events) + encoder.end()
    decoder = codec(client).decoder()
    return samples.collected(decoder.feed(body) + decoder.close()).choices[0].content, encoder.omitted


def notes_of(client, body):
    if client == "openai":
        return body["choices"][0]["message"].get("annotations", [])
    if client == "anthropic":
        return [note for block in body["content"] for note in block.get("citations") or []]
    blocks = body["output"]["message"]["content"]
    return [note for block in blocks for note in block.get("citationsContent", {}).get("citations", [])]


@pytest.mark.parametrize("client", ["openai", "anthropic", "bedrock"])
@pytest.mark.parametrize("origin", PAGE)
def test_a_page_of_the_web_is_cited_in_every_dialect(origin, client):
    (note,) = notes_of(client, whole(client, answered(PAGE[origin])))
    assert "https://e.org/a" in json.dumps(note)
    if origin == client:
        assert note == PAGE[origin]
    if client == "openai":
        assert note["type"] == "url_citation"
        assert note["url_citation"]["title"] == "A"
    (block,), omitted = streamed(client, answered(PAGE[origin]))
    assert [json.dumps(each) for each in block.citations] == [json.dumps(note)]
    assert not omitted


def test_openai_is_told_which_part_of_the_text_is_cited():
    events = answered(PAGE["anthropic"])
    two = [*events[:1], BlockStarted(0, "text"), TextDelta("Before. ", 0), BlockStopped(0)]
    two += [BlockStarted(1, "text"), TextDelta("Half a penny", 1), CitationDelta(PAGE["anthropic"], 1), BlockStopped(1)]
    (note,) = notes_of("openai", whole("openai", two + events[5:]))
    assert (note["url_citation"]["start_index"], note["url_citation"]["end_index"]) == (8, 20)


@pytest.mark.parametrize(("kind", "place", "first", "last"), PLACES)
def test_a_place_in_a_document_between_anthropic_and_converse(kind, place, first, last):
    theirs = {
        "type": kind,
        "cited_text": "tolls",
        "document_index": 1,
        "document_title": "Tolls",
        first: 3,
        last: 8,
    }
    (note,) = notes_of("bedrock", whole("bedrock", answered(theirs)))
    assert note == {
        "title": "Tolls",
        "sourceContent": [{"text": "tolls"}],
        "location": {place: {"documentIndex": 1, "start": 3, "end": 8}},
    }
    (back,) = notes_of("anthropic", whole("anthropic", answered(note)))
    assert back == theirs
    assert notes_of("openai", whole("openai", answered(theirs))) == []
    assert codec("openai").omitted(samples.collected(answered(theirs))) == ["citations"]
    assert streamed("openai", answered(theirs))[1] == {"citations"}


def test_a_search_result_of_the_client_between_anthropic_and_converse():
    theirs = {
        "type": "search_result_location",
        "cited_text": "tolls",
        "source": "https://e.org",
        "title": "Tolls",
        "search_result_index": 2,
        "start_block_index": 0,
        "end_block_index": 1,
    }
    (note,) = notes_of("bedrock", whole("bedrock", answered(theirs)))
    assert note["location"] == {"searchResultLocation": {"searchResultIndex": 2, "start": 0, "end": 1}}
    (back,) = notes_of("anthropic", whole("anthropic", answered(note)))
    assert back == theirs


@pytest.mark.parametrize("client", ["openai", "anthropic", "bedrock"])
@pytest.mark.parametrize(
    "note", [None, 7, "x", [], {}, {"type": 3}, {"type": "novel"}, {"location": 4}, {"location": {"web": 1}},
             {"type": "url_citation", "url_citation": 5}, {"type": "char_location", "document_index": "x"}]
)  # fmt: skip
def test_odd_citations_break_nothing(client, note):
    whole(client, answered(note))
    streamed(client, answered(note))


TOKEN = {"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}
LEFT_OUT = [
    ({"logprobs": {"content": [TOKEN]}}, {}, ["logprobs"]),
    ({}, {"audio": {"id": "a", "data": "UklGRg==", "expires_at": 1, "transcript": "Half"}}, ["audio"]),
    ({}, {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}, ["images"]),
]


@pytest.mark.parametrize("client", ["anthropic", "bedrock", "invoke"])
@pytest.mark.parametrize(("choice", "message", "names"), LEFT_OUT)
def test_what_another_dialect_cannot_say_is_named(client, choice, message, names):
    entry = {"index": 0, "message": {"role": "assistant", "content": "Half", **message}, "finish_reason": "stop"}
    body = {"id": "c", "model": "m", "created": 1, "choices": [{**entry, **choice}], "usage": {"prompt_tokens": 1}}
    events = codec("openai").decode_answer(json.dumps(body).encode(), {})
    done = samples.collected(events)
    assert codec(client).omitted(done) == names
    assert codec("openai").omitted(done) == []
    assert sorted(streamed(client, events)[1]) == names
    again = json.loads(codec("openai").encode_answer(done, samples.ask()))["choices"][0]
    assert {key: again[key] for key in choice} == choice
    assert {key: again["message"][key] for key in message} == message


@pytest.mark.parametrize("client", ["anthropic", "bedrock", "invoke"])
def test_further_choices_are_named(client):
    choices = [
        {"index": n, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for n, text in enumerate("ab")
    ]
    body = {"id": "c", "model": "m", "created": 1, "choices": choices, "usage": {"prompt_tokens": 1}}
    done = samples.collected(codec("openai").decode_answer(json.dumps(body).encode(), {}))
    assert codec(client).omitted(done) == ["choices"]
