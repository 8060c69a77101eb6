"""What certificates would have to be about now: the tiers' models, their prices, the route's prompt version."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from hapenny.catalog import Card
from hapenny.core.exchange import Target
from hapenny.routing.certificates import Fingerprint
from hapenny.routing.router import Trained


class About:
    """Describes a deployment as certificates do (`Router(describe=...)`).

    Args:
        tiers: the model of each tier.
        find: what a name means (a model, tier or alias), or None.
        card: the card of a model id, or None.
        prompt_versions: by route.
    """

    def __init__(
        self,
        tiers: Mapping[str, Target],
        find: Callable[[str], Target | None],
        card: Callable[[str], Card | None],
        prompt_versions: Mapping[str, str],
    ) -> None:
        self._tiers, self._find, self._card = tiers, find, card
        self._versions = prompt_versions

    def prices(self, weak: str, strong: str) -> str:
        """A hash of the rates of two tiers; "" where a tier or its price is unknown."""
        digest = hashlib.blake2b(digest_size=8)
        for tier in (weak, strong):
            target = self._tiers.get(tier)
            card = self._card(target.model) if target is not None else None
            rates = card.rates() if card is not None else None
            if rates is None:
                return ""
            digest.update(repr(rates).encode())
        return digest.hexdigest()

    def describe(self, trained: Trained) -> Callable[[str, str], Fingerprint]:
        """What `trained`'s certificate of a route and intent must be about to hold.

        A model may go by any name that means it here. A certificate made without prices (no `--config`) does not
        depend on them.
        """
        prices = self.prices(trained.weak, trained.strong)
        made = {(one.about.route, one.about.intent): one.about for one in trained.certificates}

        def describe(route: str, intent: str) -> Fingerprint:
            about = made.get((route, intent))
            return Fingerprint(
                route=route,
                intent=intent,
                weak=self._name(trained.weak, about.weak if about is not None else ""),
                strong=self._name(trained.strong, about.strong if about is not None else ""),
                prices=prices if about is None or about.prices else "",
                prompt_version=self._versions.get(route, ""),
                router_version=trained.scorer.version,
            )

        return describe

    def stamp(self, trained: Trained) -> Trained:
        """`trained` with certificates about this deployment: its models, prices and prompt versions as they are now.

        Raises:
            ValueError: a tier is not configured.
        """
        for tier in (trained.weak, trained.strong):
            if tier not in self._tiers:
                raise ValueError(f"the tier {tier!r} is not configured. Fix: one of {', '.join(self._tiers)}")
        prices = self.prices(trained.weak, trained.strong)
        stamped = [
            replace(
                one,
                about=replace(
                    one.about,
                    weak=self._tiers[trained.weak].model,
                    strong=self._tiers[trained.strong].model,
                    prices=prices,
                    prompt_version=self._versions.get(one.about.route, ""),
                ),
            )
            for one in trained.certificates
        ]
        return replace(trained, certificates=tuple(stamped))

    def instead(self, trained: Trained) -> dict[str, str]:
        """Tiers whose model is dominated in `trained`'s outcomes, and the tier to use instead: that of the model that
        beat it, or of the one that beat that."""
        beaten: dict[str, str] = {}
        for one in trained.dominated:
            losers = [tier for tier in self._tiers if self._means(tier, one.model)]
            winners = [tier for tier in self._tiers if self._means(tier, one.by)]
            if winners:
                beaten |= dict.fromkeys(losers, winners[0])
        others = {}
        for tier, by in beaten.items():
            seen = {tier}
            while by in beaten and by not in seen:
                seen.add(by)
                by = beaten[by]
            if by not in seen:
                others[tier] = by
        return others

    def _means(self, tier: str, said: str) -> bool:
        """Whether a name means the tier's model."""
        target = self._tiers[tier]
        return self._name(tier, said) != target.model or said == target.model

    def _name(self, tier: str, said: str) -> str:
        """The certificate's own name of the tier's model if it means that model, else the model's id."""
        target = self._tiers.get(tier)
        if target is None:
            return ""
        if said in (tier, target.model):
            return said
        card, mine = self._card(said), self._card(target.model)
        meant = self._find(said)
        same = meant == target or (card is not None and mine is not None and card.id == mine.id)
        return said if said and same else target.model
