"""The tier stage: `auto` gets the cheapest tier its difficulty allows; named fallbacks stand in for what is down."""

from __future__ import annotations

from collections.abc import Callable

from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange, Target
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.routing.names import Asked, Names
from hapenny.routing.options import TierOptions


class Choice(Decision):
    """Which model serves, and which may stand in."""

    target: Target
    tier: str = ""
    score: float | None = None
    fallbacks: tuple[Target, ...] = ()


class TierStage(Stage):
    """Chooses a tier for `auto` by a complexity score, and calls onward for fallbacks on `Unavailable`.

    Args:
        names: what names mean; holds the tiers.
        options: thresholds on the score.
        score: difficulty in [0, 1] of a question with an intent ("unknown" included).
    """

    name = "tiers"

    def __init__(self, names: Names, options: TierOptions, score: Callable[[str, str | None], float]) -> None:
        self._names = names
        self._options = options
        self._score = score

    async def decide(self, exchange: Exchange, ask: Ask) -> Choice | None:
        """None where the client named a model without fallbacks: that model answers."""
        asked: Asked = exchange.facts["asked"]
        if asked.kind != "auto":
            if not asked.fallbacks:
                return None
            return Choice(target=exchange.target, fallbacks=asked.fallbacks)
        score = self._score(exchange.request.question, exchange.intent)
        tier, target = self._tier(score)
        if target is None:
            target = exchange.target
        return Choice(target=target, tier=tier, score=score, fallbacks=asked.fallbacks, reason=f"{tier} {score:.2f}")

    async def apply(self, decision: Choice, exchange: Exchange, onward: Onward) -> Answer:
        """Serves with the choice; on `Unavailable`, before anything was sent, with the fallbacks in turn."""
        exchange.target = decision.target
        try:
            return await onward(exchange)
        except Failure as failure:
            last = failure
        for target in decision.fallbacks:
            if not last.retryable or exchange.committed:
                break
            if target.model == exchange.target.model:
                continue
            branch = exchange.branch(f"fallback to {target.model}", payer=self.name)
            branch.target = target
            try:
                answer = await onward(branch)
            except Failure as failure:
                last = failure
                continue
            branch.note(f"fallback={target.model}")
            exchange.adopt(branch)
            return answer
        raise last

    def _tier(self, score: float) -> tuple[str, Target | None]:
        options, tiers = self._options, self._names.tiers
        wanted = "fast"
        for tier, threshold in (
            ("balanced", options.balanced_from),
            ("strong", options.strong_from),
            ("max", options.max_from),
        ):
            if score >= threshold:
                wanted = tier
        order = ("fast", "balanced", "strong", "max")
        for tier in order[order.index(wanted) :]:
            if tier in tiers:
                return tier, tiers[tier]
        return wanted, None
