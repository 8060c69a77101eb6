"""Event streams that a broken or hostile provider sends: a fixed slice here, a million frames in the long run.

Frames are made of recorded ones: fields replaced, blocks out of order, headers of all types, bits flipped, frames cut,
doubled and spliced. Whatever comes, a decoder gives events or a `Failure`, and what it gives can be written again."""

from __future__ import annotations

import base64
import copy
import json
import random
import struct
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer, ParserError

from hapenny.core.errors import Failure
from hapenny.protocols import codec, eventstream
from tests.protocols import samples
from tests.protocols.recorded_streams import ANTHROPIC, BEDROCK

ODD = (
    None,
    True,
    0,
    -1,
    1 << 70,
    1e300,
    "",
    " ",
    "x" * 300,
    "\ud800",
    "{",
    [],
    {},
    [[]],
    {"text": 1},
    {"x": {"y": []}},
)
NAMES = (":event-type", ":message-type", ":exception-type", ":error-code", ":error-message", ":content-type", "x")
VALUES = (
    "event",
    "exception",
    "error",
    "chunk",
    "messageStart",
    "contentBlockDelta",
    "metadata",
    "validationException",
)
PLAIN = [frame for stream in BEDROCK for frame in eventstream.Parser().feed(stream.body)]
EVENTS = [(frame.name, json.loads(frame.payload)) for frame in PLAIN]
NATIVES = [
    json.loads(line[6:]) for stream in ANTHROPIC for line in stream.body.split(b"\n") if line.startswith(b"data: ")
]


def changed(value, rng, depth=0):
    """`value` with one of its fields replaced, dropped or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        roll = rng.random()
        if roll < 0.15:
            del value[key]
        elif roll < 0.25:
            value[rng.choice(("type", "index", "delta", "contentBlockIndex", "usage"))] = rng.choice(ODD)
        else:
            value[key] = changed(value[key], rng, depth + 1)
        return value
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = rng.randrange(len(value))
        value[place] = changed(value[place], rng, depth + 1)
        return value
    return copy.deepcopy(rng.choice(ODD))


def encoded(value):
    return json.dumps(value).encode("utf-8", "surrogatepass")


def odd_headers(rng):
    """Headers of any names and types."""
    out = b""
    for _ in range(rng.randrange(5)):
        name = rng.choice(NAMES).encode()
        kind = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 8, 9, 10, 255))
        text = rng.choice(VALUES).encode() if rng.random() < 0.9 else rng.randbytes(rng.randrange(9))
        size = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}.get(kind)
        value = len(text).to_bytes(2, "big") + text if size is None else bytes(size)
        out += bytes((len(name),)) + name + bytes((kind,)) + value
    return out


def framed(rng, protocol):
    """One frame with right checksums and a content that may be anything."""
    roll = rng.random()
    if protocol == "invoke":
        native = rng.choice(NATIVES)
        native = native if roll < 0.5 else changed(copy.deepcopy(native), rng)
        name, payload = "chunk", {"bytes": base64.b64encode(encoded(native)).decode()}
    else:
        name, payload = rng.choice(EVENTS)
    if 0.5 <= roll < 0.9:
        payload = changed(copy.deepcopy(payload), rng)
    body = rng.randbytes(rng.randrange(40)) if roll > 0.96 else encoded(payload)
    if 0.9 <= roll < 0.96:
        header = odd_headers(rng)
    elif rng.random() < 0.04:
        header = eventstream.exception_headers(rng.choice(("throttlingException", "validationException", "x")))
    else:
        header = eventstream.event_headers(name)
    return eventstream.frame(header, body)


def damaged(frame, rng):
    """The frame with bytes flipped, cut, put in, or with wrong lengths under a right checksum."""
    roll, data = rng.random(), bytearray(frame)
    if roll < 0.4:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif roll < 0.6:
        del data[rng.randrange(len(data)) :]
    elif roll < 0.8:
        data[rng.randrange(len(data)) : rng.randrange(len(data))] = rng.randbytes(rng.randrange(20))
    else:
        lengths = struct.pack(">II", rng.choice((0, 15, 16, len(data), 1 << 20, 1 << 31)), rng.choice((0, 5, 1 << 20)))
        data[:12] = lengths + struct.pack(">I", crc32(lengths))
    return bytes(data)


def a_stream(rng, protocol):
    """(bytes, how many frames): mostly recorded order, with odd frames among them."""
    frames = [framed(rng, protocol) for _ in range(rng.randrange(1, 12))]
    if rng.random() < 0.3 and protocol == "bedrock":
        good = [frame.raw for frame in eventstream.Parser().feed(rng.choice(BEDROCK[:-1]).body)]
        for _ in range(rng.randrange(3)):
            good.insert(rng.randrange(len(good) + 1), framed(rng, protocol))
        frames = good
    if rng.random() < 0.25:
        place = rng.randrange(len(frames))
        frames[place] = damaged(frames[place], rng)
    return b"".join(frames), len(frames)


def pieces_of(body, rng):
    at = 0
    while at < len(body):
        size = rng.choice((1, 7, 60, 500, 1 << 16))
        yield body[at : at + size]
        at += size


def survives(body, rng, protocol, writers):
    """Events, or None where the stream is refused in our own words."""
    decoder = codec(protocol).decoder(model="m", id="i", created=1)
    events = []
    try:
        for piece in pieces_of(body, rng):
            events += decoder.feed(piece)
        events += decoder.close()
    except Failure as failure:
        assert failure.kind
        assert failure.message
        events = events or None
    if events is None or rng.random() > 0.05:
        return
    for client in writers:
        encoder = codec(client).encoder(samples.ask(client, stream=True, stream_usage=True))
        try:
            encoder.encode(events)
            encoder.end()
        except Failure as failure:
            assert failure.kind == "upstream"


def fuzz(count, seed):
    rng, seen = random.Random(seed), 0
    writers = ("openai", "anthropic", "bedrock", "invoke")
    while seen < count:
        protocol = "invoke" if rng.random() < 0.4 else "bedrock"
        body, frames = a_stream(rng, protocol)
        survives(body, rng, protocol, writers)
        seen += frames
    return seen


def test_a_slice_of_fuzzed_frames():
    assert fuzz(20_000, seed=20_261_130) >= 20_000


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_million_fuzzed_frames():
    assert fuzz(1_000_000, seed=1) >= 1_000_000


def theirs(body):
    """Frames by botocore's own decoder, up to where it refuses."""
    buffer, out = EventStreamBuffer(), []
    buffer.add_data(body)
    try:
        for message in buffer:
            out.append(message.payload)
    except (ParserError, ValueError, KeyError, struct.error, UnicodeDecodeError):
        return out, True
    return out, False


def ours(body):
    parser, out = eventstream.Parser(), []
    try:
        for at in range(0, len(body), 97):
            out += parser.feed(body[at : at + 97])
    except Failure:
        return out, True
    return out, False


def agree(count, seed):
    rng = random.Random(seed)
    for _ in range(count):
        body, _ = a_stream(rng, "bedrock")
        (wanted, refused), (frames, failed) = theirs(body), ours(body)
        payloads = [frame.payload for frame in frames if frame.kind != "error"]
        if not refused and not failed:
            assert payloads == [payload for payload, frame in zip(wanted, frames, strict=True) if frame.kind != "error"]
        assert failed >= refused or not wanted[len(frames) :]


def test_botocore_reads_the_same_frames():
    """What botocore's decoder takes, ours takes alike; what it refuses, ours refuses."""
    agree(1_500, seed=2)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_botocore_reads_the_same_of_many_frames():
    agree(60_000, seed=3)
