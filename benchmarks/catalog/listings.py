"""Other price tables in one form: dollars per million tokens by the names of our rates.

`genai` is the PyPI package genai-prices (MIT, kept by Pydantic); `file` is a price file in LiteLLM's form.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from genai_prices import data_snapshot
from genai_prices.types import ModelInfo, Provider, TieredPrices

from hapenny.catalog import Card
from hapenny.catalog.make_cards import place as placed

RATES = ("input", "output", "cache_read", "cache_write", "cache_write_1h")


class Table(Protocol):
    """A price table of somebody else's."""

    name: str

    def look(self, card: Card, place: str, tier: str) -> dict[str, Decimal] | None:
        """Its rates of a card's price, `long.RATE` and `long_over` among them; None: it does not hold this price."""


_PROVIDERS = {"bedrock": "aws", "bedrock_mantle": "aws", "anthropic": "anthropic", "openai": "openai"}
_CONTEXT = {
    "batch": {"processing": "batch"},
    "priority": {"service_tier": "priority"},
    "flex": {"service_tier": "flex"},
    "fast_mode": {"speed": "fast"},
}
"""How genai-prices names our service tiers."""


class Genai:
    """genai-prices as installed."""

    def __init__(self) -> None:
        self.name = f"genai-prices {version('genai-prices')}"
        snapshot = data_snapshot.get_snapshot()
        self._all = snapshot.providers
        self._providers: dict[str, Provider] = {provider.id: provider for provider in snapshot.providers}
        self._now = datetime.now(tz=UTC)

    def model(self, card: Card, place: str) -> ModelInfo | None:
        """Its entry of a card at a place."""
        provider = self._providers.get(_PROVIDERS.get(card.provider, ""))
        bare = card.id.removeprefix("bedrock_mantle/")
        if provider is None:
            return None
        if place.startswith("geo:") or place == "global":
            if provider.id != "aws":
                return None  # it keeps no price by geography there
            bare = f"{place.removeprefix('geo:')}.{bare}"
        return provider.find_model(bare.lower(), all_providers=self._all)

    def look(self, card: Card, place: str, tier: str) -> dict[str, Decimal] | None:
        """See `Table`."""
        model = self.model(card, place)
        if model is None:
            return None
        context = _CONTEXT.get(tier)
        if tier != "standard":
            wanted = [variant for variant in model.price_variants or () if context and variant.when == context]
            if not wanted or not wanted[0].prices.__dict__:
                return None
        prices = model.get_prices(self._now, context)
        listed: dict[str, Decimal] = {}
        for rate in RATES:
            value = getattr(prices, f"{rate}_mtok", None)
            if isinstance(value, TieredPrices):
                listed[rate] = value.base
                listed["long_over"] = Decimal(value.tiers[0].start)
                listed[f"long.{rate}"] = value.tiers[0].price
            elif value is not None:
                listed[rate] = value
        searches = getattr(prices, "web_searches_kcount", None)
        if searches is not None and "web_search" in card.fees:
            listed["web_search"] = searches * 1000
        return listed


_SUFFIX = {"standard": "", "priority": "_priority", "flex": "_flex", "batch": "_batches", "ultrafast": "_ultrafast"}
_KEYS = {
    "input": "input_cost_per_token{}",
    "output": "output_cost_per_token{}",
    "cache_read": "cache_read_input_token_cost{}",
    "cache_write": "cache_creation_input_token_cost{}",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr{}",
}
_LONG = {"above_100k": 100_000, "above_200k": 200_000, "above_272k": 272_000}


class PriceFile:
    """A price file in LiteLLM's form, read without the code that makes our cards of it."""

    def __init__(self, path: str | Path) -> None:
        file = json.loads(Path(path).read_text(encoding="utf-8"), parse_float=Decimal)
        source = file.get("_source", {})
        self.name = f"{source.get('package', 'price file')} {source.get('version', '')}".strip()
        self._entries: dict[tuple[str, str, str], dict[str, Any]] = {}
        for key, entry in file["models"].items():
            where = placed(key, entry)
            if where is not None:
                self._entries[where] = entry

    def look(self, card: Card, place: str, tier: str) -> dict[str, Decimal] | None:
        """See `Table`."""
        entry = self._entries.get((card.provider, card.id, place))
        suffix = _SUFFIX.get(tier)
        if entry is None or suffix is None:
            return None
        listed: dict[str, Decimal] = {}
        for rate, key in _KEYS.items():
            value = entry.get(key.format("") + suffix)
            if value is not None:
                listed[rate] = Decimal(value) * 10**6
            for above, tokens in _LONG.items():
                value = entry.get(key.format(f"_{above}_tokens") + suffix)
                if value is not None:
                    listed[f"long.{rate}"] = Decimal(value) * 10**6
                    listed["long_over"] = Decimal(tokens)
        return listed or None
