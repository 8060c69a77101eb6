"""Token counts as Responses report them: `input_tokens` includes what was read from or written to the cache."""

from __future__ import annotations

from typing import Any

from hapenny.core.events import Tokens, Usage
from hapenny.protocols.fields import count

OWN = "responses.usage"
"""The key of a provider's own further counts."""
HOSTED = "responses.output"
"""The key under which the kinds of an answer's items are told, for what tools of the provider cost."""
_COUNTED = frozenset(("cached_tokens", "cache_write_tokens", "reasoning_tokens"))
_TOTALS = frozenset(("input_tokens", "output_tokens", "total_tokens"))


def decode(usage: dict[str, Any]) -> Tokens:
    """Counts from a usage object."""
    prompt, output = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    details, made = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    read = write = reasoning = 0
    if type(details) is dict:
        read = min(count(details.get("cached_tokens")), prompt)
        write = min(count(details.get("cache_write_tokens")), prompt - read)
    if type(made) is dict:
        reasoning = count(made.get("reasoning_tokens"))
    return Tokens(input=prompt - read - write, output=output, cache_read=read, cache_write=write, reasoning=reasoning)


def counted(usage: dict[str, Any], kinds: list[str]) -> Usage:
    """The event that a usage object makes; `kinds`: of the answer's items."""
    left: dict[str, Any] = {}
    for key, value in usage.items():
        if key in _TOTALS:
            continue
        if type(value) is dict and key.endswith("_details"):
            value = {name: inner for name, inner in value.items() if name not in _COUNTED and inner is not None}
            if not value:
                continue
        if value is not None:
            left[key] = value
    extras: dict[str, Any] = {OWN: left} if left else {}
    if hosted := [kind for kind in kinds if kind not in ("message", "function_call", "reasoning")]:
        extras[HOSTED] = hosted
    return Usage(decode(usage), extras)


def encode(tokens: Tokens, extras: Any = None) -> dict[str, Any]:
    """A usage object; `extras` are the provider's own further counts."""
    out: dict[str, Any] = {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {
            "cached_tokens": tokens.cache_read,
            "cache_write_tokens": tokens.cache_write + tokens.cache_write_1h,
        },
        "output_tokens": tokens.made,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.prompt + tokens.made,
    }
    for key, value in (extras or {}).items():
        known = out.get(key)
        if type(known) is dict and type(value) is dict:
            known.update(value)
        elif known is None:
            out[key] = value
    return out
