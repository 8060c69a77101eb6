"""What an answer says of its own bill beside text tokens: how it was served, and what was used besides.

Read from what the decoders keep of a provider's fields (`extras` of `Started`, `Stopped` and `Usage`), whole and
streamed alike. Where they stand: OpenAI's `service_tier` beside the choices and token details in `usage`; Anthropic's
`service_tier`, `inference_geo`, `speed` and `server_tool_use` in `usage`, `container` beside the content; Converse's
`serviceTier`, `performanceConfig` and the guardrail's `invocationMetrics` in `trace` beside `usage`; InvokeModel's in
headers (`of_headers`) and in the body's `amazon-bedrock-trace`; tools of OpenAI Responses in its `output`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hapenny.core.events import Tokens
from hapenny.core.messages import Json, Request
from hapenny.protocols.fields import count

GUARDRAIL = "guardrail"
"""The unit of a guardrail that ran and did not say how much it checked: it has no price."""

TIER_HEADER = "x-amzn-bedrock-service-tier"
LATENCY_HEADER = "x-amzn-bedrock-performanceconfig-latency"
_NO_GEO = frozenset({"", "global", "not_available", "unknown"})
_GUARDED = {
    "contentPolicyUnits": "guardrail_content",
    "topicPolicyUnits": "guardrail_topic",
    "wordPolicyUnits": "guardrail_word",
    "sensitiveInformationPolicyUnits": "guardrail_pii",
    "sensitiveInformationPolicyFreeUnits": "guardrail_pii_free",
    "contextualGroundingPolicyUnits": "guardrail_grounding",
    "contentPolicyImageUnits": "guardrail_image",
    "automatedReasoningPolicyUnits": "guardrail_reasoning",
}
_MODAL = ("audio", "image", "video")


class Billed(Struct, frozen=True, gc=False, kw_only=True):
    """How a call was served, in the provider's words ("": it does not say), and the units it used beside text."""

    service_tier: str = ""
    geo: str = ""
    """Where inference ran, if that has a price of its own ("us")."""
    speed: str = ""
    latency: str = ""
    """Bedrock's `performanceConfig.latency`."""
    units: tuple[tuple[str, int], ...] = ()
    """By the names of `Tokens.units`."""


NOTHING = Billed()


def billed(extras: Mapping[str, Any], request: Request | None = None) -> Billed:
    """What an answer says. Never raises: what is not understood is not read.

    Args:
        extras: of the events of one answer, by dialect.
        request: what was sent, for what only it says (a guardrail, a search without a count).
    """
    if not extras:
        unsaid = _unsaid(request, []) if request is not None else []
        return Billed(units=tuple(unsaid)) if unsaid else NOTHING
    openai, counted = _part(extras, "openai"), _part(extras, "openai.usage")
    responses = _part(extras, "responses")
    counted = counted or _part(extras, "responses.usage")
    anthropic, used = _part(extras, "anthropic"), _part(extras, "anthropic.usage")
    converse = _part(extras, "bedrock.usage")
    tier = _text(openai.get("service_tier")) or _text(responses.get("service_tier"))
    tier = tier or _text(_part(converse, "serviceTier").get("type"))
    tier = tier or _text(used.get("service_tier"))
    geo = _text(used.get("inference_geo"))
    units: list[tuple[str, int]] = []
    if counted:
        units += _details(counted)
        units += _searches(counted)
    if used or anthropic:
        units += _tools(used, anthropic)
    if "output" in openai:
        units += tools(openai["output"])
    if "responses.output" in extras:
        units += tools([{"type": kind} for kind in extras["responses.output"]])
    if "trace" in converse or "amazon-bedrock-trace" in anthropic:
        units += _guardrail(_part(converse, "trace")) or _guardrail(_part(anthropic, "amazon-bedrock-trace"))
    if request is not None:
        units += _unsaid(request, units)
    return Billed(
        service_tier=tier,
        geo="" if geo in _NO_GEO else geo,
        speed=_text(used.get("speed")),
        latency=_text(_part(converse, "performanceConfig").get("latency")),
        units=tuple((unit, number) for unit, number in units if number) if units else (),
    )


def of_headers(headers: Mapping[str, str]) -> dict[str, Json]:
    """What the headers of an InvokeModel answer say, as extras of an event (lower-case names)."""
    tier, latency = headers.get(TIER_HEADER, ""), headers.get(LATENCY_HEADER, "")
    fields: dict[str, Json] = {"serviceTier": {"type": tier}} if tier else {}
    if latency:
        fields["performanceConfig"] = {"latency": latency}
    return {"bedrock.usage": fields} if fields else {}


