"""Where the price file is silent or wrong, and what holds instead: each change with its day and its source.

The price file is kept by many hands and has gaps (batch prices, hour-long cache writes) and errors (in-Region prices).
Each rule below changes only prices it can name a source for; all others stay as the file has them, and what nobody
states stays unknown. The comparison of the finished catalog with other tables is `python -m benchmarks.catalog`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from hapenny.catalog import facts
from hapenny.catalog.card import Card, Prices, Rates, ServiceTier, Source, changed

READ = "2026-11-30"
"""The day on which the sources below were read."""
_PRICE_LIST = "AWS Price List API"

SOURCES: dict[str, Source] = {
    "announced": Source(
        READ,
        "https://www.anthropic.com/news/claude-3-family (4 March 2024; list price on Amazon Bedrock the same); batch "
        "half of it (Amazon Bedrock pricing, 20 July 2025)",
    ),
    "bedrock-regional": Source(
        READ,
        f"{_PRICE_LIST}: in-Region and geographic usage types (USE1_InputTokenCount, Nova2.0Lite-input-tokens) cost "
        "10 % more than global ones (…_Global, -cross-region-global); genai-prices 0.2.3 has the same. The price file "
        "gives in-Region ids the global price",
    ),
    "bedrock-batch": Source(
        READ,
        f"https://aws.amazon.com/bedrock/pricing/: batch inference at half the on-demand price; {_PRICE_LIST}: "
        "…_Batch usage types for input and output alone, cached tokens are not sold in batch. Whether a model takes "
        "batch is the service's to say: a price here does not promise it",
    ),
    "bedrock-hour": Source(
        READ,
        f"{_PRICE_LIST}: CacheWrite1hInputTokenCount costs the same in every geography of this price; genai-prices "
        "0.2.3 has the same. The price file leaves it out for one geography",
    ),
    "nova-cache-write": Source(
        READ,
        f"{_PRICE_LIST}: NovaLite-, NovaPro- and Nova2.0Lite-cache-write-input-token-count at $0.0000000000 per 1,000 "
        "tokens; the other rates as in the price file, which has none for cache writes",
    ),
    "bedrock-optimized": Source(
        READ,
        "https://aws.amazon.com/bedrock/pricing/ on 20 July 2025, latency-optimised inference (Nova Pro, Llama 3.1); "
        "https://www.anthropic.com/news/trainium2-and-distillation, 3 December 2024 (Claude 3.5 Haiku: $1 and $5); "
        "cached tokens are not sold at it",
    ),
    "anthropic-batch": Source(
        READ,
        "https://platform.claude.com/docs/en/about-claude/pricing#batch-processing: half of every token price, cache "
        "multipliers stack; genai-prices 0.2.3 has the same. The price file leaves out hour-long cache writes",
    ),
    "anthropic-long": Source(
        READ,
        "https://platform.claude.com/docs/en/about-claude/pricing#long-context-pricing until 30 April 2026, when the "
        "1M context of Sonnet 4.5 ended: above 200,000 tokens twice the input and cache prices, 1.5 times the output; "
        "batch half of it; genai-prices 0.2.3 has the same. The price file has it for Bedrock alone",
    ),
    "anthropic-geo": Source(
        READ,
        "https://platform.claude.com/docs/en/about-claude/pricing#data-residency-pricing: `inference_geo: us` costs "
        "1.1 times every token price, cache and batch included",
    ),
    "anthropic-fast": Source(
        READ,
        "https://platform.claude.com/docs/en/about-claude/pricing#fast-mode-pricing: `speed: fast` costs twice every "
        "token price of these models, cache multipliers on top; removed from Opus 4.8 on 30 November 2026",
    ),
    "anthropic-retired": Source(
        READ,
        "https://platform.claude.com/docs/en/about-claude/pricing and #prompt-caching as genai-prices 0.2.3 keeps "
        "them; batch half of it; retired, kept for the record",
    ),
}

_OPTIMIZED: dict[str, tuple[int, int]] = {
    "anthropic.claude-3-5-haiku-20241022-v1:0": (1_000_000, 5_000_000),
    "amazon.nova-pro-v1:0": (1_000_000, 4_000_000),
    "meta.llama3-1-70b-instruct-v1:0": (900_000, 900_000),
    "meta.llama3-1-405b-instruct-v1:0": (3_000_000, 3_000_000),
}
"""Latency-optimised input and output; sold through the us. profile."""

_COUNTED = ("input", "output", "cache_read", "cache_write", "cache_write_1h")


def amended(cards: list[Card], premiums: dict[str, dict[str, Any]]) -> list[Card]:
    """`cards` with every rule applied.

    Args:
        cards: as made from the price file.
        premiums: the file's own multipliers by card id (`us`: data residency, `fast`: fast mode).
    """
    worldwide = _global_inputs(cards)
    made = []
    for card in cards:
        prices = {place: dict(tiers) for place, tiers in card.prices.items()}
        if card.provider in ("bedrock", "bedrock_mantle"):
            _regional(card, prices, worldwide)
        if card.provider == "bedrock":
            _bedrock(card, prices)
        if card.provider == "anthropic":
            _anthropic(card, prices, premiums.get(card.id, {}))
        made.append(changed(card, prices=prices))
    return [*made, *_retired()]


# -- Amazon Bedrock ----------------------------------------------------------------------------------------------------


def _global_inputs(cards: list[Card]) -> dict[facts.Claude, int]:
    """The global input price of each Claude model, by line and version."""
    inputs: dict[facts.Claude, int] = {}
    for card in cards:
        rates = card.prices.get("global", {}).get("standard")
        made = facts.claude(card.id)
        if made is not None and rates is not None and rates.input is not None:
            inputs[made] = rates.input
    return inputs


def _regional(card: Card, prices: Prices, worldwide: dict[facts.Claude, int]) -> None:
    """In-Region ids at the price of their geography, a tenth above the global one."""
    here = prices.get("in_region", {})
    listed = here.get("standard")
    if listed is None or not listed.input:
        return
    there = prices.get("geo:us", {}).get("standard")
    made = facts.claude(card.id)
    claimed = there.input if there is not None else None
    if claimed is None and made is not None and made.version >= (4, 5) and worldwide.get(made) == listed.input:
        claimed = listed.input * 11 // 10
    if claimed is None or claimed * 10 != listed.input * 11:
        return
    for tier, rates in here.items():
        own = prices.get("geo:us", {}).get(tier)
        here[tier] = _named(own, "bedrock-regional") if own is not None else _times(rates, 11, 10, "bedrock-regional")


def _bedrock(card: Card, prices: Prices) -> None:
    made = facts.claude(card.id)
    for place, tiers in prices.items():
        standard = tiers.get("standard")
        if standard is None:
            continue
        if made is not None:
            if place.startswith("geo:") and standard.cache_write_1h is None:
                tiers["standard"] = standard = _hour(standard, prices)
            _batch(tiers, standard)
        if "nova" in card.id:
            for tier, rates in tiers.items():
                if rates.cache_read is not None and rates.cache_write is None:
                    tiers[tier] = replace(rates, cache_write=0, source="nova-cache-write")
        optimized = _OPTIMIZED.get(card.id)
        if optimized is not None and place in ("in_region", "geo:us"):
            tiers["optimized"] = Rates(input=optimized[0], output=optimized[1], source="bedrock-optimized")


def _hour(standard: Rates, prices: Prices) -> Rates:
    """`standard` with the hour-long cache write of another geography at the same price."""
    for place, tiers in prices.items():
        other = tiers.get("standard")
        if not place.startswith("geo:") or other is None or other.cache_write_1h is None:
            continue
        if (other.input, other.cache_write) == (standard.input, standard.cache_write):
            return replace(standard, cache_write_1h=other.cache_write_1h, source="bedrock-hour")
    return standard


def _batch(tiers: dict[ServiceTier, Rates], standard: Rates) -> None:
    """Half of on demand, for text in and out, where the file has no batch price or none for long prompts."""
    half = _half(_text(standard), "bedrock-batch")
    listed = tiers.get("batch")
    if listed is None:
        tiers["batch"] = half
    elif standard.long is not None and (listed.long is None or listed.long.input is None):
        tiers["batch"] = replace(listed, long_over=half.long_over, long=half.long, source="bedrock-batch")
    elif standard.long is None and listed.long is not None and listed.long.input is None:
        tiers["batch"] = replace(listed, long_over=None, long=None)


def _text(rates: Rates) -> Rates:
    long = rates.long
    return Rates(
        input=rates.input,
        output=rates.output,
        long_over=rates.long_over,
        long=_text(long) if long is not None else None,
    )


# -- Anthropic ---------------------------------------------------------------------------------------------------------


def _anthropic(card: Card, prices: Prices, premium: dict[str, Any]) -> None:
    here = prices.get("in_region", {})
    standard, batch = here.get("standard"), here.get("batch")
    if facts.claude(card.id) == facts.Claude("sonnet", (4, 5)) and standard is not None and standard.long is None:
        dear = _times(replace(standard, output=None), 2, 1, "")
        dear = replace(dear, output=None if standard.output is None else standard.output * 3 // 2)
        standard = here["standard"] = replace(standard, long_over=200_000, long=dear, source="anthropic-long")
        if batch is not None:
            batch = here["batch"] = replace(batch, long_over=200_000, long=_half(dear, ""), source="anthropic-long")
    if standard is not None and batch is not None:
        half = _half(standard, "anthropic-batch")
        if batch.cache_write is not None and batch.cache_write_1h is None and standard.cache_write_1h is not None:
            long = msgspec.structs.replace(half.long, source="") if batch.long is not None and half.long else None
            here["batch"] = replace(batch, cache_write_1h=half.cache_write_1h, long=long, source="anthropic-batch")
    if standard is not None and premium.get("fast") == 2:
        here["fast_mode"] = _times(standard, 2, 1, "anthropic-fast")
    if premium.get("us") == 1.1:
        prices["geo:us"] = {tier: _times(rates, 11, 10, "anthropic-geo") for tier, rates in here.items()}


def _retired() -> list[Card]:
    """Claude 3 and 3.5 Haiku at Anthropic itself, which the price file no longer has."""
    made = []
    for name, tokens, write, tier in (
        ("claude-3-haiku-20240307", (250_000, 1_250_000, 30_000), (300_000, 500_000), "fast"),
        ("claude-3-5-haiku-20241022", (800_000, 4_000_000, 80_000), (1_000_000, 1_600_000), "balanced"),
    ):
        listed = Rates(
            input=tokens[0],
            output=tokens[1],
            cache_read=tokens[2],
            cache_write=write[0],
            cache_write_1h=write[1],
            source="anthropic-retired",
        )
        made.append(
            Card(
                id=name,
                provider="anthropic",
                family="claude-haiku",
                tier=tier,  # type: ignore[arg-type]
                context_window=200_000,
                max_output=4096 if "3-5" not in name else 8192,
                capabilities=frozenset(
                    {"tools", "tool_choice", "prefill", "prompt_caching", "stream", "system"}
                    | (set() if "3-5" in name else {"vision"})
                ),
                stop_max=8191,
                cache_mode="explicit",
                cache_min=2048,
                cache_ttls=("5m", "1h"),
                cache_points=4,
                tokenizer="claude",
                retired="yes",
                source="https://platform.claude.com/docs/en/about-claude/model-deprecations",
                prices={"in_region": {"standard": listed, "batch": _half(listed, "anthropic-retired")}},
            )
        )
    return made


# -- rates -------------------------------------------------------------------------------------------------------------

replace: Callable[..., Rates] = msgspec.structs.replace


def _named(rates: Rates, source: str) -> Rates:
    return replace(rates, source=source)


def _half(rates: Rates, source: str) -> Rates:
    return _times(rates, 1, 2, source)


def _times(rates: Rates, over: int, under: int, source: str) -> Rates:
    """Every rate times `over / under`. Raises `ValueError` where that is finer than a pico-dollar."""
    values: dict[str, int | None] = {}
    for name in _COUNTED:
        value = getattr(rates, name)
        if value is not None and value * over % under:
            raise ValueError(f"{value} pico-dollars times {over}/{under} is finer than a pico-dollar")
        values[name] = None if value is None else value * over // under
    long = rates.long
    return replace(
        rates,
        **values,
        units={name: value * over // under for name, value in rates.units.items()},
        long=_times(long, over, under, "") if long is not None else None,
        source=source,
    )
