"""Requests as a server reads them: request line, fields that frame the message, what may follow it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple, overload

from hapenny.protocols.http1 import framing
from hapenny.protocols.http1 import target as targets
from hapenny.protocols.http1.fields import Malformed, fields, tokens
from hapenny.protocols.http1.framing import Parser
from hapenny.protocols.http1.target import Target

_LINE = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([\x21-\x7e]+) HTTP/1\.([01])")


_SHORT = 256
"""The longest target and host that are remembered."""
_USUAL = 4_096
"""The longest head that a connection remembers."""
_read = lru_cache(1024)(targets.read)
_sound_host = lru_cache(256)(targets.sound_host)


class Headers(dict[str, str]):
    """Fields by lower-case names, looked up without regard to case."""

    __slots__ = ()

    @overload  # type: ignore[override]
    def get(self, name: str, default: None = None, /) -> str | None: ...

    @overload
    def get(self, name: str, default: str, /) -> str: ...

    def get(self, name: str, default: str | None = None, /) -> str | None:
        """The field `name`, or `default`."""
        return dict.get(self, name.lower(), default)

    def __getitem__(self, name: str) -> str:
        return dict.__getitem__(self, name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and dict.__contains__(self, name.lower())


class Head(NamedTuple):
    """What the text of a head says, before any of it is acted upon."""

    method: str
    target: Target
    headers: Headers
    modern: bool
    keep: bool
    expects: bool


def read_head(text: str) -> Head:
    """Reads a request's head (without its last blank line).

    Raises:
        Malformed: it is none.
    """
    lines = text.split("\r\n")
    first = _LINE.fullmatch(lines[0])
    if first is None:
        raise Malformed("no request line")
    del lines[0]
    headers = Headers(fields(lines))
    method, modern = first[1], first[3] == "1"
    host = dict.get(headers, "host")
    if host is None:
        if modern:
            raise Malformed("no host")
        host = ""
    elif not (_sound_host if len(host) <= _SHORT else targets.sound_host)(host):
        raise Malformed("no sound host")
    target = (_read if len(first[2]) <= _SHORT else targets.read)(method, first[2], host)
    connection, keep = dict.get(headers, "connection"), modern
    if connection is not None:
        said = tokens(connection)
        keep = "close" not in said and (modern or "keep-alive" in said)
    expects = modern and dict.get(headers, "expect", "").lower() == "100-continue"
    return Head(method, target, headers, modern, keep, expects)


class RequestParser(Parser):
    """Reads one request after the other. When a head is there, `begun` is called; the body follows.

    Strict where RFC 9112 lets a server be: no lenient line ends, no folded lines, no white space before a colon, one
    Host in HTTP/1.1 and a sound one, `chunked` alone as coding and never with a length or in HTTP/1.0, one length.
    """

    __slots__ = ("_known", "announced", "bodiless", "expects", "headers", "keep", "method", "modern", "target")

    def __init__(self) -> None:
        super().__init__()
        self.state = framing.HEAD
        self._known: tuple[str, Head] | None = None
        """The last head, as text and as it was read."""
        self.method = ""
        self.target = Target("/", "/", "", False)
        self.headers = Headers()
        self.modern = True
        """Whether the client speaks HTTP/1.1 and not 1.0."""
        self.keep = True
        """Whether another request may follow the one that is read."""
        self.bodiless = False
        """Whether answers have no body (HEAD)."""
        self.expects = False
        """Whether the client waits for `100 Continue` before it sends the body."""
        self.announced: int | None = None
        """The length of the body, where the head says one; 0: there is none."""

    def begun(self) -> None:
        """A head was read; the request's fields stand in this object."""

    def head(self, text: str) -> None:
        """Reads a request's head. One that comes again on a connection, as most do, is read once."""
        while text.startswith("\r\n"):
            text = text[2:]  # RFC 9112 §2.2: blank lines before a request
        if not text:
            return
        known = self._known
        if known is not None and known[0] == text:
            read = known[1]
        else:
            read = read_head(text)
            self._known = (text, read) if len(text) <= _USUAL else None
        headers = self.headers = Headers(read.headers)
        self.method, self.target, modern = read.method, read.target, read.modern
        self.modern, self.keep, self.bodiless = modern, read.keep, read.method == "HEAD"
        coding, length = dict.get(headers, "transfer-encoding"), dict.get(headers, "content-length")
        if coding is not None:
            if length is not None:
                raise Malformed("two lengths")
            if not modern:
                raise Malformed("a transfer coding in HTTP/1.0")
            self.chunks(coding)
            self.announced = None
        elif length is not None:
            self.announced = self.length(length)
        else:
            self.no_body()
            self.announced = 0
        self.expects = read.expects and self.state != framing.DONE
        self.begun()
