"""Answers as a client reads them: status line, fields, and where the body ends."""

from __future__ import annotations

import re

from hapenny.protocols.http1 import framing
from hapenny.protocols.http1.fields import Malformed, fields, tokens
from hapenny.protocols.http1.framing import Parser

INTERIM = 16
"""The most informational answers (1xx) before the answer itself."""

_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")


class AnswerParser(Parser):
    """Reads the answer to one request; `ask` gets it ready for the next.

    Strict as the request's side is. An answer with both a coding and a length is read by its coding (RFC 9112 §6.3)
    and ends the connection; one with neither ends with the connection.
    """

    __slots__ = ("_interim", "_without_body", "headers", "reusable", "status")

    def __init__(self) -> None:
        super().__init__()
        self.status = 0
        self.headers: dict[str, str] = {}
        """By lower-case names."""
        self.reusable = False
        """Whether another request may follow on the connection."""
        self._without_body = False
        self._interim = 0

    def ask(self, *, without_body: bool = False) -> None:
        """A request was sent. `without_body`: its answer has none (HEAD)."""
        self.state, self._searched, self._without_body, self._interim = framing.HEAD, 0, without_body, 0
        self.status, self.headers, self.reusable = 0, {}, False

    def head(self, text: str) -> None:
        """Reads status and headers, and how the body ends."""
        lines = text.split("\r\n")
        first = _LINE.fullmatch(lines[0])
        if first is None:
            raise Malformed("no status line")
        del lines[0]
        status, headers = int(first[2]), fields(lines)
        if status < 200:
            self._interim += 1
            if status == 101 or self._interim > INTERIM:
                raise Malformed("an upgrade nobody asked for, or no end of informational answers")
            return
        self.status, self.headers = status, headers
        modern, connection = first[1] == "1", headers.get("connection")
        if connection is None:
            self.reusable = modern
        else:
            said = tokens(connection)
            self.reusable = "close" not in said and (modern or "keep-alive" in said)
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if length is not None:
            self.length(length)
        if coding is not None:
            if not modern:
                raise Malformed("a transfer coding in HTTP/1.0")
            self.chunks(coding)
            if length is not None:
                self.reusable = False
        elif length is None and not (self._without_body or status in (204, 304)):
            self.reusable = False
            self.until_close()
        if self._without_body or status in (204, 304):  # whatever its fields say (RFC 9112 §6.3)
            self.no_body()
