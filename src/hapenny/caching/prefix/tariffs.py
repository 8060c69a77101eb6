"""From a catalog card to how its provider caches prompts."""

from __future__ import annotations

from hapenny.caching.prefix.placement import MINIMUM_TOKENS, MOST_POINTS
from hapenny.caching.prefix.reuse import Tariff
from hapenny.caching.prefix.stage import LONG, SHORT, ModelCache
from hapenny.catalog import Card


def of_card(card: Card | None) -> ModelCache | None:
    """How the model caches, its prices relative to input; None if it does not or a price is unknown."""
    if card is None or card.cache_mode is None:
        return None
    rates = card.rates()
    if rates is None or not rates.input or rates.cache_read is None:
        return None
    automatic = card.cache_mode == "automatic"
    write = rates.cache_write if rates.cache_write is not None else (rates.input if automatic else None)
    if write is None:
        return None
    read = rates.cache_read / rates.input
    # Where writing is listed for less than plain input, nothing is planned on that: it only costs nothing beyond it.
    tariffs = [Tariff(SHORT, max(1.0, write / rates.input), read)]
    if rates.cache_write_1h is not None:
        tariffs.append(Tariff(LONG, rates.cache_write_1h / rates.input, read))
    return ModelCache(
        minimum=card.cache_min or MINIMUM_TOKENS,
        tariffs=tuple(tariffs),
        automatic=automatic,
        points=card.cache_points or MOST_POINTS,
        places=card.cache_places,
        behind_text=card.cache_behind_text,
    )
