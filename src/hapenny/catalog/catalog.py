"""The shelf of cards: the package's data file, read at first use, and the search by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from hapenny.catalog.card import Card, CardFile, Rates, Source
from hapenny.catalog.fees import GUARDRAIL
from hapenny.catalog.naming import ARN, PROFILE, public_name

DATA = Path(__file__).with_name("cards.json")
_RESOLVED = 4_096


class Catalog:
    """All known models, found by id, alias, inference-profile id or ARN."""

    def __init__(self, cards: Iterable[Card], date: str = "", sources: Mapping[str, Source] | None = None) -> None:
        self.cards: dict[str, Card] = {}
        self.date = date
        self.sources: Mapping[str, Source] = sources or {}
        self._names: dict[str, Card] = {}
        self._resolved: dict[str, Card] = {}
        """Names that were read before: profiles, ARNs."""
        self._editions: dict[str, list[Card]] | None = None
        """Cards by the model their ids name, whoever serves it; made at first use."""
        for card in cards:
            self.add(card)

    def add(self, card: Card) -> None:
        """Puts `card` on the shelf; a card of the same id is replaced, an alias of a later card wins."""
        self._editions = None
        self._resolved.clear()
        before = self.cards.get(card.id)
        if before is not None:
            for alias in before.aliases:
                self._names.pop(alias, None)
        self.cards[card.id] = card
        for alias in card.aliases:
            self._names[alias] = card

    def resolve(self, name: str) -> Card | None:
        """The card of `name`: an id, an alias, an id behind a profile prefix (`eu.`, `global.` …) or an ARN of these.

        None for what cannot be known from the name: application profiles, provisioned and imported models.
        """
        card = self.cards.get(name) or self._names.get(name) or self._resolved.get(name)
        if card is not None:
            return card
        base = base_id(name)
        card = self.cards.get(base) or self._names.get(base)
        if card is None:
            card = self.cards.get(lower := base.lower()) or self._names.get(lower)
        if card is not None and len(self._resolved) < _RESOLVED:
            self._resolved[name] = card
        return card

    def served(self, name: str, providers: Iterable[str] = ()) -> Card | None:
        """The card of a public name (`naming`) as one of `providers` serves it, the first of them that does; whoever
        serves it where none is given. The edition is the one the name says, else the one without a date, else the
        newest.
        """
        asked = public_name(name)
        if not asked.model:
            return None
        if self._editions is None:
            self._editions = {}
            # Ids of a form that the provider itself does not use come first: the later one of an edition counts.
            for card in sorted(self.cards.values(), key=lambda card: (card.id.count(".") > 0, "@" not in card.id)):
                self._editions.setdefault(public_name(card.id.rpartition("/")[2]).model, []).append(card)
        editions = self._editions.get(asked.model, ())
        for provider in tuple(providers) or tuple(dict.fromkeys(card.provider for card in editions)):
            dated = {public_name(card.id).date: card for card in editions if card.provider == provider}
            if not dated:
                continue
            chosen = dated.get(asked.date) or dated.get("")
            if chosen is None and not asked.date:
                chosen = dated[max(dated)]
            if chosen is not None:
                return chosen
        return None

    def also(self, names: Mapping[str, str]) -> Catalog:
        """This catalog with further names: name to name.

        Raises:
            ValueError: one is to stand for a model that is not known.
        """
        if not names:
            return self
        wider = Catalog((), self.date, self.sources)
        wider.cards, wider._names = dict(self.cards), dict(self._names)
        for name, of in names.items():
            card = self.resolve(of)
            if card is None:
                raise ValueError(f"{name}: {of!r} is not a model of the catalog; `hapenny models` lists them")
            wider._names[name] = card
        wider._resolved.clear()
        return wider

    def source(self, rates: Rates) -> Source | None:
        """Where a listed price was read, and when; None for one that is not of the list."""
        return self.sources.get(rates.source)

    def names(self) -> list[str]:
        """All ids and aliases, sorted."""
        return sorted({*self.cards, *self._names})


def base_id(name: str) -> str:
    """A model name without ARN and profile prefix."""
    arn = ARN.fullmatch(name)
    if arn is not None:
        name = arn[3]
    match = PROFILE.match(name)
    return name[match.end() :] if match is not None else name


def region_class(name: str, region: str = "") -> str:
    """The region class of a model name as called: `global`, `geo:PREFIX`, or `in_region[:REGION]`."""
    arn = ARN.fullmatch(name)
    if arn is not None:
        name, region = arn[3], region or arn[1]
    match = PROFILE.match(name)
    if match is not None:
        return "global" if match[1] == "global" else f"geo:{match[1]}"
    return f"in_region:{region}" if region else "in_region"


_default: Catalog | None = None


def default() -> Catalog:
    """The catalog of the package's own data file, read once."""
    global _default
    if _default is None:
        file = msgspec.json.decode(DATA.read_bytes(), type=CardFile)
        _default = Catalog([*file.cards, GUARDRAIL], file.date, file.sources)
    return _default


def resolve(name: str) -> Card | None:
    """The card of `name` in the package's own catalog."""
    return default().resolve(name)
