"""JSON as providers' servers sometimes write it: parts of characters, and numbers that are none.

A server that cuts a text between the two halves of an emoji (or the bytes of a character), or whose log probability is
minus infinity, writes what no strict reader takes, and the answer is paid for. What cannot be said in JSON is replaced:
part of a character by U+FFFD, a number that is none by null.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

MOST = 4_000_000
"""Bytes beyond which a body is not read a second time."""
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u([dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)


def read(body: bytes) -> Any:
    """The value in `body`, which a strict reader refused. Linear in the size of the body.

    Raises:
        ValueError: it is no JSON in this sense either, or too large.
        RecursionError: it is nested too deeply.
    """
    if len(body) > MOST:
        raise ValueError("too large to be read again")
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    return json.loads(_ESCAPE.sub(_whole, text), parse_constant=_nothing, parse_float=_finite)


def _whole(match: re.Match[str]) -> str:
    return "\\ufffd" if match[1] else match[0]


def _nothing(word: str) -> None:
    return None


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None
