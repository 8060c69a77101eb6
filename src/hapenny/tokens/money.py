"""What tokens are worth on the model at hand."""

from __future__ import annotations

from collections.abc import Callable

from hapenny.core.events import Tokens
from hapenny.core.exchange import Exchange
from hapenny.telemetry.pricing import Prices
from hapenny.tokens.window import CachePrices


def counter(prices: Prices, exchange: Exchange) -> Callable[[str], float]:
    """Tokens of a text by the estimator of the exchange's target."""
    place = prices.place(exchange.target)
    place.catch_up()
    return place.prompts.tokens


def worth(prices: Prices, exchange: Exchange, tokens: float) -> int | None:
    """Nano-dollars of input tokens at the plain input price; None where the price is unknown."""
    return prices.price(exchange.target, Tokens(input=max(0, round(tokens))), exchange.clock.wall())


def cache_prices(prices: Prices, exchange: Exchange) -> CachePrices | None:
    """The target's prefix-cache prices relative to input; None if it has no prefix cache or no known price."""
    place = prices.place(exchange.target)
    rates = place.rates(exchange.target.service_tier, exchange.clock.wall())
    if (
        place.card is None
        or place.card.cache_mode is None
        or rates is None
        or not rates.input
        or rates.cache_read is None
    ):
        return None
    write = rates.cache_write if rates.cache_write is not None else rates.input
    return CachePrices(
        read=rates.cache_read / rates.input, write=write / rates.input, minimum=place.card.cache_min or 1024
    )


def room(prices: Prices, exchange: Exchange) -> int:
    """Tokens the model's context has for the prompt; 0 if unknown."""
    card = prices.place(exchange.target).card
    if card is None or card.context_window is None:
        return 0
    answer = exchange.request.parameters.max_tokens or min(card.max_output or 4096, 4096)
    return max(0, card.context_window - answer)
