"""Makes `cards.json` from a price file: `python -m hapenny.catalog.make_cards PRICES.json [OUT.json]`.

The price file is LiteLLM's `model_prices_and_context_window.json` (MIT), cut to the providers served here, under
`models`, with its origin under `_source`. Prices become integer pico-dollars; what is missing stays missing.
"""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from hapenny.catalog import amendments, facts
from hapenny.catalog.card import Card, CardFile, Kind, Prices, Rates, ServiceTier, Source, changed
from hapenny.catalog.catalog import DATA

_KINDS: dict[str, Kind] = {"chat": "chat", "responses": "chat", "embedding": "embedding", "rerank": "rerank"}
_PROVIDERS = {"bedrock_converse": "bedrock", "cohere_chat": "cohere"}
_SUFFIX: dict[ServiceTier, str] = {
    "standard": "", "priority": "_priority", "flex": "_flex", "batch": "_batches", "ultrafast": "_ultrafast",
}  # fmt: skip
_UNITS = {
    "audio_input": "input_cost_per_audio_token",
    "audio_output": "output_cost_per_audio_token",
    "image_input": "input_cost_per_image_token",
}
"""Tokens that are not text, where the file gives them a price of their own."""
_OPENAI_SEARCH = 10_000_000_000
"""Pico-dollars of one search with OpenAI's current tool."""
_LISTED = "list"
"""The source of prices that are as the price file has them."""
_LONG = {"above_100k": 100_000, "above_200k": 200_000, "above_272k": 272_000}
_GEO = re.compile(r"(us-gov|us|eu|apac|jp|au|in|global)\.(.+)")
_DATED = re.compile(r"(?:[-@]\d{8}|-\d{4}-\d\d-\d\d)?(?:-v\d+)?(?::\d+)?$")
_ANNOUNCED = (
    "https://www.anthropic.com/news/claude-3-family (4 March 2024; list price on Amazon Bedrock the same); "
    "retirement: https://platform.claude.com/docs/en/about-claude/model-deprecations"
)


def pico(dollars: object) -> int | None:
    """Dollars as integer pico-dollars; the decimal text counts, not the binary fraction."""
    if dollars is None:
        return None
    exact = Decimal(repr(dollars)) * 10**12
    if exact != int(exact):
        raise ValueError(f"{dollars} is finer than a pico-dollar")
    return int(exact)


def rates(entry: dict[str, Any], tier: ServiceTier) -> Rates | None:
    """The rates of one service tier, or None when nothing is stated."""
    suffix = _SUFFIX[tier]

    def read(above: str = "") -> Rates:
        def rate(key: str, infix: str = "") -> int | None:
            return pico(entry.get(f"{key}{infix}{above}{suffix}"))

        return Rates(
            input=rate("input_cost_per_token"),
            output=rate("output_cost_per_token"),
            cache_read=rate("cache_read_input_token_cost"),
            cache_write=rate("cache_creation_input_token_cost"),
            cache_write_1h=rate("cache_creation_input_token_cost", "_above_1hr"),
            query=pico(entry.get("input_cost_per_query")) if tier == "standard" and not above else None,
        )

    listed = read()
    if listed == Rates():
        return None
    units = {unit: value for unit, key in _UNITS.items() if (value := pico(entry.get(key + suffix))) is not None}
    listed = msgspec.structs.replace(listed, units=units, source=_LISTED)
    threshold = next((name for name in _LONG if f"input_cost_per_token_{name}_tokens" in entry), None)
    if threshold is not None:
        listed = msgspec.structs.replace(listed, long_over=_LONG[threshold], long=read(f"_{threshold}_tokens"))
    return listed


def tiers(entry: dict[str, Any]) -> dict[ServiceTier, Rates]:
    """All service tiers of which at least one rate is stated."""
    by_tier: dict[ServiceTier, Rates] = {}
    for tier in _SUFFIX:
        one = rates(entry, tier)
        if one is not None:
            by_tier[tier] = one
    return by_tier


