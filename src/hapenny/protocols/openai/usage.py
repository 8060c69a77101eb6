"""Token counts as OpenAI reports them: `prompt_tokens` includes what was read from or written to the cache."""

from __future__ import annotations

from typing import Any

from hapenny.core.events import Tokens
from hapenny.protocols.fields import count


def decode(usage: dict[str, Any]) -> Tokens:
    """Counts from a usage object. `input` is what is left of the prompt without cached tokens, never below 0."""
    details = usage.get("prompt_tokens_details")
    read = write = 0
    if type(details) is dict:
        read, write = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    hidden = usage.get("completion_tokens_details")
    return Tokens(
        input=max(0, count(usage.get("prompt_tokens")) - read - write),
        output=count(usage.get("completion_tokens")),
        cache_read=read,
        cache_write=write,
        reasoning=count(hidden.get("reasoning_tokens")) if type(hidden) is dict else 0,
    )


def encode(tokens: Tokens, extras: dict[str, Any] | None) -> dict[str, Any]:
    """A usage object; `extras` are the provider's own further counts."""
    prompt = tokens.prompt
    out: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": tokens.output,
        "total_tokens": prompt + tokens.output,
        "prompt_tokens_details": {
            "cached_tokens": tokens.cache_read,
            "cache_write_tokens": tokens.cache_write + tokens.cache_write_1h,
        },
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }
    for key, value in (extras or {}).items():
        known = out.get(key)
        if type(known) is dict and type(value) is dict:
            known.update(value)
        elif known is None:
            out[key] = value
    return out


def rest(usage: dict[str, Any]) -> dict[str, Any]:
    """What of a usage object `Tokens` cannot say."""
    left: dict[str, Any] = {}
    for key, value in usage.items():
        if key in ("prompt_tokens", "completion_tokens", "total_tokens"):
            continue
        if type(value) is dict and key.endswith("_details"):
            value = {k: v for k, v in value.items() if k not in _COUNTED and v is not None}
            if not value:
                continue
        if value is not None:
            left[key] = value
    return left


_COUNTED = {"cached_tokens", "cache_write_tokens", "reasoning_tokens"}
