"""What stages that only watch would have saved on a request that is over, priced like the request itself.

A stage says what it would have done: asked another model (`instead`), or none (`spared`), or sent less (`would_save`,
its own estimate). What that is worth is known at the end: the tokens are those that were billed.
"""

from __future__ import annotations

from msgspec.structs import replace

from hapenny.core.events import Tokens
from hapenny.core.exchange import Call, Exchange, Target
from hapenny.telemetry.pricing import Prices


def counterfactuals(exchange: Exchange, adopted: Call | None, prices: Prices) -> dict[str, int]:
    """Nano-dollars by stage, or by stage and what it would take (`tiers:auto`); what has no known price is left out."""
    by_technique: dict[str, int] = {}
    for taken in exchange.decisions:
        decision = taken.decision
        if decision is None or taken.mode != "shadow":
            continue
        saves = decision.would_save
        if decision.instead is not None:
            saves = _moved(adopted, decision.instead, prices, exchange.wall) if exchange.delivered else None
        elif decision.spared is not None:
            delivered = adopted is not None and exchange.delivered and exchange.failure is None
            saves = (adopted.cost if adopted is not None and delivered else None) if decision.spared else 0
        if saves is None:
            continue
        name = f"{taken.stage}:{decision.label}" if decision.label else taken.stage
        by_technique[name] = by_technique.get(name, 0) + saves * decision.weight
    return by_technique


def _moved(adopted: Call | None, instead: Target, prices: Prices, wall: float) -> int | None:
    """What the call would have cost less on another model, with its tokens as that model counts them."""
    if adopted is None or adopted.cost is None or adopted.tokens is None or adopted.request is None:
        return None
    if instead.model == adopted.target.model:
        return 0
    here, there = prices.prompt(adopted.request, adopted.target), prices.prompt(adopted.request, instead)
    scale = there / here if here else 1.0
    tokens = adopted.tokens
    if _writes_for_less(prices, instead, there, wall):
        # Its prompt cache is written to for less than plain input costs: all of the prompt is.
        tokens = replace(tokens, input=0, cache_write=tokens.cache_write + tokens.input)
    price = prices.price(
        instead,
        Tokens(
            input=round(tokens.input * scale),
            output=tokens.output,
            cache_read=round(tokens.cache_read * scale),
            cache_write=round(tokens.cache_write * scale),
            cache_write_1h=round(tokens.cache_write_1h * scale),
        ),
        wall,
    )
    return None if price is None else adopted.cost - price


def _writes_for_less(prices: Prices, target: Target, prompt: int, wall: float) -> bool:
    place = prices.place(target)
    rates, card = place.rates(target.service_tier, wall), place.card
    if rates is None or card is None or card.cache_mode is None or rates.cache_write is None or rates.input is None:
        return False
    return rates.cache_write < rates.input and prompt >= (card.cache_min or 1_024)
