"""The one `price()`: integer pico-dollars, summed exactly, rounded once to nano-dollars."""

from __future__ import annotations

from hapenny.catalog.card import Card, Rates
from hapenny.catalog.fees import fee
from hapenny.core.events import OUTPUT_UNITS, PROMPT_UNITS, Tokens

_AS_TEXT = {"image_input": "input", "image_cache_read": "cache_read", "video_input": "input"}
"""Tokens that cost what text does where a model that takes pictures states no price of their own."""


def price(
    card: Card,
    tokens: Tokens,
    *,
    service_tier: str = "standard",
    region_class: str = "in_region",
    wall: float = 0.0,
    queries: int = 1,
) -> int | None:
    """What `tokens` cost on `card`, in nano-dollars (1e-9 $), rounded half to even.

    Args:
        card: the model.
        tokens: counts of the call; reasoning is part of output.
        service_tier: standard, priority, flex or batch, or a wire name of one of them.
        region_class: `in_region`, `in_region:REGION`, `geo` (the us. profile), `geo:PREFIX` or `global`.
        wall: epoch seconds of the call; decides which contract holds.
        queries: how many queries a reranker was asked.

    Returns:
        nano-dollars, or None when a rate that is needed is unknown.
    """
    rates = card.rates(service_tier, region_class, wall)
    return None if rates is None else amount(rates, tokens, queries, card)


def amount(rates: Rates, tokens: Tokens, queries: int | None = None, card: Card | None = None) -> int | None:
    """`tokens` (with their queries, unless given) at `rates`, in nano-dollars; None when a needed rate is unknown.

    `card` is needed for what is paid by use (`Tokens.units`): without one its price is unknown.
    """
    if rates.long is not None and rates.long_over is not None and tokens.prompt > rates.long_over:
        rates = rates.long
    total = 0
    for count, rate in (
        (tokens.input, rates.input),
        (tokens.output, rates.output),
        (tokens.cache_read, rates.cache_read),
        (tokens.cache_write, rates.cache_write),
        (tokens.cache_write_1h, rates.cache_write_1h),
    ):
        if count:
            if rate is None:
                return None
            total += count * rate
    if rates.query is not None:
        total += (tokens.queries if queries is None else queries) * rates.query
    for unit, count in tokens.units:
        rate = unit_rate(rates, unit, card)
        if rate is None:
            return None
        total += count * rate
    return half_even(total, 1000)


def unit_rate(rates: Rates, unit: str, card: Card | None) -> int | None:
    """Pico-dollars for one of `unit`; None: unknown."""
    rate = rates.units.get(unit)
    if rate is None and unit in _AS_TEXT:
        rate = getattr(rates, _AS_TEXT[unit])
    if rate is None and unit not in PROMPT_UNITS and unit not in OUTPUT_UNITS and card is not None:
        rate = fee(card, unit)
    return rate


def half_even(number: int, divisor: int) -> int:
    """`number / divisor` rounded to the nearest integer, ties to even; `divisor` is positive."""
    quotient, rest = divmod(number, divisor)
    twice = 2 * rest
    if twice > divisor or (twice == divisor and quotient & 1):
        quotient += 1
    return quotient
