"""The router as audits know it: what is told of drawn requests, and which weak model a probe asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hapenny.core.exchange import Exchange, Target
from hapenny.evidence.live_audit import Probe
from hapenny.evidence.tier_options import is_checked
from hapenny.routing.abilities import Lacks
from hapenny.routing.router import Router
from hapenny.routing.tiers import Choice


class AuditedRouter:
    """Hands what audits find to the router.

    Args:
        router: the deployment's.
        tiers: the model of each tier.
        wall: epoch seconds now.
        lacks: what a model lacks of what a request needs: one that lacks something is not asked.
    """

    def __init__(
        self,
        router: Router,
        tiers: Mapping[str, Target],
        wall: Callable[[], float],
        lacks: Lacks = lambda exchange, target: (),
    ) -> None:
        self._router, self._tiers, self._wall, self._lacks = router, tiers, wall, lacks

    def observe(self, route: str, intent: str, loss: float) -> bool:
        """Whether the loss of a drawn request refutes the promise."""
        return self._router.observe(route, intent, loss)

    def paired(self, route: str, intent: str, score: float, loss: float) -> None:
        """A pair for the next certificate."""
        self._router.paired(route, intent, score, loss, self._wall())

    def probe(self, exchange: Exchange) -> Probe | None:
        """The weak tier's model, for a request that routing scored and that this model did not answer."""
        for taken in reversed(exchange.decisions):
            if taken.stage == "tiers" and isinstance(taken.decision, Choice) and taken.decision.score is not None:
                weak = self._router.weak
                target = self.tier(weak, exchange)
                if target is None or target.model == exchange.target.model:
                    return None
                would = taken.mode == "shadow" and taken.decision.tier == weak
                return Probe(target=target, score=taken.decision.score, would=would)
        return None

    def served(self, exchange: Exchange) -> str:
        """What routing chose, where its tier answered: the option that evidence allowed, else the tier."""
        choice = _chosen(exchange)
        if choice is None or not self._answered(choice, exchange):
            return ""
        return choice.option or choice.tier

    def escalated(self, exchange: Exchange) -> str:
        """The option whose answer was not carried by the evidence, so that the baseline answered; "" where none was
        tried or it was served."""
        choice = _chosen(exchange)
        if choice is None or not is_checked(choice.option) or self._answered(choice, exchange):
            return ""
        return choice.option

    def _answered(self, choice: Choice, exchange: Exchange) -> bool:
        target = self._tiers.get(choice.tier)
        return target is not None and target.model == exchange.target.model

    def tier(self, name: str, exchange: Exchange) -> Target | None:
        """The model of a tier, where it can answer the request: routing would not have asked another."""
        target = self._tiers.get(name)
        return target if target is not None and not self._lacks(exchange, target) else None


def _chosen(exchange: Exchange) -> Choice | None:
    """What routing decided for a request, where it acted."""
    for taken in reversed(exchange.decisions):
        if taken.stage == "tiers" and taken.mode == "on" and isinstance(taken.decision, Choice):
            return taken.decision
    return None
