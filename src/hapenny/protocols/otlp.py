"""OTLP's spans as they are sent: protocol buffers, written by hand.

Of the messages of `opentelemetry/proto/trace/v1/trace.proto` (1.x) those fields in which we have something to say. A
span is bytes from the moment it is made: a general library builds an object for each attribute and walks it again,
which costs a good part of the request that it tells of. Tests hold it against OpenTelemetry's own reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from struct import pack
from typing import NamedTuple, TypeAlias

Value: TypeAlias = str | bool | int | float | list[str] | tuple[str, ...]

SERVER, CLIENT = 2, 3
"""Kinds of spans."""
_SAMPLED, _KNOWN, _REMOTE = 0x01, 0x100, 0x200
"""Flags of a span: it is kept; whether its parent is remote is known; it is."""
_FAILED = b"\x7a\x02\x18\x02"
"""The status of a span that failed: field 15, a message with code (3) ERROR (2)."""
_MOST = (1 << 63) - 1


def varint(number: int) -> bytes:
    """A number of 0 to 2^64 - 1."""
    if number < 0x80:
        return b"%c" % number
    if number < 0x4000:
        return b"%c%c" % (number & 0x7F | 0x80, number >> 7)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _part(tag: bytes, data: bytes) -> bytes:
    """A field of bytes, text or a message."""
    size = len(data)
    return b"%b%c%b" % (tag, size, data) if size < 0x80 else b"%b%b%b" % (tag, varint(size), data)


def attribute(name: str, value: Value) -> bytes:
    """One attribute: field 9 of a span."""
    if type(value) is float:
        return _before_float(name) + pack("<d", value)
    return _part(b"\x4a", _key(name) + _part(b"\x12", _any(value)))


def attributes(given: Mapping[str, Value | None]) -> bytes:
    """Several, those that have a value."""
    return b"".join([attribute(name, value) for name, value in given.items() if value is not None])


@lru_cache(256)
def _before_float(name: str) -> bytes:
    """All of such an attribute but the number's eight bytes."""
    return _part(b"\x4a", _key(name) + _part(b"\x12", _any(0.0)))[:-8]


@lru_cache(1_024)
def _key(name: str) -> bytes:
    return _part(b"\x0a", name.encode())


def _any(value: Value) -> bytes:
    if isinstance(value, str):
        return _part(b"\x0a", value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        if not 0 <= value <= _MOST:
            value = max(-_MOST, min(_MOST, value)) & 0xFFFF_FFFF_FFFF_FFFF
        return b"\x18" + varint(value)
    if isinstance(value, float):
        return b"\x21" + pack("<d", value)
    return _part(b"\x2a", b"".join([_part(b"\x0a", _any(each)) for each in value]))


class Parent(NamedTuple):
    """A span that another one stands in."""

    trace: bytes
    """16 bytes."""
    span: bytes
    """8 bytes; b"": there is none above."""
    sampled: bool = True
    state: str = ""
    """`tracestate` (W3C Trace Context §3.3)."""
    remote: bool = False


def parent_of(headers: Mapping[str, str]) -> Parent | None:
    """The caller's span (W3C Trace Context §3.2: `traceparent`); None where there is none, or no valid one."""
    given = headers.get("traceparent", "").strip()
    version, trace, span, flags = given[:2], given[3:35], given[36:52], given[53:55]
    if len(given) < 55 or given[2] != "-" or given[35] != "-" or given[52] != "-" or version == "ff":
        return None
    if len(given) > 55 and (version == "00" or given[55] != "-"):
        return None
    if not set(version + trace + span + flags) <= _HEX or not trace.strip("0") or not span.strip("0"):
        return None
    state = headers.get("tracestate", "").strip()
    return Parent(
        bytes.fromhex(trace), bytes.fromhex(span), bool(int(flags, 16) & 1), state if len(state) <= 512 else "", True
    )


_HEX = frozenset("0123456789abcdef")


def span(
    id_: bytes,
    parent: Parent,
    name: str,
    kind: int,
    began: int,
    ended: int,
    attributes: bytes,
    *,
    failed: bool = False,
    events: Iterable[tuple[int, str]] = (),
) -> bytes:
    """One span, as a field of its scope.

    Args:
        id_: 8 bytes.
        parent: its trace, and what it stands in.
        began: nanoseconds of the epoch, as `ended` and the times of `events`.
        attributes: as `attributes` makes them.
    """
    flags = _SAMPLED | _KNOWN | (_REMOTE if parent.remote else 0)
    parts = [
        b"\x0a\x10%b\x12\x08%b" % (parent.trace, id_),
        _part(b"\x1a", parent.state.encode()) if parent.state else b"",
        b"\x22\x08" + parent.span if parent.span else b"",
        _part(b"\x2a", name.encode("utf-8", "replace")),
        pack("<BBBQBQ", 0x30, kind, 0x39, began, 0x41, ended),
        attributes,
    ]
    for at, what in events:
        parts.append(_part(b"\x5a", b"\x09" + pack("<Q", at) + _part(b"\x12", what.encode())))
    if failed:
        parts.append(_FAILED)
    parts.append(b"\x85\x01" + pack("<I", flags))
    return _part(b"\x12", b"".join(parts))


def request(resource: Mapping[str, Value], scope: str, spans: Iterable[bytes]) -> bytes:
    """`ExportTraceServiceRequest` with spans of one scope."""
    about = b"".join([_part(b"\x0a", _key(name) + _part(b"\x12", _any(value))) for name, value in resource.items()])
    inner = _part(b"\x0a", _part(b"\x0a", scope.encode())) + b"".join(spans)
    return _part(b"\x0a", _part(b"\x0a", about) + _part(b"\x12", inner))
