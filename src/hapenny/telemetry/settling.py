"""What a call used and what is paid for it: whether a provider's report can be true, what its prompt cache did, and
the settling of a call that has ended.

Usage that the provider reported is `reported`. A call that ended without usage may still have been billed: one that the
provider refused costs nothing, any other is an upper bound on estimator counts and `estimated`. What the answer says of
how it was served (service tier, geography, speed) and of what it used beside text goes before what was asked.

A report goes into books, quotas and what is learnt of tokens: one that is off by orders of magnitude would close a
quota for hours, or not even fit into the ledger. One that cannot be true is left out, and the call is estimated. Output
is held against `max_tokens` (for each choice asked for) and what was streamed, or against the model's longest answer;
prompts against the model's context. All bounds are generous: counts of hidden reasoning, of images and of tools that
run at the provider are legitimately larger than what we see.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from hapenny.catalog import SERVICE_TIERS
from hapenny.core.errors import Kind
from hapenny.core.events import Tokens
from hapenny.core.exchange import Call, Target
from hapenny.protocols.billing import Billed, apart, billed
from hapenny.telemetry.layout import Layout
from hapenny.telemetry.prefixes import NOTHING, Prefixes, Split, Upto
from hapenny.telemetry.pricing import Meter, Prices

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
LONGEST_PROMPT = 10_000_000
"""Tokens of the largest context any provider offers, for models whose context is not known."""
LONGEST_ANSWER = 1_000_000
"""Likewise of an answer."""
TIMES = 4
"""How far beyond a stated limit a report is still taken."""
SLACK = 4_096
"""Tokens beyond it that never make a report wrong."""


def plausible(call: Call, tokens: Tokens, prices: Prices) -> bool:
    """Whether `tokens`, as a provider reports them, may be what `call` used."""
    card = prices.place(call.target).card
    prompt = card.context_window * TIMES if card is not None and card.context_window else LONGEST_PROMPT
    if not 0 <= tokens.prompt <= prompt + SLACK:
        return False
    output = card.max_output if card is not None and card.max_output else LONGEST_ANSWER
    request = call.request
    if request is not None:
        times = max(1, request.parameters.n or 1)
        asked = request.parameters.max_tokens or output
        came = sum(map(len, call.output))  # a token is at least a byte; characters are close enough
        output = max(min(asked, LONGEST_ANSWER) * min(times, 128), came)
    return 0 <= tokens.output <= output * TIMES + SLACK


def settle(call: Call, prices: Prices, wall: float) -> None:
    """Sets target, tokens, provenance and cost of a call that ended; leaves one of which nothing is known."""
    bill = billed(call.extras, call.request)
    call.target = served(call.sent, bill)
    tokens = call.tokens
    if tokens is not None and call.output and call.request is not None and not (tokens.prompt or tokens.output):
        tokens = None  # some servers write zeros for what they do not count
    if tokens is not None and call.provenance != "estimated" and not plausible(call, tokens, prices):
        tokens = call.tokens = None
    if call.accepted is not None and not plausible(call, call.accepted, prices):
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


def split(
    prefixes: Prefixes, world: tuple[object, ...], layout: Layout, place: Meter, start: float, began: float
) -> Split:
    """What the prompt cache of `place` would do with a prompt in `world`, sent at `start`, readable from `began` on."""
    card = place.card
    if card is None or card.cache_mode is None or (card.cache_mode == "explicit" and not layout.points):
        return NOTHING
    return prefixes.split(
        (*world, card.id), layout, anchored(prefixes, layout, place),
        mode=card.cache_mode, minimum=card.cache_min or 0, start=start, began=began,
    )  # fmt: skip


def settle_prefix(
    prefixes: Prefixes,
    world: tuple[object, ...],
    layout: Layout,
    place: Meter,
    tokens: Tokens,
    start: float,
    began: float,
) -> None:
    """What the prompt cache of `place` is reported to have done with a prompt with points."""
    card = place.card
    if card is not None and card.cache_mode == "explicit" and layout.points:
        covered = tokens.cache_read + tokens.cache_write + tokens.cache_write_1h
        prefixes.settle(
            (*world, card.id), layout, anchored(prefixes, layout, place), covered,
            minimum=card.cache_min or 0, start=start, began=began,
        )  # fmt: skip
        if covered:  # all up to the last point was read or written: its tokens are known for good
            prefixes.measured(card.id, layout, layout.points[-1].at, covered)


def anchored(prefixes: Prefixes, layout: Layout, place: Meter) -> Upto:
    """Tokens of a prompt's prefixes on `place`: estimates, corrected by the deepest prefix whose tokens are known."""
    card = place.card
    anchor = prefixes.anchor(card.id, layout) if card is not None else None
    if anchor is None:
        return partial(place.upto, layout)
    at, tokens = anchor
    guess = place.upto(layout, at)

    def upto(index: int) -> int:
        estimate = place.upto(layout, index)
        return tokens + estimate - guess if index >= at else estimate * tokens // max(1, guess)

    return upto


def whole(prefixes: Prefixes, layout: Layout, place: Meter, prompt: int) -> int:
    """`prompt`, the estimated tokens of all of `layout` on `place`, corrected in the same way."""
    card = place.card
    anchor = prefixes.anchor(card.id, layout) if card is not None and layout.points else None
    return prompt if anchor is None else max(1, prompt + anchor[1] - place.upto(layout, anchor[0]))
