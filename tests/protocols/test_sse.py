"""Server-sent events in any pieces, with any line ends, however long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.core.errors import Failure
from hapenny.protocols import sse

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
    """Sixteen megabytes in small pieces: put together once, not once a piece."""
    piece, parser = b"x" * 4096, sse.Parser()
    assert parser.feed(b"data: ") == []
    for _ in range(4096):
        assert parser.feed(piece) == []
    ((name, data),) = parser.feed(b"\n\n")
    assert (name, len(data)) == (b"", 4096 * 4096)


def test_an_endless_event_is_refused():
    parser = sse.Parser()
    with pytest.raises(Failure) as caught:
        for _ in range(34):
            parser.feed(b"y" * (1 << 20))
    assert caught.value.kind == "upstream"
