"""Settles a call that has ended: what was billed for it, how sure that is, and its price.

Usage that the provider reported is `reported`, unless it cannot be true (`plausible`). A call that ended without usage
may still have been billed: one that the provider refused costs nothing, any other is an upper bound on estimator counts
and `estimated`. What the answer says of how it was served (service tier, geography, speed) and of what it used beside
text goes before what was asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from hapenny.catalog import SERVICE_TIERS
from hapenny.core.errors import Kind
from hapenny.core.events import Tokens
from hapenny.core.exchange import Call, Target
from hapenny.protocols.billing import Billed, apart, billed
from hapenny.telemetry.pricing import Prices

UNBILLED: frozenset[Kind] = frozenset(
    {
        "invalid_request", "context_overflow", "authentication", "permission", "budget", "not_found", "conflict",
        "too_large", "rate_limited", "overloaded", "unavailable", "model_error",
        "provider_account",
    }
)  # fmt: skip
"""Failures before any content after which providers bill nothing. Others may have been billed: they are estimated."""

_NOTHING_BILLED = Tokens()
_PREPAID = frozenset({"provisioned", "owned"})
"""Tiers that are paid by the hour: an answer's word for its tier does not change who pays for it."""
_GUESSED = frozenset({"embed", "rerank", "guard"})
"""Calls whose tokens are not those of the exchange's request: whoever makes them says what they may have used."""
_AS_EVER = frozenset({"", "standard"})


def settle(call: Call, prices: Prices, wall: float) -> None:
    """Sets target, tokens, provenance and cost of a call that ended; leaves one of which nothing is known."""
    bill = billed(call.extras, call.request)
    call.target = served(call.sent, bill)
    tokens = call.tokens
    if tokens is not None and call.output and call.request is not None and not (tokens.prompt or tokens.output):
        tokens = None  # some servers write zeros for what they do not count
    if tokens is not None and call.provenance != "estimated" and not prices.plausible(call, tokens):
        tokens = call.tokens = None
    if call.accepted is not None and not prices.plausible(call, call.accepted):
        call.accepted = None
    if tokens is not None:
        tokens = apart(tokens, bill.units)
        if call.provenance != "estimated":
            call.provenance = "reported"
            call.lesson = call.request is not None and call.purpose not in _GUESSED
    elif call.outcome == "failed" and call.began is None and not call.output and refused(call):
        tokens, call.provenance = Tokens(), "reported"
    elif call.request is not None:
        tokens, call.provenance = apart(prices.bound(call), bill.units), "estimated"
    else:
        return
    call.tokens = tokens
    # What was not billed costs nothing at any price, known or not.
    call.cost = 0 if tokens == _NOTHING_BILLED else prices.price(call.target, tokens, wall)


def refine(calls: Sequence[Call], prices: Prices, wall: float) -> None:
    """Settles estimated calls again by what the same request used when it was asked once more: a retry reports what
    the attempt that was lost did not."""
    for call in calls:
        if call.provenance != "estimated" or call.request is None or call.purpose in _GUESSED:
            continue
        twin = next((each for each in calls if _same(call, each)), None)
        if twin is not None and twin.tokens is not None:
            tokens = prices.like(call, twin.tokens)
        else:
            tokens = prices.bound(call)
        call.tokens = apart(tokens, call.tokens.units if call.tokens is not None else ())
        call.cost = prices.price(call.target, call.tokens, wall)


def _same(call: Call, other: Call) -> bool:
    """Whether `other` reports what the very request of `call` used."""
    if other.provenance != "reported" or other.tokens is None or not other.tokens.prompt:
        return False
    return other.target.model == call.target.model and other.request == call.request


def served(target: Target, bill: Billed) -> Target:
    """`target` as the answer says it was served; an unknown word for a tier has no price, and is kept."""
    tier = target.service_tier
    if tier not in _PREPAID and tier != "batch":
        if bill.speed not in _AS_EVER:
            tier = "fast_mode" if bill.speed == "fast" else f"speed {bill.speed}"
        elif bill.latency not in _AS_EVER:
            tier = bill.latency
        elif bill.service_tier:
            tier = SERVICE_TIERS.get(bill.service_tier, bill.service_tier)
    if tier == target.service_tier and bill.geo == target.geo:
        return target
    return replace(target, service_tier=tier, geo=bill.geo)


def refused(call: Call) -> bool:
    """Whether the provider turned the call down, and so bills nothing for it."""
    failure = call.failure
    if failure is None:
        return False
    if failure.upstream_status is not None:
        return failure.upstream_status >= 400
    return failure.kind in UNBILLED
