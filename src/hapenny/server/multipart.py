"""Forms with files (RFC 7578): read in one pass, with bounds."""

from __future__ import annotations

import re
from email.message import Message

from hapenny.core.errors import invalid
from hapenny.protocols.http1.fields import Malformed, fields

PARTS = 32
"""The most parts of a form."""
HEAD_BYTES = 4_096
"""The longest head of a part."""

_BOUNDARY = re.compile(r'\bboundary=(?:"([^"]{1,70})"|([^\s";,]{1,70}))')


def form(content_type: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """The fields of a form by name: file name ("" where it is none) and bytes. The last of several wins.

    Raises:
        Failure: `invalid_request`, if it is none.
    """
    boundary = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or boundary is None:
        raise invalid("an upload is a form with a file", "Content-Type", "multipart/form-data with a boundary")
    mark = b"\r\n--" + (boundary[1] or boundary[2]).encode()
    read: dict[str, tuple[str, bytes]] = {}
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
        name, file = _named(body[at:stop])
        if name:
            read[name] = (file, body[stop + 4 : end])
        at = end + len(mark)
    raise invalid(f"the form has more than {PARTS} parts", "body", "send the fields of the endpoint alone")


def _after(body: bytes, mark: bytes, at: int) -> int:
    start = body.find(mark, at)
    if start < 0:
        raise invalid("the form has no part", "body", "send the boundary that Content-Type names")
    return start + len(mark)


def _named(head: bytes) -> tuple[str, str]:
    """Name and file name that a part's head says."""
    try:
        lines = [line for line in head.decode("utf-8").split("\r\n") if line]
        disposition = fields(lines).get("content-disposition", "")
    except (Malformed, UnicodeDecodeError):
        raise invalid(
            "a part of the form has no sound head", "body", "send Content-Disposition as RFC 7578 says"
        ) from None
    message = Message()
    message["content-disposition"] = disposition
    name = message.get_param("name", header="content-disposition")
    return (name if isinstance(name, str) else ""), str(message.get_filename() or "")
