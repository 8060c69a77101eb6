"""From any public name of a model to the configured backend that serves it, in that provider's own words.

A client names a model as its vendor does (`claude-sonnet-4-5`, `gpt-5`), as Bedrock does (ids, profiles, ARNs), or with
a prefix of some tool (`anthropic/claude-sonnet-4.5`). Asked in this order, the first that serves it answers:

1. a configured model whose id is the very name;
2. a configured model that is the same model under another name. Bedrock's own names are left as they came, since they
   say where a call may be answered, and go to Bedrock alone where there is a backend of it;
3. a backend whose provider sells the model, as far as the catalog or the form of the name tells: the default one first;
4. the default backend, under the name as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from hapenny.backends.kind import HttpOptions
from hapenny.backends.kinds import KINDS
from hapenny.catalog import Card, Catalog
from hapenny.catalog.naming import PublicName, geographies, public_name
from hapenny.config import Config
from hapenny.core.exchange import Target

_OPENAI = re.compile(
    r"(?:ft:)?(?:gpt-|chatgpt-|codex|o[1-9](?:-|$)|text-embedding-|text-moderation-|omni-moderation-|dall-e-|whisper-|"
    r"tts-|computer-use|sora-|gpt-image)"
)
"""How OpenAI's ids begin, of whatever generation."""
_ROUTER = re.compile(r":(?:default-)?prompt-router/")
_HOURLY = ("provisioned", "owned")


class _Place(NamedTuple):
    backend: str
    kind: str
    region: str
    home: bool
    """Whether it is the vendor's own address."""


class PublicNames:
    """Finds targets for names that the configuration does not define.

    Args:
        config: the deployment.
        catalog: models by the providers' own ids.
        models: the configured models' targets, by their names.
    """

    def __init__(self, config: Config, catalog: Catalog, models: Mapping[str, Target]) -> None:
        self._catalog = catalog
        self._default = config.backend_of("")
        self._places: list[_Place] = []
        for name in sorted(config.backends, key=lambda name: name != self._default):
            options = config.backends[name]
            region = options.region if KINDS[options.kind].regional else ""
            home = not (isinstance(options, HttpOptions) and options.base_url)
            self._places.append(_Place(name, options.kind, region, home))
        cards = {name: model.card for name, model in config.models.items()}
        self._configured = [(target, public_name(cards.get(name) or target.model)) for name, target in models.items()]
        self._kinds = {place.backend: place.kind for place in self._places}

    def find(self, name: str) -> Target | None:
        """The target of a name; None where nothing could serve it: a simulated provider has only known models."""
        first, _, rest = name.partition("/")
        named = next((place for place in self._places if place.backend == first), None)
        if named is not None and rest and (named.home or named.kind != "openai"):
            return self._sold(named, rest, public_name(rest)) or Target(rest, named.backend, named.region)
        asked = public_name(name)
        return self._same_id(name, asked) or self._same_model(asked) or self._elsewhere(name, asked)

    def _same_id(self, name: str, asked: PublicName) -> Target | None:
        matches = [target for target, _ in self._configured if target.model in (name, asked.bare)]
        return self._best(matches)

    def _same_model(self, asked: PublicName) -> Target | None:
        """A configured model that is the one meant, under whatever name."""
        if not asked.model:
            return None
        bedrock = asked.bedrock and self._has_bedrock()
        matches = [
            (public.date, target)
            for target, public in self._configured
            if public.model == asked.model
            and not (public.date and asked.date and public.date != asked.date)
            and not (bedrock and not self._takes_bedrock(target.backend))
        ]
        if not matches:
            return None
        newest = max(date for date, _ in matches)
        target = self._best([target for date, target in matches if date == newest or asked.date])
        # A simulated provider plays Bedrock too: a profile keeps its own price and quota there.
        plays = target is not None and KINDS[self._kinds[target.backend]].lists
        if target is not None and asked.native and (plays or self._takes_bedrock(target.backend)):
            return Target(asked.bare, target.backend, asked.region or target.region)
        return target

    def _best(self, targets: list[Target]) -> Target | None:
        """On demand at the standard tier, which is what a plain name asks for; else capacity that is paid anyway."""
        if not targets:
            return None
        for plain in targets:
            if plain.service_tier == "standard" and not plain.endpoint:
                return plain
        for owned in targets:
            if owned.service_tier in _HOURLY:
                return owned
        return replace(targets[0], service_tier="standard")

    def _elsewhere(self, name: str, asked: PublicName) -> Target | None:
        for place in self._ordered(asked):
            target = self._sold(place, name, asked)
            if target is not None:
                return target
        default = next((place for place in self._places if place.backend == self._default), None)
        if default is None:
            return Target(name, self._default)
        if KINDS[default.kind].lists:
            return None
        return Target(name, default.backend, default.region)

    def _ordered(self, asked: PublicName) -> Iterator[_Place]:
        """Backends in the order in which they are asked for a model: the default one first, but Bedrock for Bedrock's
        names; a vendor's own address before servers that only speak like it; simulated ones last."""

        def rank(place: _Place) -> tuple[bool, bool, bool]:
            return (
                asked.bedrock and not KINDS[place.kind].regional,
                place.backend != self._default and KINDS[place.kind].lists,
                place.backend != self._default and not place.home,
            )

        return iter(sorted(self._places, key=rank))

    def _sold(self, place: _Place, name: str, asked: PublicName) -> Target | None:
        """The model as the provider of a backend sells it; None: it does not, as far as anybody knows."""
        kind = KINDS[place.kind]
        if kind.lists:
            if self._catalog.resolve(name) is not None or _ROUTER.search(name):
                return Target(name, place.backend, place.region)
            card = self._catalog.served(name, ("bedrock", "anthropic", "openai"))
            return Target(card.id, place.backend, place.region) if card is not None else None
        if asked.native and asked.bedrock:
            if not self._takes_bedrock(place.backend) and self._has_bedrock():
                return None
            if self._takes_bedrock(place.backend):
                return Target(asked.bare, place.backend, asked.region or place.region)
        card = self._catalog.served(name, kind.serves) if kind.serves else None
        exact = self._catalog.cards.get(asked.bare)
        if exact is not None and exact.provider in kind.serves:
            card = exact
        if card is not None:
            id = profiled(card, asked.region or place.region) if "bedrock" in kind.serves else card.id
            return Target(id, place.backend, asked.region or place.region)
        return self._by_form(place, asked)

    def _by_form(self, place: _Place, asked: PublicName) -> Target | None:
        """Models younger than the catalog, by what their names look like."""
        id = None
        if place.kind == "anthropic" and asked.model.startswith("claude-"):
            id = f"{asked.model}-{asked.date}" if asked.date else asked.bare if not asked.bedrock else asked.model
        elif place.kind == "openai" and not asked.bedrock and _OPENAI.match(asked.bare):
            id = asked.bare
        return Target(id, place.backend, place.region) if id is not None else None

    def _takes_bedrock(self, backend: str) -> bool:
        return self._kinds.get(backend) == "bedrock"

    def _has_bedrock(self) -> bool:
        return any(place.kind == "bedrock" for place in self._places)


def profiled(card: Card, region: str) -> str:
    """The id under which Bedrock takes calls for a model in a region: models that are sold across regions are asked by
    the inference profile of the region's geography, else the global one, else by their own id."""
    for prefix in geographies(region):
        if f"geo:{prefix}" in card.prices:
            return f"{prefix}.{card.id}"
    return f"global.{card.id}" if "global" in card.prices else card.id
