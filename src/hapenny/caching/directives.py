"""What a request's `Cache-Control` asks of a stored answer (RFC 9111 §5.2.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

_CAREFUL = {"max-age": -1.0, "min-fresh": math.inf, "max-stale": 0.0}
"""How a value is read that cannot be read."""


def refuses(directives: Sequence[str], age: float, left: float) -> bool:
    """Whether the caller does not want this answer.

    Args:
        directives: of the request, in lower case.
        age: seconds since the answer was given.
        left: seconds it stays fresh; below 0 it is stale.
    """
    wants = {}
    for directive in directives:
        name, _, value = directive.partition("=")
        if name in _CAREFUL:
            digits = value.strip('"')
            wants[name] = float(digits) if digits.isdecimal() else _CAREFUL[name]
            if name == "max-stale" and not value:
                wants[name] = math.inf
    if age > wants.get("max-age", math.inf) or left < wants.get("min-fresh", -math.inf):
        return True
    if left >= 0:
        return False
    # Stale: the operator's window holds unless the caller set limits of its own.
    return -left > wants["max-stale"] if "max-stale" in wants else bool(wants)
