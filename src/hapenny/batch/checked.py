"""Lines that prove themselves: JSON behind a name, a length and two checksums.

    NAME LENGTH CRC32-OF-JSON CRC32-OF-HEAD JSON

The head says whose line it is and how long, the length where the next one begins. So one damaged byte costs one line at
most, wherever it falls: in the JSON it is still known whose line is lost; in the head the JSON still proves itself; at
the end of the line the length leads on. A line that was cut off by a crash is told from one that was damaged: it is the
last one, and shorter than its length. Lines of version 0.1, which begin with a brace and prove nothing, are read, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, unquote
from zlib import crc32

import msgspec


class Line(msgspec.Struct, frozen=True):
    """One line of a file."""

    name: str | None
    """What it was written under; None: that cannot be read, or the line is an old one."""
    json: bytes | None
    """What it says; None: that is damaged."""


class Read(msgspec.Struct, frozen=True):
    """A file's lines, and how many of its bytes they are: what is left was cut off by a crash."""

    lines: list[Line]
    whole: int


def line(name: str, value: Any) -> bytes:
    """`value` as a line."""
    payload = msgspec.json.encode(value)
    head = f"{quote(name, safe='')} {len(payload)} {crc32(payload):08x}".encode()
    return b"%b %08x %b\n" % (head, crc32(head), payload)


def lines(named: Iterable[tuple[str, Any]]) -> bytes:
    """Several lines, one a name."""
    return b"".join(line(name, value) for name, value in named)


def read(data: bytes) -> Read:
    """The lines of a file. Never raises."""
    found: list[Line] = []
    at = 0
    for each, end in _walk(data):
        found.append(each)
        at = end
    return Read(found, at)


def _walk(data: bytes) -> Iterator[tuple[Line, int]]:
    """Lines, each with where it ends; what a crash cut off is left out."""
    at = 0
    while at < len(data):
        if data[at] not in b"{[":
            head = _head(data, at)
            if head is not None:
                name, begin, length, checksum = head
                end = begin + length
                if end > len(data):
                    return
                payload = data[begin:end]
                at = min(end + 1, len(data))
                yield Line(name, payload if crc32(payload) == checksum else None), at
                continue
        newline = data.find(b"\n", at)
        if newline < 0:
            return
        yield _salvaged(data[at:newline]), newline + 1
        at = newline + 1


def _head(data: bytes, at: int) -> tuple[str, int, int, int] | None:
    """Name, where the JSON begins, its length and its checksum; None for a head that does not prove itself."""
    spaces: list[int] = []
    place = at
    while len(spaces) < 4:
        place = data.find(b" ", place, at + 65_536)
        if place < 0:
            return None
        spaces.append(place)
        place += 1
    head, checked = data[at : spaces[2]], data[spaces[2] + 1 : spaces[3]]
    if checked != b"%08x" % crc32(head):
        return None
    name, length, checksum = head.split(b" ")
    return unquote(name.decode("ascii")), spaces[3] + 1, int(length), int(checksum, 16)


def _salvaged(piece: bytes) -> Line:
    """What a line whose head is damaged, or an old line, still says."""
    if piece[:1] in (b"{", b"["):
        try:
            msgspec.json.decode(piece)
        except (msgspec.DecodeError, RecursionError):
            return Line(None, None)
        return Line(None, piece)
    parts = piece.split(b" ", 4)
    if len(parts) == 5 and parts[2] == b"%08x" % crc32(parts[4]):
        return Line(None, parts[4])
    return Line(None, None)
