"""Forms with files (RFC 7578): read in one pass, with bounds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from hapenny.core.errors import invalid
from hapenny.protocols.http1.fields import Malformed, fields

PARTS = 32
"""The most parts of a form."""
HEAD_BYTES = 4_096
"""The longest head of a part."""

_KIND = re.compile(r"[^A-Za-z0-9!#$&^_.+;= /*-]")
_BOUNDARY = re.compile(r'\bboundary=(?:"([^"]{1,70})"|([^\s";,]{1,70}))')


class Part(NamedTuple):
    """One field of a form."""

    name: str
    file: str
    """Its file name; "" where it is none."""
    kind: str
    """Its Content-Type; "" where it says none."""
    data: bytes


def form(content_type: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """The fields of a form by name: file name ("" where it is none) and bytes. The last of several wins.

    Raises:
        Failure: `invalid_request`, if it is none.
    """
    return {part.name: (part.file, part.data) for part in parts(content_type, body)}


def parts(content_type: str, body: bytes) -> list[Part]:
    """The fields of a form, in order.

    Raises:
        Failure: `invalid_request`, if it is none.
    """
    boundary = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or boundary is None:
        raise invalid("an upload is a form with a file", "Content-Type", "multipart/form-data with a boundary")
    mark = b"\r\n--" + (boundary[1] or boundary[2]).encode()
    read: list[Part] = []
    at = len(mark) - 2 if body.startswith(mark[2:]) else _after(body, mark, 0)
    for _ in range(PARTS):
        if body.startswith(b"--", at):
            return read
        stop = body.find(b"\r\n\r\n", at, at + HEAD_BYTES)
        end = body.find(mark, stop + 2) if stop >= 0 else -1
        if end < 0:
            raise invalid(
                "a part of the form has no end", "body", "send each part with a head and a boundary behind it"
            )
        name, file, kind = _named(body[at:stop])
        if name:
            read.append(Part(name, file, kind, body[stop + 4 : end]))
        at = end + len(mark)
    raise invalid(f"the form has more than {PARTS} parts", "body", "send the fields of the endpoint alone")


def written(fields: Sequence[Part], boundary: str) -> bytes:
    """A form with these fields and nothing else. `boundary` stands in none of them.

    Raises:
        Failure: `invalid_request`, for a name that no head can hold.
    """
    out: list[bytes] = []
    for part in fields:
        file = f'; filename="{_quoted(part.file)}"' if part.file else ""
        kind = f"Content-Type: {part.kind}\r\n" if part.kind else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(part.name)}"{file}\r\n{kind}\r\n'
        out += [head.encode(), part.data, b"\r\n"]
    return b"".join([*out, f"--{boundary}--\r\n".encode()])


def _quoted(text: str) -> str:
    """As browsers write names (HTML, "multipart/form-data encoding algorithm")."""
    if any(character < " " for character in text):
        raise invalid("a name in the form holds control characters", "body", "send plain names")
    return text.replace('"', "%22")


def _after(body: bytes, mark: bytes, at: int) -> int:
    start = body.find(mark, at)
    if start < 0:
        raise invalid("the form has no part", "body", "send the boundary that Content-Type names")
    return start + len(mark)


def _named(head: bytes) -> tuple[str, str, str]:
    """Name, file name and kind that a part's head says."""
    try:
        lines = [line for line in head.decode("utf-8").split("\r\n") if line]
        names = fields(lines)
        disposition, kind = names.get("content-disposition", ""), names.get("content-type", "")
    except (Malformed, UnicodeDecodeError):
        raise invalid(
            "a part of the form has no sound head", "body", "send Content-Disposition as RFC 7578 says"
        ) from None
    from email.message import Message  # takes 15 ms to load, and few uploads come

    message = Message()
    message["content-disposition"] = disposition
    name = message.get_param("name", header="content-disposition")
    return (name if isinstance(name, str) else ""), str(message.get_filename() or ""), _KIND.sub("", kind)[:200]
