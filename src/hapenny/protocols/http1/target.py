"""The target of a request (RFC 9112 §3.2): a path, or refused.

What a client sends as target is joined to nothing before it was read here. A path is made of plain segments: whatever
one server resolves and the next one does not (dot segments, empty segments, back slashes, encoded control
characters) is refused. Encoded slashes are told apart, since only some paths may hold them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from hapenny.protocols.http1.fields import Malformed

TARGET_BYTES = 1 << 13
"""The longest target; RFC 9112 §3 asks servers for at least 8,000 octets."""

_PATH = re.compile(r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*)+")
_QUERY = re.compile(r"(?:[\x21\x22\x24\x26-\x7e]|%[0-9A-Fa-f]{2})*")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_HIDDEN = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")
"""Encoded control characters."""
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+;=]*)(?::[0-9]{0,5})?")


class Target(NamedTuple):
    """A target that was read."""

    raw: str
    """Path and query as they were sent: what a signature covers."""
    path: str
    """Percent-encoded as it was sent; `*` asks about the server as a whole."""
    query: str
    folded: bool
    """Whether a segment holds an encoded slash or back slash, which others may read as a real one."""


def read(method: str, target: str, host: str) -> Target:
    """The target of a request line.

    Args:
        method: of the request.
        target: as it stands in the request line: visible ASCII.
        host: the value of the Host field, which an absolute target has to repeat.

    Raises:
        Malformed: it is none, or one that servers read differently.
    """
    if len(target) > TARGET_BYTES:
        raise Malformed("the target is too long", 414)
    if target == "*" and method == "OPTIONS":
        return Target("*", "*", "", False)
    raw = target
    if not raw.startswith("/"):
        absolute = _ABSOLUTE.match(raw)
        if absolute is None or not absolute[1] or absolute[1].lower() != host.lower():
            raise Malformed("the target is no path of this host")
        raw = raw[absolute.end() :]
        if not raw.startswith("/"):
            raw = "/" + raw
    path, _, query = raw.partition("?")
    if not _PATH.fullmatch(path) or not _QUERY.fullmatch(query):
        raise Malformed("the target is no path")
    if "//" in path:
        raise Malformed("an empty segment in the path")
    folded = False
    if "%" in path:
        lower = path.lower()
        if _HIDDEN.search(path):
            raise Malformed("a control character in the path")
        folded = "%2f" in lower or "%5c" in lower
        plain = lower.replace("%2e", ".")
    else:
        plain = path
    if ("/." in plain or folded) and any(segment in (".", "..") for segment in _SEPARATOR.split(plain)):
        raise Malformed("a dot segment in the path")
    return Target(raw, path, query, folded)


_SEPARATOR = re.compile(r"/|%2f|%5c")


def sound_host(host: str) -> bool:
    """Whether `host` is the value of a Host field: a name or an address, perhaps with a port."""
    return _HOST.fullmatch(host) is not None
