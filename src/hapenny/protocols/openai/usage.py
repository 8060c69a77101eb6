"""Token counts as OpenAI reports them: `prompt_tokens` includes what was read from or written to the cache.

Two habits of compatible servers are understood. xAI and Gemini count hidden reasoning in `total_tokens` alone, not in
`completion_tokens`: it is paid as output, so it is output here, and OpenAI clients are told the provider's own figures.
DeepSeek and Moonshot name cached tokens outside the details.
"""

from __future__ import annotations

from typing import Any

from hapenny.core.events import Tokens, Usage
from hapenny.protocols.fields import count


def decode(usage: dict[str, Any]) -> Tokens:
    """Counts from a usage object. `input` is what is left of the prompt without cached tokens, never below 0."""
    prompt = count(usage.get("prompt_tokens"))
    read = write = reasoning = 0
    details = usage.get("prompt_tokens_details")
    if type(details) is dict:
        read, write = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    read = min(read or count(usage.get("prompt_cache_hit_tokens")) or count(usage.get("cached_tokens")), prompt)
    hidden = usage.get("completion_tokens_details")
    if type(hidden) is dict:
        reasoning = count(hidden.get("reasoning_tokens"))
    more = beside(usage)
    return Tokens(
        input=max(0, prompt - read - write),
        output=count(usage.get("completion_tokens")) + more,
        cache_read=read,
        cache_write=write,
        reasoning=reasoning or more,
    )


def counted(usage: dict[str, Any], later: dict[str, Any] | None = None) -> Usage:
    """The event that a usage object makes; `later`: fields of the answer as a whole that came after its beginning."""
    extras: dict[str, Any] = {}
    if len(usage) == 3 and not later:
        prompt, output, total = usage.get("prompt_tokens"), usage.get("completion_tokens"), usage.get("total_tokens")
        if type(prompt) is int and type(output) is int and prompt >= 0 <= output and total == prompt + output < 1 << 62:
            return Usage(Tokens(input=prompt, output=output), extras)
    if left := rest(usage):
        extras["openai.usage"] = left
    if later:
        extras["openai"] = later
    return Usage(decode(usage), extras)


def beside(usage: dict[str, Any]) -> int:
    """Tokens of hidden reasoning that are in the total alone, not in the completion tokens."""
    more = count(usage.get("total_tokens")) - count(usage.get("prompt_tokens")) - count(usage.get("completion_tokens"))
    if more <= 0:
        return 0
    hidden = usage.get("completion_tokens_details")
    reasoning = count(hidden.get("reasoning_tokens")) if type(hidden) is dict else 0
    # Stated as such (xAI), or unstated by a server that states no details at all (Gemini).
    return more if more == reasoning or type(hidden) is not dict else 0


def encode(tokens: Tokens, extras: dict[str, Any] | None) -> dict[str, Any]:
    """A usage object; `extras` are the provider's own further counts."""
    extras = extras or {}
    prompt, output = tokens.prompt, tokens.made
    out: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": max(0, output - count(extras.get(BESIDE))),
        "total_tokens": prompt + output,
        "prompt_tokens_details": {
            "cached_tokens": tokens.cache_read,
            "cache_write_tokens": tokens.cache_write + tokens.cache_write_1h,
        },
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }
    for key, value in extras.items():
        known = out.get(key)
        if type(known) is dict and type(value) is dict:
            known.update(value)
        elif known is None and key != BESIDE:
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
    if more := beside(usage):
        left[BESIDE] = more
    return left


BESIDE = " beside"
"""How many output tokens the provider's own completion tokens leave out."""
_COUNTED = {"cached_tokens", "cache_write_tokens", "reasoning_tokens"}
