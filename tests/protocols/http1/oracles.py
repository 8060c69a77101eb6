"""Three readings of the same bytes: ours, h11's, llhttp's (by httptools). And bytes to read: a grammar, bent."""

from __future__ import annotations

import random
from typing import NamedTuple

import h11
import httptools

from hapenny.protocols.http1 import framing
from hapenny.protocols.http1.fields import Malformed
from hapenny.protocols.http1.request import RequestParser


class Message(NamedTuple):
    """A whole request as a parser understood it."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes


class Reading(NamedTuple):
    """Whole requests in order, and why reading stopped: "" where more bytes may follow."""

    messages: list[Message]
    refused: str


class _Ours(RequestParser):
    def begun(self) -> None:
        """Nothing to do: fields are read when the body is there."""


def _joined(pairs: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name == "transfer-encoding":  # h11 hands it over in lower case
            value = value.lower()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return tuple(sorted(fields.items()))


def ours(*pieces: bytes) -> Reading:
    """Our own parser's."""
    parser, messages = _Ours(), []
    try:
        for piece in pieces:
            more = parser.feed(piece)
            while True:
                if parser.state == framing.DONE:
                    body = parser.take() if parser.out else b""
                    fields = _joined(list(parser.headers.items()))
                    messages.append(Message(parser.method, parser.target.raw, fields, body))
                    if not parser.keep:
                        return Reading(messages, "closed")
                    parser.next()
                elif not more:
                    break
                more = parser.advance()
                if not more and parser.state != framing.DONE:
                    break
    except Malformed as error:
        return Reading(messages, str(error))
    return Reading(messages, "")


def _path(target: str) -> str:
    """An absolute target as a server of that host reads it."""
    if target.startswith("http://h/"):
        return target.removeprefix("http://h")
    return target


def by_h11(data: bytes) -> Reading:
    """That of h11."""
    connection, messages = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 17), []
    connection.receive_data(data)
    head, body = None, b""
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                if event is h11.NEED_DATA:
                    return Reading(messages, "")
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    return Reading(messages, "closed")
                connection.start_next_cycle()
            elif isinstance(event, h11.Request):
                head, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                fields = _joined([(name.decode(), value.decode("latin-1")) for name, value in head.headers])
                messages.append(Message(head.method.decode(), _path(head.target.decode("latin-1")), fields, body))
                if connection.our_state is h11.SEND_RESPONSE:
                    connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                    connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    return Reading(messages, "closed")
                connection.start_next_cycle()
            else:
                return Reading(messages, "closed")
    except h11.RemoteProtocolError as error:
        return Reading(messages, str(error) or "refused")


class _Collect:
    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.target, self.fields, self.body = b"", [], b""
        self.parser: httptools.HttpRequestParser | None = None

    def on_message_begin(self) -> None:
        self.target, self.fields, self.body = b"", [], b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        self.head = tuple(self.fields)

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        assert self.parser is not None
        method, target = self.parser.get_method().decode(), _path(self.target.decode("latin-1"))
        self.messages.append(Message(method, target, _joined(list(self.head)), self.body))


def by_llhttp(data: bytes) -> Reading:
    """That of llhttp."""
    collect = _Collect()
    parser = collect.parser = httptools.HttpRequestParser(collect)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return Reading(collect.messages, "upgrade")
    except httptools.HttpParserError as error:
        return Reading(collect.messages, str(error) or "refused")
    return Reading(collect.messages, "")


# -- bytes to read ---------------------------------------------------------------------------------------------------

