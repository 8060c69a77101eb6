"""Frames against botocore's own decoder, and against damage."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from hapenny.core.errors import Failure
from hapenny.protocols import eventstream


def theirs(data):
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(message.headers, message.payload) for message in buffer]


@given(st.lists(st.tuples(st.text(min_size=1, max_size=60), st.binary(max_size=300)), max_size=5))
def test_botocore_reads_our_frames(events):
    data = b"".join(eventstream.event(name, payload) for name, payload in events)
    assert theirs(data) == [
        ({":event-type": name, ":content-type": "application/json", ":message-type": "event"}, payload)
        for name, payload in events
    ]


def test_botocore_reads_our_exceptions():
    data = eventstream.frame(eventstream.exception_headers("throttlingException"), b'{"message":"slow"}')
    ((headers, payload),) = theirs(data)
    assert headers[":message-type"] == "exception"
    assert headers[":exception-type"] == "throttlingException"
    assert payload == b'{"message":"slow"}'


@given(st.lists(st.tuples(st.sampled_from(["a", "chunk"]), st.binary(max_size=200)), max_size=6), st.data())
def test_any_split_of_the_bytes_gives_the_same_frames(events, data):
    whole = b"".join(eventstream.event(name, payload) for name, payload in events)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    parser = eventstream.Parser()
    frames = []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        frames += parser.feed(whole[start:end])
    parser.close()
    assert [(frame.name, frame.payload) for frame in frames] == events
    assert b"".join(frame.raw for frame in frames) == whole


def header(kind: int, value: bytes) -> bytes:
    name = b"x%d" % kind
    return bytes((len(name),)) + name + bytes((kind,)) + value


def test_headers_of_every_type_are_read_over():
    # The ten types of the format: true, false, byte, short, int, long, bytes, string, timestamp, uuid.
    other = (
        header(0, b"")
        + header(1, b"")
        + header(2, b"\1")
        + header(3, b"\0\1")
        + header(4, b"\0\0\0\1")
        + header(5, bytes(8))
        + header(6, b"\0\2ab")
        + header(7, b"\0\2ab")
        + header(8, bytes(8))
        + header(9, bytes(16))
    )
    data = eventstream.frame(other + eventstream.event_headers("late"), b"{}")
    assert theirs(data)[0][0][":event-type"] == "late"
    (frame,) = eventstream.Parser().feed(data)
    assert (frame.kind, frame.name, frame.payload) == ("event", "late", b"{}")


@given(st.data())
def test_a_flipped_bit_is_noticed(data):
    frame = bytearray(eventstream.event("contentBlockDelta", b'{"delta":{"text":"hello"}}'))
    place = data.draw(st.integers(0, len(frame) - 1))
    frame[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Failure) as caught:
        eventstream.Parser().feed(bytes(frame))
    assert caught.value.kind == "upstream"


@pytest.mark.parametrize("end", [b"\x05ab", b"\x01a\x0bxx", b"\x01a\x07\x00\x09x", b"\x02\xff\xfe\x07\x00\x01x"])
def test_broken_headers_are_refused(end):
    with pytest.raises(Failure) as caught:
        eventstream.Parser().feed(eventstream.frame(end, b"{}"))
    assert caught.value.kind == "upstream"


def test_a_giant_frame_is_refused_before_it_arrives():
    lengths = struct.pack(">II", eventstream.LIMIT + 1, 0)
    with pytest.raises(Failure):
        eventstream.Parser().feed(lengths + struct.pack(">I", crc32(lengths)))


def test_half_a_frame_is_a_truncation():
    parser = eventstream.Parser()
    parser.feed(eventstream.event("a", b"{}")[:-3])
    with pytest.raises(Failure) as caught:
        parser.close()
    assert caught.value.kind == "truncated"
