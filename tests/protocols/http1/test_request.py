"""Requests one by one: what RFC 9112 lets a server refuse, and what it has to take."""

import pytest

from tests.protocols.http1.oracles import by_h11, by_llhttp, ours

LINE = b"GET / HTTP/1.1\r\n"
HOST = b"Host: h\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    "no method": b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no target": b"GET HTTP/1.1\r\n" + HOST + b"\r\n",
    "no version": b"GET /\r\n" + HOST + b"\r\n",
    "two spaces in the line": b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab in the line": b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space behind the version": b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
    "version 2": b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
    "version 1.2": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "version 1.10": b"GET / HTTP/1.10\r\n" + HOST + b"\r\n",
    "a version in small letters": b"GET / http/1.1\r\n" + HOST + b"\r\n",
    "a delimiter in the method": b"GE(T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "an 8-bit method": b"G\xc9T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method without end": b"A" * 40 + b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "line feeds alone": b"GET / HTTP/1.1\nHost: h\n\n",
    "carriage returns alone": b"GET / HTTP/1.1\rHost: h\r\r",
    "a line feed within a value": LINE + HOST + b"X: a\nContent-Length: 3\r\n\r\nabc",
    "a carriage return within a value": LINE + HOST + b"X: a\rb\r\n\r\n",
    "NUL within a value": LINE + HOST + b"X: a\0b\r\n\r\n",
    "DEL within a value": LINE + HOST + b"X: a\x7fb\r\n\r\n",
    "a folded line": LINE + HOST + b" folded: 1\r\n\r\n",
    "a folded line with a tab": LINE + HOST + b"\tfolded: 1\r\n\r\n",
    "white space before the first field": b"GET / HTTP/1.1\r\n Host: h\r\n\r\n",
    "white space before the colon": LINE + HOST + b"X : 1\r\n\r\n",
    "a vertical tab in a name": POST + b"Transfer-Encoding\x0b: chunked\r\nContent-Length: 3\r\n\r\nabc",
    "a vertical tab before a value": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "an 8-bit name": LINE + HOST + b"X\xe9: 1\r\n\r\n",
    "an empty name": LINE + HOST + b": 1\r\n\r\n",
    "a line without a colon": LINE + HOST + b"nonsense\r\n\r\n",
    "no host": LINE + b"\r\n",
    "two hosts": LINE + HOST + b"Host: g\r\n\r\n",
    "two equal hosts": LINE + HOST + HOST + b"\r\n",
    "a host with a path": LINE + b"Host: h/x\r\n\r\n",
    "a host with a user": LINE + b"Host: a@h\r\n\r\n",
    "a host list": LINE + b"Host: h, g\r\n\r\n",
    "a length and a coding": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding and a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "two equal lengths": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "a signed length": POST + b"Content-Length: +3\r\n\r\nabc",
    "a negative length": POST + b"Content-Length: -3\r\n\r\nabc",
    "a length in hex": POST + b"Content-Length: 0x3\r\n\r\nabc",
    "a length with an underscore": POST + b"Content-Length: 1_0\r\n\r\nabc",
    "an empty length": POST + b"Content-Length:\r\n\r\nabc",
    "a length that no number holds": POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nabc",
    "another coding": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "another coding before chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked in two fields": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "chunked in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "an empty coding": POST + b"Transfer-Encoding:\r\n\r\n",
    "a coding in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size with a sign": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "a chunk size below zero": CHUNKED + b"-1\r\n\r\n",
    "a chunk size in C": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk size with an underscore": CHUNKED + b"0_3\r\nabc\r\n0\r\n\r\n",
    "an empty chunk size": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "a chunk size of 20 digits": CHUNKED + b"0" * 20 + b"3\r\nabc\r\n0\r\n\r\n",
    "white space before a chunk size": CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n",
    "white space behind a chunk size": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
    "a chunk without a line end": CHUNKED + b"3\r\nabc0\r\n\r\n",
    "a chunk with a line feed alone": CHUNKED + b"3\nabc\n0\n\n",
    "a line feed in an extension": CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "a carriage return in an extension": CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "NUL in an extension": CHUNKED + b"3;a=\0\r\nabc\r\n0\r\n\r\n",
    "an extension without a name": CHUNKED + b"3;=b\r\nabc\r\n0\r\n\r\n",
    "an open string in an extension": CHUNKED + b'3;a="b\r\nabc\r\n0\r\n\r\n',
    "extensions without end": CHUNKED + b"".join(b"1;a=%b\r\nx\r\n" % (b"b" * 1_000) for _ in range(20)) + b"0\r\n\r\n",
    "a trailer that is none": CHUNKED + b"0\r\nnonsense\r\n\r\n",
    "a folded trailer": CHUNKED + b"0\r\nT: 1\r\n x\r\n\r\n",
    "a length as a trailer": CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n",
    "NUL in a trailer": CHUNKED + b"0\r\nT: \0\r\n\r\n",
    "trailers without end": CHUNKED + b"0\r\n" + b"T: 1\r\n" * 12_000,
    "a head without end": LINE + HOST + b"X: " + b"x" * 70_000,
    "fields without end": LINE + HOST + b"X: 1\r\n" * 300 + b"\r\n",
}
TAKEN = {
    "the least": (LINE + HOST + b"\r\n", b""),
    "an empty host": (LINE + b"Host:\r\n\r\n", b""),
    "no host in HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n", b""),
    "an address as host": (LINE + b"Host: [::1]:8790\r\n\r\n", b""),
    "empty values": (LINE + HOST + b"X:\r\nY: \r\n\r\n", b""),
    "8-bit values": (LINE + HOST + b"X: \xc3\xa9\r\n\r\n", b""),
    "tabs in values": (LINE + HOST + b"X: a\tb\r\n\r\n", b""),
    "odd names": (LINE + HOST + b"!#$%&'*+-.^_`|~1a: 1\r\n\r\n", b""),
    "a length": (POST + b"Content-Length: 3\r\n\r\nabc", b"abc"),
    "a length with zeros": (POST + b"Content-Length: 0003\r\n\r\nabc", b"abc"),
    "no body": (POST + b"\r\n", b""),
    "chunks": (CHUNKED + b"3\r\nabc\r\n002\r\nde\r\n0\r\n\r\n", b"abcde"),
    "chunks in capitals": (POST + b"TRANSFER-ENCODING: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "extensions": (CHUNKED + b'3;a;b=c;d="e \\" f"\r\nabc\r\n0;g\r\n\r\n', b"abc"),
    "trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nT: 1\r\nU: 2\r\n\r\n", b"abc"),
    "a name that looks like a coding": (POST + b"Transfer_Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_malformed_is_no_request(name: str) -> None:
    reading = ours(REFUSED[name] + b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
    if name == "carriage returns alone":  # a head that has not ended yet, and never will
        assert reading.messages == []
        return
    assert (reading.messages, bool(reading.refused)) == ([], True)


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_well_formed_is_read_as_others_read_it(name: str) -> None:
    data, body = TAKEN[name]
    reading = ours(data)
    assert [message.body for message in reading.messages] == [body]
    for other in (by_h11(data), by_llhttp(data)):
        assert reading.messages == other.messages


def test_how_long_the_head_is_says_the_status() -> None:
    from hapenny.protocols.http1.fields import Malformed
    from hapenny.protocols.http1.request import RequestParser

    for name, status in (("a head without end", 431), ("fields without end", 431), ("no host", 400)):
        with pytest.raises(Malformed) as error:
            RequestParser().feed(REFUSED[name])
        assert error.value.status == status


@pytest.mark.parametrize(
    ("line", "field", "keep"),
    [
        ("HTTP/1.1", "", True),
        ("HTTP/1.1", "Connection: close\r\n", False),
        ("HTTP/1.1", "Connection: Close, x\r\n", False),
        ("HTTP/1.1", "Connection: x-close\r\n", True),
        ("HTTP/1.0", "", False),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", True),
        ("HTTP/1.0", "Connection: keep-alive, close\r\n", False),
    ],
)
def test_whether_another_request_may_follow(line: str, field: str, keep: bool) -> None:
    from hapenny.protocols.http1.request import RequestParser

    parser = RequestParser()
    parser.feed(f"GET / {line}\r\nHost: h\r\n{field}\r\n".encode())
    assert parser.keep == keep


def test_a_head_that_comes_again_is_read_as_the_first_time() -> None:
    heads = [
        POST + b"Content-Length: 3\r\n\r\nabc",
        CHUNKED + b"3\r\nabc\r\n0\r\n\r\n",
        LINE + HOST + b"X: 1\r\n\r\n",
        LINE + HOST + b"X: 2\r\n\r\n",
        b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n",
    ]
    for first in heads:
        for second in heads:
            alone = [by_llhttp(head).messages[0] for head in (first, first, second, first)]
            assert ours(first + first + second + first).messages == alone


def test_fields_of_one_request_are_not_those_of_the_next() -> None:
    from hapenny.protocols.http1.request import RequestParser

    parser = RequestParser()
    parser.feed(LINE + HOST + b"\r\n")
    parser.headers["x-own"] = "1"
    parser.next()
    parser.feed(LINE + HOST + b"\r\n")
    assert dict(parser.headers) == {"host": "h"}