_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "get", "P@ST", "PO ST", "", "M-SEARCH")
_TARGETS = (
    "/", "/v1/messages", "/a?b=c&d=%2F", "/model/arn%3Aaws%2Fx/converse", "*", "http://h/abs", "http://other/abs",
    "@evil:80/x", "//evil/x", "/a/../b", "/a/%2e%2e/b", "/a\\b", "/a b", "/a\tb", "/\x7f", "/é", "/%00", "/%zz", "/a#b",
    "h:80", "", "/./x", "/x/.", "/..", "/%2fx", "/a%0d%0ab",
)  # fmt: skip
_VERSIONS = (
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "http/1.1",
    "HTTP/1.10",
    "HTTP/1.1 ",
    "HTTP/11",
)
_ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r\n")
_FIELDS = (
    "Host: h", "Host: h", "host: h", "Host: h, g", "Host:", "Host: a b", "Host: h@g", "Host: [::1]:80", "Host: h:99",
    "X: 1", "X:1", "X: \t1 \t", "X : 1", " X: 1", "X\x0b: 1", "X: a\x00b", "X: a\rb", "X: a\x7fb", "X: é", "X: a\tb",
    "\x80: 1", "X;: 1", ": 1", "X", "X: " + "y" * 300, "Accept: a, b", "Cookie: a=b",
    "Content-Length: 3", "Content-Length: 3", "Content-Length: 03", "Content-Length: +3", "Content-Length: 3, 3",
    "Content-Length: -1", "Content-Length: 0x3", "Content-Length: 3 ", "Content-Length: ", "Content-Length: 3_0",
    "Content-Length: 99999999999999999999", "Content-Length\x0b: 3", "Content-Length: 0", "Content-Length: ٣",
    "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", "Transfer-Encoding: Chunked",
    "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: identity",
    "Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding:\x0bchunked",
    "Transfer-Encoding\x0b: chunked", "Transfer-Encoding: chunked;q=1", "Transfer_Encoding: chunked",
    "Connection: close", "Connection: keep-alive", "Connection: close, X", "Connection: upgrade",
    "Expect: 100-continue", "Trailer: T", "TE: trailers",
)  # fmt: skip
_SIZES = (
    b"3", b"3", b"03", b"0003", b"3;a", b"3;a=b", b'3;a="b c"', b'3;a="b\\"c"', b"3 ;a", b"3; a", b"3 ", b" 3", b"3;",
    b"3;a=\x00", b"3;a\rb", b"3;a\nb", b"+3", b"-3", b"0x3", b"3_0", b"", b"g", b"fffffffffffffffff", b"3\x0b",
    b"3,a", b'3;a="b', b"3;;",
)  # fmt: skip
_TRAILERS = (
    b"",
    b"",
    b"",
    b"T: 1\r\n",
    b"T : 1\r\n",
    b"Content-Length: 3\r\n",
    b"T: a\x00\r\n",
    b"x\r\n",
    b" T: 1\r\n",
    b"T: 1\n",
)


def written(chance: random.Random) -> bytes:
    """One to three requests in a row, most of them sound in most places."""
    out = b""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        out += _one(chance)
    for _ in range(chance.choice((0, 0, 0, 0, 1, 2))):
        out = _bent(out, chance)
    return out


def _one(chance: random.Random) -> bytes:
    end = b"\r\n" if chance.random() < 0.93 else chance.choice(_ENDS)
    parts = ((("GET", "POST"), _METHODS), (("/", "/v1/messages"), _TARGETS), (("HTTP/1.1",), _VERSIONS))
    line = " ".join(chance.choice(odd if chance.random() < 0.1 else usual) for usual, odd in parts)
    fields = ["Host: h"] if chance.random() < 0.95 else []
    fields += [chance.choice(_FIELDS) for _ in range(chance.choice((0, 0, 0, 1, 1, 2)))]
    body = b""
    kind = chance.random()
    if kind < 0.25:
        fields.append("Content-Length: 3")
        body = b"abc"
    elif kind < 0.55:
        fields.append("Transfer-Encoding: chunked")
        for _ in range(chance.choice((0, 1, 2))):
            size = chance.choice(_SIZES) if chance.random() < 0.3 else b"3"
            body += size + end + b"abc" + (b"\r\n" if chance.random() < 0.95 else chance.choice((b"", b"\n", b"x")))
        last = b"0" if chance.random() < 0.9 else chance.choice((b"00", b"0;a=b", b"0 ", b"-0", b""))
        body += last + b"\r\n" + chance.choice(_TRAILERS) + b"\r\n"
    if chance.random() < 0.1:
        body = b"abc"
    chance.shuffle(fields)
    head = b"".join(text.encode("latin-1", "replace") + end for text in (line, *fields)) + end
    return (b"\r\n" if chance.random() < 0.05 else b"") + head + body


def _bent(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    match chance.randrange(5):
        case 0:
            return data[:at] + bytes([chance.choice(b'\r\n\0 \t:;,\x0b\x7f\x80"')]) + data[at:]
        case 1:
            return data[:at] + data[at + 1 :]
        case 2:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        case 3:
            return data[:at]
        case _:
            return data[:at] + data[max(0, at - chance.randrange(20)) : at] + data[at:]
