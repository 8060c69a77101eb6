"""The tier stage: `auto` gets the cheapest tier that its difficulty allows and that can do what the request needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hapenny.core.answer import Answer
from hapenny.core.arms import ARM_SETTINGS, ARM_TARGET, arm_setting
from hapenny.core.exchange import Exchange, Target
from hapenny.core.money import NANO
from hapenny.core.shape import ROUTED
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.core.watching import Sampler
from hapenny.evidence.tier_options import is_checked, tier_of
from hapenny.routing.abilities import Lacks, first_able
from hapenny.routing.checked import answer_checked
from hapenny.routing.names import AUTO, TIERS, Names
from hapenny.routing.options import TIERS_STAGE
from hapenny.routing.router import Router


class Choice(Decision, kw_only=True):
    """Which model serves."""

    target: Target
    tier: str = ""
    option: str = ""
    """What evidence allows (`hapenny.evidence.tier_options`); "" where it did not decide, or allows nothing."""
    certificate: str = ""
    """The promise that covers this choice, as it stands in the answer's headers."""


class TierStage(Stage, spec=TIERS_STAGE):
    """Chooses a tier for `auto` by a complexity score.

    Args:
        names: what names mean; holds the tiers.
        router: rules on tiers; one for all routes of a deployment.
        lacks: what a model lacks of what a request needs.
        sampler: draws what is watched of requests that name a model or a tier (`WATCHED`), where the stage only
            watches; None: such requests are nobody's business.
        proven: what evidence allows for a request (`hapenny.evidence.tier_options`), "" for nothing; None where
            thresholds decide.
    """

    def __init__(
        self,
        names: Names,
        router: Router,
        lacks: Lacks = lambda exchange, target: (),
        sampler: Sampler | None = None,
        proven: Callable[[Exchange], str] | None = None,
    ) -> None:
        self._names, self._lacks, self._sampler = names, lacks, sampler
        self.router = router
        self._proven = proven
        # Requests that name their model are watched for what another tier would save: there has to be another.
        self.needs = ROUTED if sampler is None or len(set(names.tiers.values())) < 2 else 0

    async def decide(self, exchange: Exchange, ask: Ask) -> Choice | None:
        """None where the client named a model or a tier: that one answers."""
        asked = exchange.asked
        if asked is None:
            return None
        weight = 1
        if asked.kind != "auto":
            if asked.named is not None and asked.target is not None:
                return Choice(target=asked.target, instead=asked.target, reason="the operator has it treated so")
            if self._sampler is None or exchange.background:
                return None
            weight = self._sampler.weight(exchange.original.question)
            if not weight:
                return None
        arm = exchange.stage_notes.get(ARM_TARGET)
        if arm is not None:
            return Choice(target=arm, tier="arm", reason="experiment arm")
        context, request = exchange.context, exchange.request
        # The holder of a session is named together with its tenant: names of sessions are not unique.
        session = f"{context.tenant}\0{context.session}" if context.session else ""
        before = sum(len(message.text) for message in request.messages[:-1]) // 4
        option = (
            self._proven(exchange) if self._proven is not None and ARM_SETTINGS not in exchange.stage_notes else None
        )
        ruling = self.router.rule(
            exchange.original.question,  # as it was asked: what retrieval adds makes no question harder
            exchange.intent,
            exchange.route,
            session=session if asked.kind == "auto" else "",
            now=exchange.clock.now(),
            prefix_tokens=before,
            thresholds=_thresholds(exchange, self.router.thresholds),
            wall=exchange.wall,
            proven=self._allowed(exchange, option),
        )
        if not ruling.tier:
            return Choice(
                target=exchange.baseline, score=ruling.score, reason=f"baseline {ruling.score:.2f} {ruling.why}"
            )
        tier, target = self._tier(exchange, ruling.tier)
        if asked.named is not None and tier in ("strong", "max") and not self._lacks(exchange, asked.named):
            target = asked.named
        return Choice(
            target=target if target is not None else exchange.target,
            instead=target,
            weight=weight,
            label="" if asked.kind == "auto" else AUTO,
            tier=tier,
            option=option if option and tier == tier_of(option) else "",
            score=ruling.score,
            certificate=ruling.certificate.header() if ruling.certificate is not None else "",
            reason=f"{tier} {ruling.score:.2f} {ruling.why}",
        )

    async def apply(self, decision: Choice, exchange: Exchange, onward: Onward) -> Answer:
        """Serves with the choice."""
        exchange.target = decision.target
        if decision.tier:
            exchange.on_end(lambda: self._book(exchange))
        if decision.certificate:
            exchange.answer.certificate = decision.certificate
        if is_checked(decision.option):
            exchange.target = exchange.baseline
            return await answer_checked(exchange, decision.target, onward)
        return await onward(exchange)

    def _allowed(self, exchange: Exchange, option: str | None) -> tuple[str, str] | None:
        """The tier that evidence allows, else the baseline's ("": it is no tier); None where evidence does not decide,
        or an experiment's arm sets thresholds."""
        if option is None:
            return None
        if option:
            return tier_of(option), "audits bear it, checked" if is_checked(option) else "audits bear it"
        home = next((name for name, target in self._names.tiers.items() if target == exchange.baseline), "")
        return home, "no evidence for a cheaper tier"

    def _book(self, exchange: Exchange) -> None:
        self.router.book(sum(call.cost or 0 for call in exchange.calls) / NANO, exchange.wall)

    def _tier(self, exchange: Exchange, wanted: str) -> tuple[str, Target | None]:
        """The wanted tier, else the next stronger one that is configured and able, else the strongest there is."""
        tiers = self._names.tiers
        order = (*TIERS[TIERS.index(wanted) :], *reversed(TIERS[: TIERS.index(wanted)]))
        there = [tier for tier in order if tier in tiers]
        if not there:
            return wanted, None
        able = first_able(exchange, (tiers[tier] for tier in there), self._lacks)
        tier = next((each for each in there if tiers[each] is able), there[0])
        return tier, tiers[tier]


def _thresholds(exchange: Exchange, usual: Mapping[str, float]) -> Mapping[str, float]:
    """The thresholds, with those an experiment's arm sets (`tiers.balanced_from` …)."""
    if ARM_SETTINGS not in exchange.stage_notes:
        return usual
    return {tier: arm_setting(exchange, f"tiers.{tier}_from", value, 0.0, 1.1) for tier, value in usual.items()}
