"""Token counts as Converse reports them: `inputTokens` leaves out what was read from or written to the cache."""

from __future__ import annotations

from typing import Any

from hapenny.core.events import OUTPUT_UNITS, Tokens, Usage
from hapenny.protocols.fields import count
from hapenny.protocols.served import served


def decode(usage: dict[str, Any], trace: Any = None) -> Tokens:
    """Counts from a usage object. Writes without a lifetime count as the short one. `trace` tells guardrail units."""
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
        units=tuple(sorted(guarded(trace).items())),
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
    tier, speed = data.get("serviceTier"), data.get("performanceConfig")
    terms = served(
        tier=tier.get("type") if type(tier) is dict else None,
        speed=speed.get("latency") if type(speed) is dict else None,
    )
    return Usage(decode(used, data.get("trace")), {"bedrock.usage": extras} if extras else {}, raw, terms)


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
    output = tokens.output + sum(amount for unit, amount in tokens.units if unit in OUTPUT_UNITS)
    out: dict[str, Any] = {
        "inputTokens": tokens.prompt - tokens.cache_read - written,
        "outputTokens": output,
        "totalTokens": tokens.prompt + output,
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


_GUARDED = {
    "topicPolicyUnits": "guardrail_topic",
    "contentPolicyUnits": "guardrail_content",
    "contentPolicyImageUnits": "guardrail_image",
    "wordPolicyUnits": "guardrail_word",
    "sensitiveInformationPolicyUnits": "guardrail_pii",
    "sensitiveInformationPolicyFreeUnits": "guardrail_pii_free",
    "contextualGroundingPolicyUnits": "guardrail_grounding",
    "automatedReasoningPolicyUnits": "guardrail_reasoning",
}


def guarded(trace: Any) -> dict[str, int]:
    """Units of guardrails that were paid with the call: what a trace reports of every assessment, added up."""
    found: dict[str, int] = {}
    waiting: list[Any] = [trace.get("guardrail")] if type(trace) is dict else []
    while waiting:
        value = waiting.pop()
        if type(value) is list:
            waiting.extend(value)
        elif type(value) is dict:
            metrics = value.get("invocationMetrics")
            used = metrics.get("usage") if type(metrics) is dict else None
            for name, unit in _GUARDED.items() if type(used) is dict else ():
                if amount := count(used.get(name)):
                    found[unit] = found.get(unit, 0) + amount
            waiting.extend(inner for key, inner in value.items() if key != "invocationMetrics")
    return found
