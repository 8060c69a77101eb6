"""Token counts as Anthropic reports them: `input_tokens` leaves out what was read from or written to the cache."""

from __future__ import annotations

from typing import Any

from hapenny.core.events import Tokens, Usage
from hapenny.protocols.fields import count


def decode(usage: dict[str, Any]) -> Tokens:
    """Counts from a usage object. Writes without a lifetime count as the short one."""
    written = count(usage.get("cache_creation_input_tokens"))
    parts = usage.get("cache_creation")
    long = min(count(parts.get("ephemeral_1h_input_tokens")), written) if type(parts) is dict else 0
    details = usage.get("output_tokens_details")
    return Tokens(
        input=count(usage.get("input_tokens")),
        output=count(usage.get("output_tokens")),
        cache_read=count(usage.get("cache_read_input_tokens")),
        cache_write=written - long,
        cache_write_1h=long,
        reasoning=count(details.get("thinking_tokens")) if type(details) is dict else 0,
    )


def encode(tokens: Tokens, extras: dict[str, Any] | None) -> dict[str, Any]:
    """A usage object; `extras` are the provider's own further counts. Tokens of other kinds than text are told among
    the others, as this dialect knows no kinds."""
    out: dict[str, Any] = {
        "input_tokens": tokens.prompt - tokens.cache_read - tokens.cache_write - tokens.cache_write_1h,
        "output_tokens": tokens.made,
        "cache_creation_input_tokens": tokens.cache_write + tokens.cache_write_1h,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write,
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        },
    }
    if tokens.reasoning:
        out["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    for key, value in (extras or {}).items():
        known = out.get(key)
        out[key] = {**known, **value} if type(known) is dict and type(value) is dict else value
    return out


def counted(usage: dict[str, Any]) -> Usage:
    """The event that a usage object makes."""
    left = rest(usage)
    return Usage(decode(usage), {"anthropic.usage": left} if left else {})


def rest(usage: dict[str, Any]) -> dict[str, Any]:
    """What of a usage object `Tokens` cannot say."""
    left: dict[str, Any] = {}
    for key, value in usage.items():
        known = _COUNTED.get(key)
        if known is None:
            if value is not None:
                left[key] = value
        elif type(value) is dict and (more := {k: v for k, v in value.items() if k not in known and v is not None}):
            left[key] = more
    return left


_COUNTED: dict[str, set[str]] = {
    "input_tokens": set(),
    "output_tokens": set(),
    "cache_creation_input_tokens": set(),
    "cache_read_input_tokens": set(),
    "cache_creation": {"ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"},
    "output_tokens_details": {"thinking_tokens"},
}