def place(key: str, entry: dict[str, Any]) -> tuple[str, str, str] | None:
    """Provider, model id and region class of a key of the price file; None: not an on-demand price of a model."""
    provider = _PROVIDERS.get(entry["litellm_provider"], entry["litellm_provider"])
    parts = key.split("/")
    if provider == "bedrock":
        if len(parts) == 3 and "-" in parts[1] and "commitment" not in parts[1]:
            return provider, parts[2], f"in_region:{parts[1]}"
        if len(parts) > 1:
            return None
        match = _GEO.fullmatch(key)
        if match is not None:
            return provider, match[2], "global" if match[1] == "global" else f"geo:{match[1]}"
        return provider, key, "in_region"
    if provider == "bedrock_mantle":
        where = f"in_region:{parts[1]}" if len(parts) == 3 else "in_region"
        return provider, f"bedrock_mantle/{parts[-1]}", where
    if "container" in key:
        return None
    return provider, key, "in_region"


def make_card(provider: str, name: str, entry: dict[str, Any], prices: Prices) -> Card:
    """One card from the entry that describes the model best."""
    hour = any(rates.cache_write_1h is not None for tiers in prices.values() for rates in tiers.values())
    chat = _KINDS[entry["mode"]] == "chat"
    cached = facts.cache(name, provider, entry, hour)
    retired = entry.get("deprecation_date")
    return Card(
        id=name,
        provider=provider,
        family=facts.family(name),
        kind=_KINDS[entry["mode"]],
        tier=facts.tier(name) if chat else None,
        context_window=entry.get("max_input_tokens"),
        max_output=entry.get("max_output_tokens") if chat else None,
        dimensions=entry.get("output_vector_size"),
        capabilities=facts.capabilities(name, entry),
        sampling=facts.sampling(name, entry) if chat else facts.NONE,
        extra_parameters=facts.extra_parameters(name, provider) if chat else frozenset(),
        stop_max=facts.stop_max(name, provider) if chat else None,
        efforts=facts.efforts(name, entry) if chat else (),
        thinking=facts.thinking(name, entry) if chat else frozenset(),
        cache_mode=cached.mode,  # type: ignore[arg-type]
        cache_min=cached.minimum,
        cache_ttls=cached.ttls,
        cache_points=cached.points,
        cache_places=facts.cache_places(name),
        cache_behind_text="nova" in name,
        burndown=facts.burndown(name, provider),
        tokenizer=facts.tokenizer(name),
        retired=str(retired) if retired else None,
        source=entry.get("source", ""),
        prices=prices,
        fees=fees(entry),
    )


def fees(entry: dict[str, Any]) -> dict[str, int]:
    """What is paid by use, where the file states one price for it.

    OpenAI sells two web searches: the preview tool of models that do not reason, whose price the file has, and the
    current one, the same for all models (https://developers.openai.com/api/docs/pricing, read 30 November 2026).
    """
    searches = set(entry.get("search_context_cost_per_query", {}).values())
    if len(searches) != 1:
        return {}
    price = pico(searches.pop()) or 0
    if entry["litellm_provider"] == "openai" and price > _OPENAI_SEARCH:
        return {"web_search": _OPENAI_SEARCH, "web_search_preview": price}
    return {"web_search": price}


