"""Names a client may ask for: concrete models, tiers, `auto`, and an operator's aliases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hapenny.core.exchange import Asked, Target

AUTO = "auto"
TIERS = ("fast", "balanced", "strong", "max")

LONGEST = 2048
"""Letters of a name, as Bedrock bounds its ids of models."""
_REMEMBERED = 4096


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
        self._tier_names = dict(tiers)
        self._behind: dict[Target, tuple[Target, ...]] = {}
        """Fallbacks of the tiers' and configured models, for requests that do not name them."""
        for name, target in (*self.tiers.items(), *self._models.items()):
            others = self._listed((name, tiers[name]) if name in self.tiers else (name,))
            if others:
                self._behind.setdefault(target, others)

    def resolve(self, name: str) -> Asked:
        """What `name` means; unknown names come back as a model without a target, and so does what is too long for a
        name: clients may send megabytes of it, and what is kept by name would hold them."""
        known = self._known.get(name)
        if known is None:
            if len(name) > LONGEST:
                return Asked(name=name[:LONGEST], kind="model", target=None, fallbacks=())
            known = self._resolve(name)
            if len(self._known) < _REMEMBERED:
                self._known[name] = known
        return known

    def fallbacks(self, asked: Asked, target: Target) -> tuple[Target, ...]:
        """Who may stand in for `target`: what the name asked for says, and for `auto`, which says nothing, what the
        tier or model says that was chosen."""
        if asked.fallbacks or asked.kind != "auto":
            return asked.fallbacks
        return self._behind.get(target, ())

    def targets(self) -> list[Target]:
        """The models that are configured."""
        return [*self.tiers.values(), *self._models.values()]

    def names(self) -> list[str]:
        """Every name of ours a client may ask for."""
        return [AUTO, *self.tiers, *self._aliases, *self._models]

    def _resolve(self, name: str) -> Asked:
        chain = [name]
        while chain[-1] in self._aliases:
            chain.append(self._aliases[chain[-1]])
        last = chain[-1]
        if last in self.tiers:
            chain.append(self._tier_names[last])  # what is said of a tier's model holds for the tier
        targets = self._listed(chain)
        if last == AUTO:
            return Asked(name=name, kind="auto", target=None, fallbacks=targets)
        if last in self.tiers:
            return Asked(name=name, kind="tier", target=self.tiers[last], fallbacks=targets)
        if last in TIERS and last not in self._models:
            # Our own word, and no model's: no provider would know it.
            return Asked(name=name, kind="model", target=None, fallbacks=targets)
        return Asked(name=name, kind="model", target=self._concrete(last), fallbacks=targets)

    def _listed(self, chain: Sequence[str]) -> tuple[Target, ...]:
        """The fallbacks of the first name that has any."""
        others = next((self._fallbacks[each] for each in chain if each in self._fallbacks), ())
        return tuple(target for each in others if (target := self.tiers.get(each) or self._concrete(each)) is not None)

    def _concrete(self, name: str) -> Target | None:
        while name in self._aliases:
            name = self._aliases[name]
        return self._models.get(name) or self._find(name)
