"""Token counts as Anthropic reports them: `input_tokens` leaves out what was read from or written to the cache."""

from __future__ import annotations

from typing import Any

from hapenny.core.events import Tokens
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
    """A usage object; `extras` are the provider's own further counts."""
    out: dict[str, Any] = {
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "cache_creation_input_tokens": tokens.cache_write + tokens.cache_write_1h,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write,
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        },
    }
    if tokens.reasoning:
        out["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    if extras:
        out.update(extras)
    return out


def rest(usage: dict[str, Any]) -> dict[str, Any]:
    """What of a usage object `Tokens` cannot say."""
    return {key: value for key, value in usage.items() if key not in _COUNTED and value is not None}


_COUNTED = {
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_creation",
    "output_tokens_details",
}