def apart(tokens: Tokens, units: tuple[tuple[str, int], ...]) -> Tokens:
    """`tokens` with `units` beside them: what is counted as sound or picture is no longer counted as text."""
    if not units:
        return tokens
    known = {unit for unit, _ in tokens.units}
    fresh = tuple(pair for pair in units if pair[0] not in known)
    if not fresh:
        return tokens
    heard = sum(number for unit, number in fresh if unit.endswith("_input"))
    read = sum(number for unit, number in fresh if unit.endswith("_cache_read"))
    made = sum(number for unit, number in fresh if unit.endswith("_output"))
    return replace(
        tokens,
        input=max(0, tokens.input - heard),
        cache_read=max(0, tokens.cache_read - read),
        output=max(0, tokens.output - made),
        units=(*tokens.units, *fresh),
    )


def tools(output: Any) -> list[tuple[str, int]]:
    """Units of the tools that stand in the `output` list of an OpenAI Responses answer."""
    used: dict[str, int] = {}
    for item in output if isinstance(output, list) else ():
        kind = _text(item.get("type")) if isinstance(item, dict) else ""
        unit = {
            "web_search_call": "web_search",
            "file_search_call": "file_search",
            "code_interpreter_call": "code_execution",
            "image_generation_call": "image_generation",
            "computer_call": "",
        }.get(kind, "")
        if unit:
            used[unit] = used.get(unit, 0) + 1
    return list(used.items())


def guarded(usage: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    """Units of a guardrail that was asked by itself, as its answer counts them."""
    return tuple((unit, number) for key, unit in _GUARDED.items() if (number := count(usage.get(key))))


def _details(usage: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Sounds and pictures among OpenAI's token details (Chat Completions and Responses)."""
    for prompt in ("prompt_tokens_details", "input_tokens_details"):
        details = _part(usage, prompt)
        cached = _part(details, "cached_tokens_details")
        for kind in _MODAL:
            read = count(cached.get(f"{kind}_tokens"))
            yield f"{kind}_cache_read", read
            yield f"{kind}_input", max(0, count(details.get(f"{kind}_tokens")) - read)
    for made in ("completion_tokens_details", "output_tokens_details"):
        details = _part(usage, made)
        for kind in _MODAL[:2]:
            yield f"{kind}_output", count(details.get(f"{kind}_tokens"))


def _searches(usage: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """What servers that speak as OpenAI does charge by use: OpenRouter, Perplexity, xAI."""
    for key, number in _part(usage, "server_tool_use").items():
        if key.endswith("_requests"):
            yield key.removesuffix("_requests"), count(number)
    yield "web_search", count(usage.get("num_search_queries"))
    yield "search_source", count(usage.get("num_sources_used"))


def _tools(usage: Mapping[str, Any], message: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Anthropic's server tools. A sandbox that ran beside no search is paid by the hour, which nothing reports."""
    used = _part(usage, "server_tool_use")
    for key, number in used.items():
        if key.endswith("_requests"):
            yield key.removesuffix("_requests"), count(number)
    searched = any(count(used.get(f"{name}_requests")) for name in ("web_search", "web_fetch"))
    for turn in usage.get("iterations") or ():
        # A compaction or an advisor's turn is paid beside the counts at the top, which leave it out.
        kind = _text(turn.get("type")) if isinstance(turn, Mapping) else ""
        if kind and kind != "message":
            yield kind, 1
    if message.get("container") and not searched and not count(used.get("code_execution_requests")):
        yield "code_execution", 1


def _guardrail(trace: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Text units of every assessment in a trace."""
    trace = _part(trace, "guardrail")
    assessments: list[Any] = list(_part(trace, "inputAssessment").values())
    for several in _part(trace, "outputAssessments").values():
        assessments += several if isinstance(several, list) else [several]
    total: dict[str, int] = {}
    for one in assessments:
        usage = _part(_part(one, "invocationMetrics"), "usage")
        for key, unit in _GUARDED.items():
            total[unit] = total.get(unit, 0) + count(usage.get(key))
    return list(total.items())


def _unsaid(request: Request, units: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """What the request shows to have been used, where the answer does not count it."""
    known = {unit for unit, number in units if number} if units else set()
    more: list[tuple[str, int]] = []
    extras = request.extras
    guarded = extras.get("guardrailConfig") or extras.get("x-amzn-bedrock-guardrailidentifier")
    if guarded and not any(unit.startswith(GUARDRAIL) for unit in known):
        more.append((GUARDRAIL, 1))
    if (
        "-search-preview" in request.model
        or "-search-api" in request.model
        or extras.get("web_search_options") is not None
    ):
        # Chat Completions searches once a request with these models and does not count it.
        more.append(("web_search_preview" if "-search-preview" in request.model else "web_search", 1))
    return more


def _part(value: Any, key: str) -> Mapping[str, Any]:
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _text(value: Any) -> str:
    return value if type(value) is str else ""
