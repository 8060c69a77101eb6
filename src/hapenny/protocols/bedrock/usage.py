"""Token counts as Converse reports them: `inputTokens` leaves out what was read from or written to the cache."""

from __future__ import annotations

from typing import Any

from hapenny.core.events import Tokens, Usage
from hapenny.protocols.fields import count


def decode(usage: dict[str, Any]) -> Tokens:
    """Counts from a usage object. Writes without a lifetime count as the short one."""
    written = count(usage.get("cacheWriteInputTokens"))
    long = 0
    details = usage.get("cacheDetails")
    for detail in details if type(details) is list else ():
        if type(detail) is dict and detail.get("ttl") == "1h":
            long += count(detail.get("inputTokens"))
    long = min(long, written)
    return Tokens(
        input=count(usage.get("inputTokens")),
        output=count(usage.get("outputTokens")),
        cache_read=count(usage.get("cacheReadInputTokens")),
        cache_write=written - long,
        cache_write_1h=long,
    )


def counted(data: dict[str, Any], raw: bytes | None = None) -> Usage:
    """The event that a usage object and what stands beside it make."""
    extras = {key: data[key] for key in _BESIDE if data.get(key) is not None}
    used = data["usage"]
    if more := {key: value for key, value in used.items() if key not in _COUNTED and value is not None}:
        extras["usage"] = more
    details = used.get("cacheDetails")
    if type(details) is list and any(type(one) is dict and not one.keys() <= {"ttl", "inputTokens"} for one in details):
        extras.setdefault("usage", {})["cacheDetails"] = details
    return Usage(decode(used), {"bedrock.usage": extras} if extras else {}, raw)


_BESIDE = ("metrics", "trace", "performanceConfig", "serviceTier")
_COUNTED = {
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "cacheReadInputTokens",
    "cacheWriteInputTokens",
    "cacheDetails",
}


def encode(tokens: Tokens) -> dict[str, Any]:
    """A usage object. Tokens of other kinds than text are told among the others: this dialect knows no kinds."""
    written = tokens.cache_write + tokens.cache_write_1h
    out: dict[str, Any] = {
        "inputTokens": tokens.prompt - tokens.cache_read - written,
        "outputTokens": tokens.made,
        "totalTokens": tokens.prompt + tokens.made,
        "cacheReadInputTokens": tokens.cache_read,
        "cacheWriteInputTokens": written,
    }
    if written:
        parts = (("5m", tokens.cache_write), ("1h", tokens.cache_write_1h))
        out["cacheDetails"] = [{"ttl": ttl, "inputTokens": amount} for ttl, amount in parts if amount]
    return out


def metadata(tokens: Tokens | None, extras: dict[str, Any]) -> dict[str, Any]:
    """Usage, metrics and what else the provider said at the end; `extras` are those of the event or completion."""
    latency = extras.get("latency_ms", 0)
    out: dict[str, Any] = {"usage": encode(tokens or Tokens()), "metrics": {"latencyMs": int(latency)}}
    for key, value in extras.get("bedrock.usage", {}).items():
        out[key] = {**out[key], **value} if key == "usage" else value
    return out
