"""Lines of JSON that prove themselves: a value between two seals.

    [SEAL,VALUE,SEAL]      where SEAL is "NAME",LENGTH,"CRC32 of the value","CRC32 of the seal so far"

A seal says whose line it is, how long its value, and that both are as they were written. So one damaged byte costs one
line at most, wherever it falls: in the value it is still known whose is lost; in one seal the other one holds, and the
length leads on to the next line whatever became of the end of this one. A line that a crash cut off is told from a
damaged one: it is the last, and shorter than its length. Lines of version 0.1, which are the value alone and prove
nothing, are read, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, unquote
from zlib import crc32

import msgspec

_LONGEST_SEAL = 65_536
"""Bytes: that of an id of 512 characters, each of up to twelve bytes, is far below."""


class Line(msgspec.Struct, frozen=True):
    """One line of a file."""

    name: str | None
    """What it was written under; None: that cannot be read, or the line is an old one."""
    json: bytes | None
    """Its value; None: that is damaged."""


class Read(msgspec.Struct, frozen=True):
    """A file's lines, and how many of its bytes they are: what is left was cut off by a crash."""

    lines: list[Line]
    whole: int


class _Seal(msgspec.Struct, frozen=True):
    name: str
    length: int
    checksum: int
    size: int
    """Bytes of the seal itself."""

    def line(self, value: bytes) -> Line:
        """The line of a value under this seal."""
        return Line(self.name, value if crc32(value) == self.checksum else None)


def line(name: str, value: Any) -> bytes:
    """`value` as a line."""
    payload = msgspec.json.encode(value)
    said = f'"{quote(name, safe="")}",{len(payload)},"{crc32(payload):08x}"'.encode()
    seal = b'%b,"%08x"' % (said, crc32(said))
    return b"[%b,%b,%b]\n" % (seal, payload, seal)


def lines(named: Iterable[tuple[str, Any]]) -> bytes:
    """Several lines, one a name."""
    return b"".join(line(name, value) for name, value in named)


def read(data: bytes) -> Read:
    """The lines of a file. Never raises."""
    lines: list[Line] = []
    at = 0
    for each, end in _walk(data):
        lines.append(each)
        at = end
    return Read(lines, at)


def _walk(data: bytes) -> Iterator[tuple[Line, int]]:
    """Lines, each with where it ends; what a crash cut off is left out."""
    at = 0
    while at < len(data):
        seal = _first_seal(data, at)
        if seal is not None:
            begin = at + 1 + seal.size + 1
            at = begin + seal.length + 1 + seal.size + 2
            if at > len(data):
                return
            yield seal.line(data[begin : begin + seal.length]), at
            continue
        newline = data.find(b"\n", at)
        if newline < 0:
            if not at and _is_json(data):  # an old file of one value
                yield Line(None, data), len(data)
            return
        yield _salvaged(data[at:newline]), newline + 1
        at = newline + 1


def _first_seal(data: bytes, at: int) -> _Seal | None:
    """The seal at the beginning of a line, if it proves itself."""
    if data[at : at + 2] != b'["':
        return None
    place = at
    for _ in range(4):
        place = data.find(b",", place + 1, at + _LONGEST_SEAL)
        if place < 0:
            return None
    return _seal(data[at + 1 : place])


def _salvaged(piece: bytes) -> Line:
    """What a line whose first seal is damaged still says by its last one, or an old line."""
    parts = piece.removesuffix(b"]").rsplit(b",", 4)
    seal = _seal(b",".join(parts[1:]))
    if seal is not None and len(parts[0]) >= seal.length:
        return seal.line(parts[0][len(parts[0]) - seal.length :])
    return Line(None, piece if piece[:1] == b"{" and _is_json(piece) else None)


def _seal(text: bytes) -> _Seal | None:
    """What a seal says; None: it does not prove itself."""
    said, _, proof = text.rpartition(b",")
    if proof != b'"%08x"' % crc32(said):
        return None
    name, length, checksum = said.split(b",")
    return _Seal(unquote(name[1:-1].decode("ascii")), int(length), int(checksum[1:-1], 16), len(text))


def _is_json(piece: bytes) -> bool:
    try:
        msgspec.json.decode(piece)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
