"""Token counts as OpenAI reports them: `prompt_tokens` includes what was read from or written to the cache, and tokens
of every kind (`audio_tokens`, `image_tokens`), which are priced apart.

Two habits of compatible servers are understood. xAI and Gemini count hidden reasoning in `total_tokens` alone, not in
`completion_tokens`: it is paid as output, so it is output here, and OpenAI clients are told the provider's own figures.
DeepSeek and Moonshot name cached tokens outside the details.
"""

from __future__ import annotations

from typing import Any

from hapenny.core.events import OUTPUT_UNITS, PROMPT_UNITS, Tokens, Usage
from hapenny.protocols.fields import count
from hapenny.protocols.served import served

_PROMPT = {"audio_tokens": "audio_input", "image_tokens": "image_input", "video_tokens": "video_input"}
_OUTPUT = {"audio_tokens": "audio_output", "image_tokens": "image_output"}
_FEES = {
    "num_search_queries": "web_search",  # Perplexity
    "num_sources_used": "search_source",  # xAI
    "web_search_requests": "web_search",
    "file_search_requests": "file_search",
}
"""Counts of what is paid by use, in the usage object or in its `server_tool_use`."""


def decode(usage: dict[str, Any], *, searched: bool = False) -> Tokens:
    """Counts from a usage object. `input` is what is left of the prompt without cached tokens and those of other kinds,
    never below 0. `searched`: the answer cites the web, so a search was paid whose count stands nowhere."""
    units: dict[str, int] = {}
    prompt, completion = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    read = write = reasoning = 0
    details = usage.get("prompt_tokens_details")
    if type(details) is dict:
        read, write = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
        cached = details.get("cached_tokens_details")
        _split(details, _PROMPT, units, cached if type(cached) is dict else {})
    read = min(read or count(usage.get("prompt_cache_hit_tokens")) or count(usage.get("cached_tokens")), prompt)
    hidden = usage.get("completion_tokens_details")
    if type(hidden) is dict:
        reasoning = count(hidden.get("reasoning_tokens"))
        _split(hidden, _OUTPUT, units, {})
    more = beside(usage)
    for source in (usage, usage.get("server_tool_use")):
        for name, unit in _FEES.items() if type(source) is dict else ():
            if amount := count(source.get(name)):
                units[unit] = amount
    if searched:
        units.setdefault("web_search", 1)
    apart = {unit: amount for unit, amount in units.items() if unit in PROMPT_UNITS}
    read = max(0, read - sum(amount for unit, amount in apart.items() if unit.endswith("_cache_read")))
    return Tokens(
        input=max(0, prompt - read - write - sum(apart.values())),
        output=max(0, completion + more - sum(amount for unit, amount in units.items() if unit in OUTPUT_UNITS)),
        cache_read=read,
        cache_write=write,
        reasoning=reasoning or more,
        units=tuple(sorted(units.items())),
    )


def counted(
    usage: dict[str, Any], answer: dict[str, Any], searched: bool, later: dict[str, Any] | None = None
) -> Usage:
    """The event that a usage object makes.

    Args:
        usage: the object.
        answer: the fields of the answer as a whole; `service_tier` says on which terms it was served.
        searched: see `decode`.
        later: fields of the answer as a whole that came after its beginning.
    """
    extras: dict[str, Any] = {}
    if left := rest(usage):
        extras["openai.usage"] = left
    if later:
        extras["openai"] = later
    return Usage(decode(usage, searched=searched), extras, None, served(tier=answer.get("service_tier")))


def beside(usage: dict[str, Any]) -> int:
    """Tokens of hidden reasoning that are in the total alone, not in the completion tokens."""
    more = count(usage.get("total_tokens")) - count(usage.get("prompt_tokens")) - count(usage.get("completion_tokens"))
    if more <= 0:
        return 0
    hidden = usage.get("completion_tokens_details")
    reasoning = count(hidden.get("reasoning_tokens")) if type(hidden) is dict else 0
    # Stated as such (xAI), or unstated by a server that states no details at all (Gemini).
    return more if more == reasoning or type(hidden) is not dict else 0


def _split(details: dict[str, Any], names: dict[str, str], units: dict[str, int], cached: dict[str, Any]) -> None:
    for name, unit in names.items():
        amount = count(details.get(name))
        held = min(amount, count(cached.get(name)))
        if held:
            units[unit.replace("_input", "_cache_read")] = held
        if amount > held:
            units[unit] = amount - held


def encode(tokens: Tokens, extras: dict[str, Any] | None) -> dict[str, Any]:
    """A usage object; `extras` are the provider's own further counts."""
    prompt, output = tokens.prompt, tokens.output
    units = dict(tokens.units)
    read = tokens.cache_read + sum(amount for unit, amount in units.items() if unit.endswith("_cache_read"))
    inner: dict[str, Any] = {"cached_tokens": read, "cache_write_tokens": tokens.cache_write + tokens.cache_write_1h}
    hidden: dict[str, Any] = {"reasoning_tokens": tokens.reasoning}
    for name, unit in _PROMPT.items():
        if amount := units.get(unit, 0) + units.get(unit.replace("_input", "_cache_read"), 0):
            inner[name] = amount
    for name, unit in _OUTPUT.items():
        if amount := units.get(unit, 0):
            output += amount
            hidden[name] = amount
    extras = extras or {}
    out: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": max(0, output - count(extras.get(BESIDE))),
        "total_tokens": prompt + output,
        "prompt_tokens_details": inner,
        "completion_tokens_details": hidden,
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
