"""The binary framing of Bedrock's streams (application/vnd.amazon.eventstream).

A frame, big-endian: total length u32, headers length u32, CRC-32 of these eight bytes, headers, payload, CRC-32 of
everything before it. A header: name length u8, name, value type u8, value; only strings (type 7, length u16) are
written here, all ten types are read over. The header bytes of an event type never change, so they are made once.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import msgspec

from hapenny.core.errors import Failure

CONTENT_TYPE = "application/vnd.amazon.eventstream"
LIMIT = 32 << 20
"""Bytes of one frame."""
HEADER_BYTES = 128 << 10
"""Bytes of its headers; AWS allows no more."""
_REMEMBERED = 1_024
"""The longest header bytes whose names are remembered."""

_PRELUDE = struct.Struct(">III")
_LENGTHS = struct.Struct(">II")
_U32 = struct.Struct(">I")
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


class Frame(NamedTuple):
    """One message: `kind` is event, exception or error; `name` the event, exception or error code; `raw` all bytes. The
    payload of an error is its message, which stands in a header, as the body of an exception."""

    kind: str
    name: str
    payload: bytes
    raw: bytes


@lru_cache(maxsize=64)
def event_headers(name: str, content_type: str = "application/json") -> bytes:
    """The header bytes of an event."""
    return headers({":event-type": name, ":content-type": content_type, ":message-type": "event"})


@lru_cache(maxsize=64)
def exception_headers(name: str) -> bytes:
    """The header bytes of an exception."""
    return headers({":exception-type": name, ":content-type": "application/json", ":message-type": "exception"})


def headers(values: dict[str, str]) -> bytes:
    """Header bytes of string values."""
    out = []
    for name, value in values.items():
        key, text = name.encode(), value.encode()
        out.append(bytes((len(key),)) + key + b"\x07" + len(text).to_bytes(2, "big") + text)
    return b"".join(out)


def frame(header: bytes, payload: bytes) -> bytes:
    """One frame around `payload`."""
    size = len(header)
    lengths = _LENGTHS.pack(16 + size + len(payload), size)
    checked = crc32(lengths)
    head = b"%b%b%b%b" % (lengths, _U32.pack(checked), header, payload)
    return head + _U32.pack(crc32(head))


def event(name: str, payload: bytes) -> bytes:
    """One event frame."""
    return frame(event_headers(name), payload)


@lru_cache(maxsize=256)
def _names(header: bytes) -> tuple[str, str, str]:
    values: dict[str, str] = {}
    place, end = 0, len(header)
    try:
        while place < end:
            size = header[place]
            name = header[place + 1 : place + 1 + size].decode()
            place += 1 + size
            kind = header[place]
            place += 1
            if kind in (6, 7):
                length = int.from_bytes(header[place : place + 2], "big")
                place += 2
                if place + length > end:
                    raise ValueError
                if kind == 7:
                    values[name] = header[place : place + length].decode()
                place += length
            else:
                place += _SIZES[kind]
    except (IndexError, KeyError, ValueError):
        raise Failure("upstream", "The provider's stream holds a frame with broken headers.") from None
    kind_ = values.get(":message-type", "event")
    key = {"exception": ":exception-type", "error": ":error-code"}.get(kind_, ":event-type")
    return kind_, values.get(key, ""), values.get(":error-message", "")


class Parser:
    """Bytes to frames, checksums verified."""

    __slots__ = ("_held", "_needed")

    def __init__(self) -> None:
        self._held = bytearray()
        """The beginning of a frame."""
        self._needed = 12
        """How much of it there has to be before it is looked at again: bytes are not looked at for each that comes."""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes.

        Raises:
            Failure: `upstream`, for bytes that are no frame.
        """
        held = self._held
        if held:
            held += data
            if len(held) < self._needed:
                return []
            buffer = bytes(held)
            held.clear()
        else:
            buffer = data
        frames: list[Frame] = []
        place, end = 0, len(buffer)
        while end - place >= 12:
            total, size, checked = _PRELUDE.unpack_from(buffer, place)
            if crc32(buffer[place : place + 8]) != checked or not 16 + size <= total <= LIMIT or size > HEADER_BYTES:
                raise Failure("upstream", "The provider's stream holds a frame with a broken prelude.")
            if end - place < total:
                self._needed = total
                break
            last = place + total
            raw = buffer[place:last]
            if crc32(raw[:-4]) != _U32.unpack_from(raw, total - 4)[0]:
                raise Failure("upstream", "The provider's stream holds a frame with a wrong checksum.")
            kind, name, words = (_names if size <= _REMEMBERED else _names.__wrapped__)(raw[12 : 12 + size])
            payload = raw[12 + size : -4]
            if kind == "error" and not payload:
                payload = msgspec.json.encode({"message": words})
            frames.append(Frame(kind, name, payload, raw))
            place = last
        if place < end:
            held += buffer[place:] if place else buffer
            if end - place < 12:
                self._needed = 12
        return frames

    def close(self) -> None:
        """The stream ended; raises `truncated` if a frame is incomplete."""
        if self._held:
            raise Failure("truncated", "The provider's stream ended within a frame.")
