"""Rules for e-mail and network addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from hapenny.guarding import context_words
from hapenny.guarding.context_words import before, last
from hapenny.guarding.finding import Finding
from hapenny.guarding.numbers import places

LONGEST = 600
"""Characters of the longest e-mail address, and more."""

_LOCAL = re.compile(r"[A-Za-z0-9._%+'\-\u00c0-\u024f\u1e00-\u1eff]")
_LONGEST_LOCAL = 64
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,62})\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9_\-])")
_NO_MAIL = re.compile(r":[A-Za-z/~.]")
"""Behind a host: the path of a repository, as in git@host:owner/name."""
_FOUR = re.compile(r"[0-9](?<![0-9A-Za-z_.][0-9])[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z_]|\.[0-9])")
_SIX = re.compile(
    r"[0-9A-Fa-f:](?<![0-9A-Za-z_:.][0-9A-Fa-f:])[0-9A-Fa-f:]{3,38}(?:[0-9A-Fa-f]|(?<=::))(?![0-9A-Za-z_:.])"
)
_NOBODY = frozenset({"0.0.0.0", "127.0.0.1", "255.255.255.255"})


def emails(text: str, start: int) -> Iterator[Finding]:
    """E-mail addresses: from each @ to the left as far as a local part may go, to the right a domain's name."""
    at = text.find("@", start)
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        if domain is not None:
            begin = at
            least = max(0, at - _LONGEST_LOCAL)
            while begin > least and _LOCAL.match(text, begin - 1):
                begin -= 1
            while begin < at and text[begin] in ".'-+%":
                begin += 1
            user = begin >= 1 and text[begin - 1] in ":/" and "://" in text[max(0, begin - 80) : begin]
            if start <= begin < at and not user and not _NO_MAIL.match(text, domain.end()):
                yield Finding(begin, domain.end(), "email")
        at = text.find("@", at + 1)


def ips(text: str, start: int) -> Iterator[Finding]:
    """IP addresses of both versions; a version of software has the same form, and words around it that say so."""
    if text.count(".", start) >= 3:
        for match in places(_FOUR, text, start):
            if all(int(part) <= 255 for part in match[0].split(".")) and match[0] not in _NOBODY:
                near = before(text, match.start())
                version = last(context_words.VERSION, near)
                if version < 0 or last(context_words.ADDRESS_ON_NET, near) > version:
                    yield Finding(match.start(), match.end(), "ip")
    if text.count(":", start) >= 2:
        for match in places(_SIX, text, start):
            if match[0].count(":") >= 2 and any(character in match[0] for character in "0123456789"):
                try:
                    address = ipaddress.IPv6Address(match[0])
                except ValueError:
                    continue
                if not address.is_loopback and not address.is_unspecified:
                    yield Finding(match.start(), match.end(), "ip")
