"""Negotiated prices and models of one's own: a YAML file laid over the catalog.

```yaml
prices:                          # dollars per million tokens
  - model: anthropic.claude-sonnet-4-6
    region_class: global         # in_region, in_region:REGION, geo:PREFIX, global; left out: every class with a price
    service_tier: standard       # left out: standard
    input: 2.70
    output: 13.50
    cache_read: 0.27
    from: 2026-01-01             # both optional, UTC
    until: 2027-01-01
    source: contract of December 2025
  - model: gpt-4o
    discount: 0.12               # a share off every listed rate instead of rates
models:                          # models the catalog does not know
  - id: our-llama
    provider: openai
    family: llama
    context_window: 131072
    prices: {input: 0.20, output: 0.20}
```
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from hapenny.catalog.card import Card, Kind, Negotiated, Prices, Rates, Sampling, ServiceTier, Tier, changed
from hapenny.catalog.catalog import Catalog
from hapenny.catalog.pricing import half_even
from hapenny.core.strict_yaml import read_yaml

_RATES = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "query")
_Place = Annotated[str, Meta(pattern=r"^(in_region(:[a-z0-9-]+)?|geo(:[a-z-]+)?|global)$")]
_Number = int | float | str


class RateLine(Struct, kw_only=True, forbid_unknown_fields=True):
    """Rates in dollars per million tokens (`query`: dollars per thousand queries)."""

    input: _Number | None = None
    output: _Number | None = None
    cache_read: _Number | None = None
    cache_write: _Number | None = None
    cache_write_1h: _Number | None = None
    query: _Number | None = None


class PriceLine(RateLine, kw_only=True, forbid_unknown_fields=True):
    """One line of a contract."""

    model: str
    region_class: _Place | None = None
    service_tier: ServiceTier = "standard"
    discount: _Number | None = None
    since: date | None = field(name="from", default=None)
    until: date | None = None
    source: str = ""


class ModelLine(Struct, kw_only=True, forbid_unknown_fields=True):
    """A model the catalog does not know."""

    id: str
    provider: str
    family: str = ""
    kind: Kind = "chat"
    aliases: tuple[str, ...] = ()
    tier: Tier | None = None
    context_window: Annotated[int, Meta(gt=0)] | None = None
    max_output: Annotated[int, Meta(gt=0)] | None = None
    dimensions: Annotated[int, Meta(gt=0)] | None = None
    capabilities: frozenset[str] = frozenset({"stream", "system"})
    temperature: Literal["any", "one", "no"] = "any"
    temperature_max: float = 2.0
    top_p: bool = True
    top_k: bool = True
    both: bool = True
    extra_parameters: frozenset[str] = frozenset({"seed", "n", "presence_penalty", "frequency_penalty"})
    efforts: tuple[str, ...] = ()
    thinking: frozenset[str] = frozenset()
    cache_mode: Literal["explicit", "automatic"] | None = None
    cache_min: Annotated[int, Meta(ge=0)] | None = None
    cache_ttls: tuple[str, ...] = ()
    tokenizer: str = ""
    source: str = "override file"
    prices: RateLine | None = None


class OverrideFile(Struct, kw_only=True, forbid_unknown_fields=True):
    """The whole override file."""

    prices: list[PriceLine] = []
    models: list[ModelLine] = []


def load(path: str | Path, catalog: Catalog) -> Catalog:
    """`catalog` with the override file at `path` laid over it; `catalog` itself stays as it is.

    Raises:
        ValueError: with file, place, value and fix.
    """
    import yaml

    try:
        raw = read_yaml(Path(path).read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from None
    try:
        file = msgspec.convert(raw, OverrideFile, strict=True)
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {error}") from None
    return apply(file, catalog, str(path))


def apply(file: OverrideFile, catalog: Catalog, origin: str = "overrides") -> Catalog:
    """`catalog` with `file` laid over it."""
    laid = Catalog(catalog.cards.values(), catalog.date, catalog.sources)
    for number, line in enumerate(file.models):
        laid.add(_model(line, f"{origin}: $.models[{number}]"))
    for number, priced in enumerate(file.prices):
        where = f"{origin}: $.prices[{number}]"
        card = laid.resolve(priced.model)
        if card is None:
            raise ValueError(
                f"{where}.model: unknown model {priced.model!r}. Fix: a name of the catalog, or add it to models"
            )
        contract = _contract(priced, card, where)
        # A later line goes before an earlier one, so that a special case may follow a general rule.
        laid.add(changed(card, negotiated=(contract, *card.negotiated)))
    return laid


def _contract(line: PriceLine, card: Card, where: str) -> Negotiated:
    own = _rates(line, where)
    if (own is None) == (line.discount is None):
        raise ValueError(f"{where}: give rates or a discount, one of the two. Fix: e.g. input: 2.70, output: 13.50")
    since, until = _epoch(line.since), _epoch(line.until)
    if since is not None and until is not None and since >= until:
        raise ValueError(f"{where}.until: {line.until} is not after {line.since}. Fix: a later day, or leave it out")
    places = [line.region_class] if line.region_class else list(card.prices) or ["in_region"]
    prices: Prices = {}
    for place in places:
        place = "geo:us" if place == "geo" else place
        contract = own
        if contract is None:
            listed = card.prices.get(place, {}).get(line.service_tier)
            if listed is None:
                if line.region_class is None:
                    continue
                raise ValueError(
                    f"{where}.discount: {card.id} has no {line.service_tier} price in {place}. Fix: give rates"
                )
            contract = _discounted(listed, _decimal(line.discount, f"{where}.discount"), where)
        prices[place] = {line.service_tier: contract}
    if not prices:
        raise ValueError(f"{where}.discount: {card.id} has no {line.service_tier} price to discount. Fix: give rates")
    return Negotiated(
        prices=prices,
        since=since if since is not None else 0.0,
        until=until if until is not None else float("inf"),
        source=line.source,
    )


def _rates(line: RateLine, where: str) -> Rates | None:
    """Pico-dollars per token: one dollar per million tokens is a million of them."""
    given: dict[str, int] = {}
    for name in _RATES:
        value = getattr(line, name)
        if value is None:
            continue
        exact = _decimal(value, f"{where}.{name}") * (10**9 if name == "query" else 10**6)
        if exact < 0 or exact != int(exact):
            fix = "a value from 0 on with at most six decimals"
            raise ValueError(f"{where}.{name}: {value!r} is no price in dollars per million tokens. Fix: {fix}")
        given[name] = int(exact)
    return msgspec.structs.replace(Rates(), **given) if given else None


def _discounted(listed: Rates, share: Decimal, where: str) -> Rates:
    if not 0 <= share <= 1:
        raise ValueError(f"{where}.discount: {share} is no share. Fix: a value from 0 to 1, 0.12 for twelve percent")
    keep, scale = int((1 - share) * 10**9), 10**9
    cut: dict[str, int] = {
        name: half_even(rate * keep, scale) for name in _RATES if (rate := getattr(listed, name)) is not None
    }
    long = _discounted(listed.long, share, where) if listed.long is not None else None
    units = {name: half_even(rate * keep, scale) for name, rate in listed.units.items()}
    return msgspec.structs.replace(Rates(), **cut, units=units, long_over=listed.long_over, long=long)


def _decimal(value: _Number | None, where: str) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        raise ValueError(f"{where}: {value!r} is no number. Fix: a decimal number")
    return number


def _epoch(day: date | None) -> float | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _model(line: ModelLine, where: str) -> Card:
    prices: Prices = {}
    if line.prices is not None:
        rates = _rates(line.prices, f"{where}.prices")
        if rates is not None:
            prices["in_region"] = {"standard": rates}
    return Card(
        id=line.id,
        provider=line.provider,
        family=line.family,
        kind=line.kind,
        aliases=line.aliases,
        tier=line.tier,
        context_window=line.context_window,
        max_output=line.max_output,
        dimensions=line.dimensions,
        capabilities=line.capabilities,
        sampling=Sampling(
            temperature=line.temperature,
            temperature_max=line.temperature_max,
            top_p=line.top_p,
            top_k=line.top_k,
            both=line.both,
        ),
        extra_parameters=line.extra_parameters,
        efforts=line.efforts,
        thinking=line.thinking,
        cache_mode=line.cache_mode,
        cache_min=line.cache_min,
        cache_ttls=line.cache_ttls,
        tokenizer=line.tokenizer,
        source=line.source,
        prices=prices,
    )
