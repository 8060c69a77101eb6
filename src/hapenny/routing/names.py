"""Names a client may ask for: concrete models, tiers, `auto`, and an operator's aliases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hapenny.core.exchange import Asked, Target

AUTO = "auto"
TIERS = ("fast", "balanced", "strong", "max")


class Names:
    """Resolves names.

    Args:
        models: configured models by name.
        tiers: tier -> model name or id.
        aliases: alias -> name.
        fallbacks: alias, tier or model name -> names to try when it is unavailable.
        find: a target for a provider's own model id, or None.
    """

    def __init__(
        self,
        models: Mapping[str, Target],
        tiers: Mapping[str, str],
        aliases: Mapping[str, str],
        fallbacks: Mapping[str, Sequence[str]],
        find: Callable[[str], Target | None],
    ) -> None:
        self._models = dict(models)
        self._aliases = dict(aliases)
        self._find = find
        self._known: dict[str, Asked] = {}
        self.tiers: dict[str, Target] = {}
        for tier, name in tiers.items():
            target = self._concrete(name)
            if target is not None:
                self.tiers[tier] = target
        self._fallbacks = {name: tuple(others) for name, others in fallbacks.items()}

    def resolve(self, name: str) -> Asked:
        """What `name` means; unknown names come back as a model without a target."""
        known = self._known.get(name)
        if known is None:
            known = self._resolve(name)
            if len(self._known) < 4096:
                self._known[name] = known
        return known

    def names(self) -> list[str]:
        """Every name of ours a client may ask for."""
        return [AUTO, *self.tiers, *self._aliases, *self._models]

    def _resolve(self, name: str) -> Asked:
        chain = [name]
        while chain[-1] in self._aliases:
            chain.append(self._aliases[chain[-1]])
        last = chain[-1]
        fallbacks = next((self._fallbacks[each] for each in chain if each in self._fallbacks), ())
        targets = tuple(
            target for each in fallbacks if (target := self.tiers.get(each) or self._concrete(each)) is not None
        )
        if last == AUTO:
            return Asked(name=name, kind="auto", target=None, fallbacks=targets)
        if last in self.tiers:
            return Asked(name=name, kind="tier", target=self.tiers[last], fallbacks=targets)
        return Asked(name=name, kind="model", target=self._concrete(last), fallbacks=targets)

    def _concrete(self, name: str) -> Target | None:
        while name in self._aliases:
            name = self._aliases[name]
        return self._models.get(name) or self._find(name)
