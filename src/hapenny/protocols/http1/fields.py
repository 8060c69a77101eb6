"""Field lines (RFC 9110 §5, RFC 9112 §5): read strictly, written safely."""

from __future__ import annotations

import re
from collections.abc import Mapping

FIELDS = 256
"""The most field lines of a message."""

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What no field value may hold (RFC 9110 §5.5); HTAB alone of the control characters may stand in one."""


class Malformed(ValueError):
    """What came is no HTTP/1.1. `status` is the answer that a client of ours gets for it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def fields(lines: list[str]) -> dict[str, str]:
    """Field lines by lower-case names; repeated ones are joined by commas.

    Raises:
        Malformed: a line is none, or there are too many.
    """
    if len(lines) > FIELDS:
        raise Malformed("too many fields", 431)
    read: dict[str, str] = {}
    for line in lines:
        name, value = _LINES.get(line) or field(line)
        read[name] = f"{read[name]}, {value}" if name in read else value
    return read


_LINES: dict[str, tuple[str, str]] = {}
"""Lines read before: most clients say the same about themselves with every request."""
_SECRET = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "cookie", "set-cookie", "x-amz-security-token"}
)


def field(line: str) -> tuple[str, str]:
    """Lower-case name and value of a field line. Folded lines and white space before the colon are refused.

    Raises:
        Malformed: it is none.
    """
    name, colon, value = line.partition(":")
    if not colon or not _NAME.fullmatch(name):
        raise Malformed("no field name")
    if _CONTROL.search(value):
        raise Malformed("a control character in a field")
    pair = name.lower(), value.strip(" \t")
    if len(line) <= 128 and pair[0] not in _SECRET:
        if len(_LINES) >= 2_048:
            _LINES.clear()
        _LINES[line] = pair
    return pair


def sound(name: str, value: str) -> tuple[str, str]:
    """Lower-case name and value of a field that did not come as a line.

    Raises:
        Malformed: one of them could not stand in a line.
    """
    if not _NAME.fullmatch(name) or _CONTROL.search(value):
        raise Malformed("a control character in a field")
    return name.lower(), value.strip(" \t")


def tokens(value: str) -> list[str]:
    """The members of a list of tokens such as `Connection`, in lower case."""
    return [part.strip(" \t").lower() for part in value.split(",")]


_BREAK = re.compile(r"[\r\n\0]")


def written(first: str, headers: Mapping[str, str], more: str = "") -> bytes:
    """A head: its first line, `headers`, and `more` lines that are known to be sound.

    Raises:
        ValueError: a name, a value or the first line could break out of its line.
    """
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    breaks = len(headers)
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text or _BREAK.search(first):
        raise ValueError("a line break where none may be")
    return f"{first}\r\n{more}{text}\r\n".encode("latin-1")