def retired_cards() -> list[Card]:
    """Claude 3 Sonnet and Haiku: gone from the price file, kept for the applications that were built on them."""
    made = []
    for line, date, dollars, cards_tier in (
        ("sonnet", "20240229", (3_000_000, 15_000_000), "strong"),
        ("haiku", "20240307", (250_000, 1_250_000), "fast"),
    ):
        listed = Rates(input=dollars[0], output=dollars[1], source="announced")
        batch = Rates(input=dollars[0] // 2, output=dollars[1] // 2, source="announced")
        on_demand: dict[ServiceTier, Rates] = {"standard": listed, "batch": batch}
        geo: dict[ServiceTier, Rates] = {"standard": listed}
        made.append(
            Card(
                id=f"anthropic.claude-3-{line}-{date}-v1:0",
                provider="bedrock",
                family=f"claude-{line}",
                tier=cards_tier,  # type: ignore[arg-type]
                aliases=(f"claude-3-{line}-{date}",),
                context_window=200_000,
                max_output=4096,
                capabilities=frozenset(
                    {"tools", "tool_choice", "forced_tools", "vision", "prefill", "stream", "system"}
                ),
                stop_max=8191,
                tokenizer="claude",
                retired="yes",
                source=_ANNOUNCED,
                prices={"in_region": on_demand, "geo:us": geo, "geo:eu": geo, "geo:apac": geo},
            )
        )
    return made


def aliased(cards: list[Card]) -> list[Card]:
    """Gives each card the short names that no other card of its provider, or of an earlier one, claims."""
    order = {"anthropic": 0, "openai": 1, "bedrock": 2, "cohere": 3}
    gone = [card for card in cards if card.provider == "anthropic" and card.retired == "yes"]
    taken = {card.id for card in cards}
    result = []
    for card in sorted(  # what Anthropic no longer serves itself leaves the short names to others
        cards,
        key=lambda card: (card in gone, order.get(card.provider, 9), card.retired is not None, _newest(card.id)),
    ):
        names = list(card.aliases)
        short = _DATED.sub("", card.id) if re.search(r"claude|nova|gpt|(^|\.)o\d", card.id) else card.id
        names += [card.id.partition(":")[0], short]
        if card.provider == "bedrock":
            names += [re.sub(r"^(anthropic|amazon)\.", "", name) for name in (card.id, *names)]
        fresh = [name for name in dict.fromkeys(names) if name not in taken]
        taken.update(fresh)
        result.append(changed(card, aliases=tuple(fresh)))
    return sorted(result, key=lambda card: (order.get(card.provider, 9), card.id))


def _newest(name: str) -> tuple[int, ...]:
    """Sorts later dates and versions of the same short name first."""
    return tuple(-int(number) for number in re.findall(r"\d{6,}|v\d+", name.replace("v", "")) if number.isdigit())


def build(file: dict[str, Any]) -> CardFile:
    """All cards of a price file."""
    grouped: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for key, entry in file["models"].items():
        placed = place(key, entry)
        if placed is not None:
            provider, name, where = placed
            grouped.setdefault((provider, name), {})[where] = entry
    cards = retired_cards()
    premiums: dict[str, dict[str, Any]] = {}
    for (provider, name), places in grouped.items():
        best = min(places, key=lambda where: ("in_region", "global", "geo:us", where).index(where))
        prices: Prices = {where: by_tier for where, entry in sorted(places.items()) if (by_tier := tiers(entry))}
        cards.append(make_card(provider, name, places[best], prices))
        premiums[name] = places[best].get("provider_specific_entry", {})
    source = {key: str(value) for key, value in file["_source"].items()}
    listed = Source(
        source["retrieved"], " ".join(source.get(key, "") for key in ("package", "version", "file")).strip()
    )
    return CardFile(
        date=source["retrieved"],
        source=source,
        sources={_LISTED: listed, **amendments.SOURCES},
        cards=aliased(amendments.amended(cards, premiums)),
    )


def main(arguments: list[str]) -> None:
    """Writes the data file."""
    file = msgspec.json.decode(Path(arguments[0]).read_bytes())
    made = build(file)
    plain = msgspec.to_builtins(made, order="sorted")
    lines = [msgspec.json.encode(card, order="sorted").decode() for card in plain.pop("cards")]
    head = msgspec.json.encode(plain, order="sorted").decode()[:-1]
    out = Path(arguments[1]) if len(arguments) > 1 else DATA
    out.write_text(head + ',"cards":[\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")
    print(f"{len(lines)} cards, dated {made.date}, {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
