"""What the tiers of a deployment cost, as far as the price of their models is known."""

from __future__ import annotations

from hapenny.catalog import Catalog
from hapenny.gateway.resolver import RequestResolver
from hapenny.routing.budget import Rates


def tier_rates(catalog: Catalog, resolver: RequestResolver) -> dict[str, Rates]:
    """Prices of the tiers whose model's are known."""
    known = {}
    for tier, target in resolver.names.tiers.items():
        card = catalog.resolve(target.model)
        rates = card.rates() if card is not None else None
        if rates is not None and rates.input is not None and rates.output is not None:
            cached = rates.cache_read if rates.cache_read is not None else rates.input
            known[tier] = Rates(float(rates.input), float(cached), float(rates.output))
    return known
