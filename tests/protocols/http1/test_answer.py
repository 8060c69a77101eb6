"""Answers as h11's client reads them, byte for byte; what is ambiguous is refused."""

import random

import h11
import pytest

from hapenny.protocols.http1 import framing
from hapenny.protocols.http1.answer import AnswerParser
from hapenny.protocols.http1.fields import Malformed


def ours(data: bytes, ends: bool) -> tuple[int, bytes] | None:
    """Status and body of a whole answer; None: there is none."""
    parser = AnswerParser()
    parser.ask()
    try:
        more = parser.feed(data)
        while more:
            more = parser.advance()
    except Malformed:
        return None
    if parser.state == framing.DONE or (parser.state == framing.CLOSE and ends):
        return parser.status, parser.take() if parser.out else b""
    return None


def by_h11(data: bytes, ends: bool) -> tuple[int, bytes] | None:
    """The same by h11."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 17)
    connection.send(h11.Request(method="POST", target="/", headers=[("host", "h"), ("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    if ends:
        connection.receive_data(b"")
    status, body = 0, b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return status, body
            elif event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return None
    except h11.RemoteProtocolError:
        return None


_LINES = (
    b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.0 200 OK",
    b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/2 200 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1  200 OK",
    b"http/1.1 200 OK", b"HTTP/1.1 2000 OK", b"ICY 200 OK", b"HTTP/1.1 200 O\0K", b"HTTP/1.1 404 N\xe9",
)  # fmt: skip
_FIELDS = (
    b"Content-Length: 3", b"Content-Length: 3", b"Content-Length: 0", b"Content-Length: -3", b"Content-Length: 3, 3",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"X: 1", b"X : 1",
    b"X: a\0", b"X: a\rb", b" X: 1", b"Connection: close", b"X\x0b: 1", b"Set-Cookie: a=b",
)  # fmt: skip
_BODIES = (
    b"abc", b"abc", b"", b"3\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"3\r\nab", b"ab",
    b"3;a=b\r\nabc\r\n0\r\nT: 1\r\n\r\n", b"x\r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n",
)  # fmt: skip


def test_answers_are_read_as_h11_reads_them_or_refused() -> None:
    chance = random.Random(3)
    whole = 0
    for _ in range(10_000):
        interim = b"HTTP/1.1 100 Continue\r\n\r\n" if chance.random() < 0.1 else b""
        fields = b"".join(chance.choice(_FIELDS) + b"\r\n" for _ in range(chance.choice((0, 1, 1, 2))))
        data = interim + chance.choice(_LINES) + b"\r\n" + fields + b"\r\n" + chance.choice(_BODIES)
        ends = chance.random() < 0.5
        mine, other = ours(data, ends), by_h11(data, ends)
        whole += mine is not None
        if mine is not None:
            assert mine == other, (data, ends)
    assert whole > 1_000


@pytest.mark.parametrize("number", [16, 17])
def test_informational_answers_have_an_end(number: int) -> None:
    data = b"HTTP/1.1 102 Processing\r\n\r\n" * number + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    assert (ours(data, False) is None) == (number > 16)


def test_a_coding_in_an_old_answer_is_refused() -> None:
    assert ours(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False) is None


def test_a_coding_beside_a_length_is_read_and_nothing_follows() -> None:
    parser = AnswerParser()
    parser.ask()
    parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert (parser.state, parser.take(), parser.reusable) == (framing.DONE, b"abc", False)
