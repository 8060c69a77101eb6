"""Scores by position from a provider's list of results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hapenny.core.errors import Failure
from hapenny.core.numbers import finite


def parsed(body: bytes) -> Any:
    """The answer's JSON. Raises `Failure("upstream")`."""
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise Failure("upstream", "the reranker's answer is no JSON") from None


def ordered(results: Any, name: str, count: int) -> tuple[float, ...]:
    """One finite score a passage from `[{"index": …, name: …}]` in any order.

    Raises:
        Failure: `upstream`, when a passage has none, two, or one that is no number.
    """
    scores: list[float | None] = [None] * count
    if not isinstance(results, list):
        raise Failure("upstream", "the reranker's answer holds no list of results")
    for result in results:
        at, score = (result.get("index"), result.get(name)) if isinstance(result, Mapping) else (None, None)
        if type(at) is not int or not 0 <= at < count or scores[at] is not None:
            raise Failure("upstream", f"the reranker's answer names passage {at!r} of {count}")
        number = finite(score)
        if number is None:
            raise Failure("upstream", f"the reranker's answer holds no score for passage {at}")
        scores[at] = number
    given = tuple(score for score in scores if score is not None)
    if len(given) != count:
        raise Failure("upstream", f"the reranker scored {len(given)} of {count} passages")
    return given
