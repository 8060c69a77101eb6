"""Events out of bytes, as the standard reads them, wherever the network cuts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.core.errors import Failure
from hapenny.protocols import sse

PIECES = (
    b"data: a\n", b"data: b\r\n", b"\n", b"\r\n", b"\r", b"event: x\n", b": c\n\n", b"data:z\r\r", b"id: 1\n",
    b"\n\n\n",
)  # fmt: skip


def by_the_standard(stream: bytes) -> list[tuple[bytes, bytes]]:
    """WHATWG HTML, section 9.2.6, line by line."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events, name, data = [], b"", list[bytes]()
    for line in text.split(b"\n")[:-1]:
        if not line:
            if data:
                events.append((name, b"\n".join(data)))
            name, data = b"", []
            continue
        key, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if key == b"data":
            data.append(value)
        elif key == b"event":
            name = value
    return events


def test_any_cut_of_any_stream_is_read_as_the_standard_says() -> None:
    chance = random.Random(1)
    for _ in range(5_000):
        stream = b"\xef\xbb\xbf" * (chance.random() < 0.1)
        stream += b"".join(chance.choice(PIECES) for _ in range(chance.randrange(1, 14))) + b"data: end\n\n"
        places = sorted(chance.randrange(len(stream) + 1) for _ in range(chance.randrange(8)))
        parser, events = sse.Parser(), []
        for start, stop in zip([0, *places], [*places, len(stream)], strict=True):
            events += parser.feed(stream[start:stop])
        assert events == by_the_standard(stream), (stream, places)


def test_the_last_event_may_lack_its_blank_line() -> None:
    parser = sse.Parser()
    assert parser.feed(b"data: a\r\n\r\ndata: b\r") == [(b"", b"a")]
    assert parser.flush() == [(b"", b"b")]
    assert parser.flush() == []


def test_an_event_without_end_is_refused() -> None:
    parser = sse.Parser()
    parser.feed(b"data: ")
    piece = b"x" * (1 << 20)
    with pytest.raises(Failure, match="16 MiB"):
        for _ in range(17):
            assert parser.feed(piece) == []


LINES = st.lists(
    st.sampled_from([b"data: a", b"data:b", b"data", b"event: e", b"id: 7", b": note", b"", b"error: x", b"retry: 9"]),
    max_size=24,
)


def frames(pieces):
    parser = sse.Parser()
    return [frame for piece in pieces for frame in parser.feed(piece)] + parser.flush()


@given(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(0, 300), max_size=12), st.booleans())
def test_pieces_do_not_matter(lines, ending, cuts, marked):
    body = (b"\xef\xbb\xbf" if marked else b"") + ending.join(lines) + ending
    places = sorted(min(cut, len(body)) for cut in cuts)
    pieces = [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]
    whole = frames([body])
    assert frames(pieces) == whole
    assert frames([body[at : at + 1] for at in range(len(body))]) == whole


@given(LINES)
def test_line_ends_mean_the_same(lines):
    assert frames([b"\r\n".join(lines) + b"\r\n"]) == frames([b"\n".join(lines) + b"\n"])
    assert frames([b"\r".join(lines) + b"\r"]) == frames([b"\n".join(lines) + b"\n"])


def test_a_long_event_costs_what_it_is_long():
    """Four megabytes in small pieces: put together once, not once a piece."""
    piece, parser = b"x" * 4096, sse.Parser()
    assert parser.feed(b"data: ") == []
    for _ in range(1024):
        assert parser.feed(piece) == []
    ((name, data),) = parser.feed(b"\n\n")
    assert (name, len(data)) == (b"", 1024 * 4096)


def test_a_piece_that_is_one_plain_event_is_read_as_the_standard_says() -> None:
    """However the bytes before it were cut; what is anything else is left to `feed`, and nothing of it is lost."""
    chance, plain = random.Random(2), 0
    for _ in range(5_000):
        pieces = [
            b"data: a\n\n" if chance.random() < 0.5 else b"".join(chance.choices(PIECES, k=chance.randint(1, 3)))
            for _ in range(4)
        ]
        parser, events = sse.Parser(), []
        for piece in pieces:
            only = parser.only(piece)
            plain += only is not None
            events += parser.feed(piece) if only is None else [(b"", only)]
        assert events == by_the_standard(b"".join(pieces))
    assert plain > 1_000
