"""Holds every card against another table, rate by rate."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from benchmarks.catalog.listings import RATES, Table
from benchmarks.catalog.reasons import reason
from hapenny.catalog import Card, Catalog, Rates


class Disagreement(NamedTuple):
    """One rate of which two tables say different things; dollars per million tokens, "" where one says nothing."""

    table: str
    provider: str
    model: str
    place: str
    tier: str
    rate: str
    ours: str
    theirs: str
    reason: str


class Comparison(NamedTuple):
    """How far two tables were held against each other, and where they differ."""

    table: str
    prices: int
    """Our prices, counted by card, place and tier."""
    held: int
    """Those that the other table holds too."""
    rates: int
    """Rates compared."""
    disagreements: list[Disagreement]

    @property
    def unexplained(self) -> list[Disagreement]:
        """Disagreements for which we have no reason: errors, until one is found."""
        return [each for each in self.disagreements if not each.reason]


def compare(catalog: Catalog, table: Table) -> Comparison:
    """Every card of `catalog` against `table`."""
    prices = held = rates = 0
    differing: list[Disagreement] = []
    for card in catalog.cards.values():
        for place, tiers in card.prices.items():
            for tier, ours in tiers.items():
                prices += 1
                theirs = table.look(card, place, tier)
                if theirs is None:
                    continue
                held += 1
                mine = flat(card, ours)
                if "web_search" not in theirs:  # a fee, which not every table keeps
                    mine.pop("web_search", None)
                for rate in sorted({*mine, *theirs}):
                    rates += 1
                    one, other = mine.get(rate), theirs.get(rate)
                    if one == other:
                        continue
                    why = reason(table, catalog, card, place, tier, rate, one, other)
                    differing.append(
                        Disagreement(
                            table.name, card.provider, card.id, place, tier, rate, _said(one), _said(other), why
                        )
                    )
    return Comparison(table.name, prices, held, rates, differing)


def flat(card: Card, rates: Rates) -> dict[str, Decimal]:
    """Our rates in the form of `Table.look`."""
    listed = {rate: Decimal(value) / 10**6 for rate in RATES if (value := getattr(rates, rate)) is not None}
    if rates.long is not None and rates.long_over is not None and rates.long.input is not None:
        listed["long_over"] = Decimal(rates.long_over)
        for rate in RATES:
            value = getattr(rates.long, rate)
            if value is not None:
                listed[f"long.{rate}"] = Decimal(value) / 10**6
    if "web_search" in card.fees:
        listed["web_search"] = Decimal(card.fees["web_search"]) / 10**6
    return listed


def _said(value: Decimal | None) -> str:
    return "" if value is None else format(value.normalize(), "f")
