"""Addresses in parts: the origin that is configured, and a path on it.

The origin decides where the bytes go and is never made of anything that a client sent; a path cannot reach into it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from hapenny.core.errors import Failure

_TARGET = re.compile(r"/[\x21\x22\x24-\x7e]*")


class Origin(NamedTuple):
    """Scheme, host and port of a server, and the path under which its API stands."""

    secure: bool
    host: str
    port: int
    authority: str
    """As the Host field says it: the port only where it was written."""
    base: str
    """What every path begins with: empty, or e.g. `/v1`."""

    @lru_cache(512)  # noqa: B019  (an origin is a value, and few are configured)
    def at(self, path: str) -> Url:
        """The address of `path`, which begins with "/" and may have a query; it is percent-encoded already.

        Raises:
            Failure: `invalid_request`, `path` is none.
        """
        if not _TARGET.fullmatch(path):
            raise Failure("invalid_request", "the path cannot be sent", fix="percent-encode it; it begins with /")
        return Url(self, self.base + path)


class Url(NamedTuple):
    """A target on an origin."""

    origin: Origin
    target: str
    """Path and query, as the request line says them."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the question mark."""
        return self.target.partition("?")[2]


@lru_cache(maxsize=1024)
def origin(text: str) -> Origin:
    """The origin of a configured base URL.

    Raises:
        ValueError: it is no http address, or has a query or a fragment.
    """
    split = urlsplit(text)
    if split.scheme not in ("http", "https") or not split.hostname or any(each <= " " for each in text):
        raise ValueError(f"{text.partition('?')[0]!r} is no http address")
    if split.query or split.fragment:
        raise ValueError(f"{text.partition('?')[0]!r} is followed by a query or a fragment")
    base = split.path.rstrip("/")
    if base and not _TARGET.fullmatch(base):
        raise ValueError(f"{text!r} is no address: the path is not percent-encoded")
    secure = split.scheme == "https"
    port = split.port if split.port is not None else (443 if secure else 80)
    return Origin(secure, split.hostname, port, split.netloc.rpartition("@")[2], base)


def address(text: str) -> Url:
    """A whole configured address as an origin and a path on it. Raises `ValueError`."""
    whole, _, query = text.partition("?")
    place = origin(whole)
    path = place.base or "/"
    if whole.endswith("/") and not path.endswith("/"):
        path += "/"
    return place._replace(base="").at(path + ("?" + query if query else ""))
