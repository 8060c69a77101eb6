"""What is known of one model: names, limits, capabilities, parameters and dated prices."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

Kind: TypeAlias = Literal["chat", "embedding", "rerank", "guardrail"]
Tier: TypeAlias = Literal["fast", "balanced", "strong", "max"]
ServiceTier: TypeAlias = Literal["standard", "priority", "flex", "batch", "ultrafast", "fast_mode", "optimized"]
"""What is sold at a price of its own. `fast_mode` is Anthropic's `speed: fast`, `optimized` Bedrock's latency-optimised
inference; the others are what providers call service tiers."""

SERVICE_TIERS: dict[str, ServiceTier] = {
    "": "standard",
    "standard": "standard",
    "default": "standard",
    "auto": "standard",
    "on_demand": "standard",
    "standard_only": "standard",
    "priority": "priority",
    "fast": "priority",
    "flex": "flex",
    "batch": "batch",
    "ultrafast": "ultrafast",
    "fast_mode": "fast_mode",
    "optimized": "optimized",
}
"""What the wire calls a service tier, in the words of the house; a name not listed here has no known price."""


class Source(Struct, frozen=True):
    """Where a price was read, and when."""

    date: str
    """The day it was read there, ISO 8601."""
    text: str
    """Page, price list or package; where we depart from it, why."""


class Rates(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Prices in integer pico-dollars (1e-12 $) per token; None is unknown, never free."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    """Written to the provider's prompt cache with the short (5 minutes, or the provider's own) lifetime."""
    cache_write_1h: int | None = None
    query: int | None = None
    """Per query (rerankers), pico-dollars."""
    units: dict[str, int] = {}
    """Tokens that are not text, by `Tokens.units` names (audio_input, image_output …), pico-dollars each."""
    source: str = ""
    """Names an entry of the catalog's `sources`: the day and the place of this price."""
    long_over: int | None = None
    """From more prompt tokens than this on, the whole call is billed at `long`."""
    long: Rates | None = None


Prices: TypeAlias = dict[str, dict[ServiceTier, Rates]]
"""Region class to service tier to rates. A region class is `in_region`, `in_region:REGION`, `geo:PREFIX`, `global`."""


class Negotiated(Struct, frozen=True, kw_only=True):
    """Prices of a contract: they go before the list from `since` until `until` (epoch seconds)."""

    prices: Prices
    since: float = 0.0
    until: float = float("inf")
    source: str = ""


class Sampling(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which sampling parameters a model takes."""

    temperature: Literal["any", "one", "no"] = "any"
    """`one`: only the value 1 is taken."""
    temperature_max: float = 1.0
    top_p: bool = True
    top_k: bool = True
    both: bool = True
    """Whether temperature and top_p may be sent together."""


class Card(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model as one provider serves it. Limits are in tokens; an unknown value is None."""

    id: str
    provider: str
    """Who serves it: bedrock, bedrock_mantle, openai, anthropic, cohere, amazon_nova, or a name of your own."""
    family: str = ""
    """Whose model it is and which line: claude-sonnet, nova, titan, gpt-5 …"""
    kind: Kind = "chat"
    aliases: tuple[str, ...] = ()
    tier: Tier | None = None
    """A hint for routes that name no model for a tier."""
    context_window: int | None = None
    max_output: int | None = None
    dimensions: int | None = None
    """Length of an embedding."""
    capabilities: frozenset[str] = frozenset()
    """Of tools, tool_choice, forced_tools, parallel_tools, vision, pdf, audio_in, video_in, json_schema (the service's
    own structured output), prefill, reasoning, prompt_caching, system, computer_use, stream."""
    sampling: Sampling = Sampling()
    extra_parameters: frozenset[str] = frozenset()
    """Further parameters taken: seed, n, presence_penalty, frequency_penalty, verbosity."""
    stop_max: int | None = None
    """How many stop sequences; 0: none are taken; None: no limit known."""
    efforts: tuple[str, ...] = ()
    """Reasoning efforts taken, lowest first; empty: effort is refused."""
    thinking: frozenset[str] = frozenset()
    """Kinds of thinking taken: enabled (with a budget), adaptive, disabled."""
    cache_mode: Literal["explicit", "automatic"] | None = None
    """How the provider's prompt cache is used: by cache points, by itself, or not at all."""
    cache_min: int | None = None
    """Shortest prefix the provider caches; under it a cache point fails silently."""
    cache_ttls: tuple[str, ...] = ()
    cache_points: int | None = None
    cache_places: tuple[str, ...] = ("tools", "system", "messages")
    cache_behind_text: bool = False
    """Whether a cache point in a message must follow a text: not a tool's result or call."""
    """Where a cache point may stand."""
    burndown: int = 1
    """How many quota tokens one output token burns."""
    tokenizer: str = ""
    """A hint which vocabulary counts: claude, claude-2 (from 4.7 on), o200k, cl100k, nova, llama …"""
    retired: str | None = None
    """The day or the fact of retirement: no longer served, the price stays for the record."""
    source: str = ""
    prices: Prices = {}
    fees: dict[str, int] = {}
    """What is paid by use beside tokens, by `Tokens.units` names (web_search …), pico-dollars each."""
    negotiated: tuple[Negotiated, ...] = ()

    def has(self, capability: str) -> bool:
        """Whether the model has `capability`."""
        return capability in self.capabilities

    def sells(self, service_tier: str) -> bool:
        """Whether the model is sold at `service_tier` anywhere: elsewhere its service refuses to be asked for it."""
        tier = SERVICE_TIERS.get(service_tier)
        listed = (self.prices, *[contract.prices for contract in self.negotiated])
        return any(tier in tiers for prices in listed for tiers in prices.values())

    def rates(self, service_tier: str = "standard", region_class: str = "in_region", wall: float = 0.0) -> Rates | None:
        """The rates that hold at `wall` (epoch seconds), or None where the price is unknown.

        A contract in force goes before the list. `geo` alone means the `us.` profile; `in_region:REGION` falls back to
        the list price of all commercial regions; another geography or GovCloud is never guessed.
        """
        tier = SERVICE_TIERS.get(service_tier)
        if tier is None:
            return None
        for contract in self.negotiated:
            if contract.since <= wall < contract.until:
                rates = _pick(contract.prices, region_class, tier)
                if rates is not None:
                    return rates
        return _pick(self.prices, region_class, tier)


def _pick(prices: Prices, region_class: str, tier: ServiceTier) -> Rates | None:
    tiers = prices.get(region_class)
    if tiers is None:
        if region_class == "geo":
            tiers = prices.get("geo:us")
        elif region_class.startswith("in_region:") and not region_class.startswith("in_region:us-gov"):
            tiers = prices.get("in_region")
    return tiers.get(tier) if tiers is not None else None


class CardFile(Struct, frozen=True, kw_only=True):
    """The dated data file of the package."""

    date: str
    source: dict[str, str]
    sources: dict[str, Source] = {}
    """Where prices were read, by the names that `Rates.source` gives."""
    cards: list[Card]


def changed(card: Card, **fields: object) -> Card:
    """`card` with some fields replaced."""
    return msgspec.structs.replace(card, **fields)
