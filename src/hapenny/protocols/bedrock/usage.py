"""Token counts as Converse reports them: `inputTokens` leaves out what was read from or written to the cache."""

from __future__ import annotations

from typing import Any

from hapenny.core.events import Tokens
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


def encode(tokens: Tokens) -> dict[str, Any]:
    """A usage object."""
    written = tokens.cache_write + tokens.cache_write_1h
    out: dict[str, Any] = {
        "inputTokens": tokens.input,
        "outputTokens": tokens.output,
        "totalTokens": tokens.prompt + tokens.output,
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
    out.update(extras.get("bedrock.usage", {}))
    return out
