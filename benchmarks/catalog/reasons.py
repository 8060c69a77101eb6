"""Why our price is another one than a table's. No reason: an error of ours or theirs that must be looked into."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from benchmarks.catalog.listings import Genai, PriceFile, Table
from hapenny.catalog import Card, Catalog


class Case(NamedTuple):
    """A rate on which a table differs; None: it is not stated."""

    card: Card
    place: str
    tier: str
    rate: str
    ours: Decimal | None
    theirs: Decimal | None

    def at(self, place: str) -> Decimal | None:
        """Our rate of the same card, tier and kind at another place."""
        rates = self.card.prices.get(place, {}).get(self.tier)  # type: ignore[call-overload]
        name = self.rate.removeprefix("long.")
        rates = rates.long if rates is not None and self.rate.startswith("long.") else rates
        value = getattr(rates, name, None) if rates is not None else None
        return None if value is None else Decimal(value) / 10**6

    @property
    def commercial(self) -> bool:
        """Whether the table gives the price of the United States' commercial regions."""
        return self.theirs is not None and self.theirs in (self.at("in_region"), self.at("geo:us"))


def reason(
    table: Table, catalog: Catalog, card: Card, place: str, tier: str, rate: str,
    ours: Decimal | None, theirs: Decimal | None,
) -> str:  # fmt: skip
    """Our reason for a disagreement, or ""."""
    case = Case(card, place, tier, rate, ours, theirs)
    if isinstance(table, PriceFile):
        rates = card.prices[place][tier]  # type: ignore[index]
        source = catalog.source(rates)
        return f"{source.text} ({source.date})" if source is not None and rates.source != "list" else ""
    if isinstance(table, Genai):
        return next((why for holds, why in GENAI if holds(case)), "")
    return ""


GENAI: list[tuple[Callable[[Case], bool], str]] = [
    (
        lambda case: "us-gov" in case.place and (case.commercial or case.theirs is None),
        "GovCloud has a price list of its own; the other table keeps commercial prices alone",
    ),
    (
        lambda case: (
            case.card.provider == "bedrock"
            and (case.place.startswith("in_region:") or case.place in ("geo:eu", "geo:apac", "geo:jp"))
            and case.commercial
        ),
        "the AWS price list has another price in these regions; the other table gives that of us-east-1 for all",
    ),
    (
        lambda case: (
            case.card.provider == "bedrock"
            and "claude-sonnet-4" in case.card.id
            and case.rate.startswith("long")
            and case.theirs is None
        ),
        "the AWS price list sells this model's context beyond 200,000 tokens by usage types of its own "
        "(Claude4Sonnet-…-long-context); the other table keeps the price below alone",
    ),
    (
        lambda case: case.card.kind == "embedding" and case.rate == "output" and case.ours == 0,
        "an embedding has no output to pay for; the other table leaves it out",
    ),
    (
        lambda case: "nova" in case.card.id and case.rate == "cache_write" and case.ours == 0,
        "the AWS price list has cache writes of Nova at $0.00; the other table has no rate for them",
    ),
    (
        lambda case: "claude-3-opus" in case.card.id and case.theirs is None and case.rate.startswith("cache"),
        "the price file gives the cache prices that Anthropic's own API had; Bedrock does not cache for this model, so "
        "they are never used",
    ),
    (
        lambda case: "claude-3-sonnet" in case.card.id and case.ours is None and case.rate.startswith("cache"),
        "Bedrock does not cache for this model: a cache price would be invented",
    ),
    (
        lambda case: (
            case.card.provider == "openai" and case.tier == "batch" and case.rate == "cache_read" and case.ours is None
        ),
        "OpenAI's batch table has no rate for cached input: unknown here, while the other table takes the standard one",
    ),
    (
        lambda case: "gpt-5.5-pro" in case.card.id and case.tier == "batch" and case.rate.startswith("long"),
        "OpenAI's batch table states short prompts alone; the price file halves the standard long-context price, as "
        "the table does for every other model",
    ),
    (
        lambda case: "gpt-5.6-cyber" in case.card.id and case.rate.startswith("long") and case.theirs is None,
        "OpenAI's long-context multipliers hold for the whole GPT-5.6 family; the pricing page does not repeat them "
        "for this model and the other table leaves them out",
    ),
    (
        lambda case: (
            case.card.provider == "bedrock_mantle"
            and "gpt-5." in case.card.id
            and case.rate.startswith("long")
            and case.theirs is None
        ),
        "the AWS price list sells longer prompts by usage types of their own (…-mantle-…-long-ctx); the other table "
        "keeps the price of short ones alone",
    ),
    (
        lambda case: "-search-preview" in case.card.id and case.rate == "cache_read" and case.theirs is None,
        "the price file carries over the rate of gpt-4o; it is used only where OpenAI reports cached tokens",
    ),
]
"""Reasons by what they explain; the first that fits."""
