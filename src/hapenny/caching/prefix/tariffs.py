"""From a catalog card to how its provider caches prompts."""

from __future__ import annotations

from hapenny.caching.prefix.stage import ModelCache
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
    long = rates.cache_write_1h if rates.cache_write_1h is not None else write
    return ModelCache(
        minimum=card.cache_min or 1_024,
        write=write / rates.input,
        read=rates.cache_read / rates.input,
        automatic=automatic,
        long_write=long / rates.input,
    )
