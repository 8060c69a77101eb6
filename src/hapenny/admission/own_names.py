"""Names that nobody else can own: what an open gateway and an open console may be called by.

A web page can lead a browser on this machine to any port under a name of its own (DNS rebinding); never under an
address or a name without a dot.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection


def own_name(host: str, more: Collection[str] = ()) -> bool:
    """Whether a `Host` is a name that nobody else can own: an address, a name without a dot, or one of `more` (lower
    case)."""
    name = host.lower()
    if name.startswith("["):
        return True
    name, _, _ = name.partition(":")
    name = name.rstrip(".")
    if name in more or "." not in name:
        return True
    return name.replace(".", "").isdigit() and _address(name)


def _address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
