"""Models: capabilities, prices and limits as dated data, and the one `price()`.

May import core.
"""

from hapenny.catalog.card import SERVICE_TIERS, Card, Negotiated, Rates, Sampling, Source
from hapenny.catalog.catalog import Catalog, base_id, default, region_class, resolve
from hapenny.catalog.fitting import Change, Fit, Refusal, fit, nearest_effort, refusals
from hapenny.catalog.pricing import amount, half_even, price
from hapenny.catalog.short_names import spoken

__all__ = [
    "SERVICE_TIERS",
    "Card",
    "Catalog",
    "Change",
    "Fit",
    "Negotiated",
    "Rates",
    "Refusal",
    "Sampling",
    "Source",
    "amount",
    "base_id",
    "default",
    "fit",
    "half_even",
    "nearest_effort",
    "price",
    "refusals",
    "region_class",
    "resolve",
    "spoken",
]
