"""Evidence about a deployment's quality, put together: loss budgets by route, judges, and what draws and compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from msgspec.structs import astuple

from hapenny.config import LOSSY, Config, RouteOptions
from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange
from hapenny.core.tasks import Spawn
from hapenny.evidence.answers import compare
from hapenny.evidence.audits import AuditOptions
from hapenny.evidence.live_audit import LiveAudit
from hapenny.evidence.loss_budget import EVIDENCED, TIERS, LossBudgets, RouteBudget
from hapenny.evidence.opening import Standing
from hapenny.evidence.pair_judge import PairJudge
from hapenny.evidence.tier_options import checked
from hapenny.gateway.background_calls import BackgroundCalls
from hapenny.gateway.resolver import RequestResolver
from hapenny.gateway.shared_state import Shared
from hapenny.gateway.state_snapshot import settings
from hapenny.responsive.options import LATENCY_STAGE
from hapenny.routing.abilities import Lacks
from hapenny.routing.audit_view import AuditedRouter
from hapenny.routing.budget import Rates
from hapenny.routing.names import TIERS as TIER_NAMES
from hapenny.routing.options import TIERS_STAGE
from hapenny.routing.router import Router
from hapenny.telemetry.figures import Ahead
from hapenny.telemetry.recorder import Recorder
from hapenny.telemetry.rows import Entry, Row

_DEFAULT_JUDGE = "strong"
NOTED_S = 4 * 3_600.0
"""How often it is noted where techniques stand."""


def judged_by(route: RouteOptions, resolver: RequestResolver) -> bool:
    """Whether a model judges on a route."""
    return bool(route.audit_judge) and resolver.names.resolve(route.audit_judge).target is not None


def cheaper(route: str, resolver: RequestResolver, rates: Mapping[str, Rates]) -> list[str]:
    """Tiers whose model is cheaper than the route's baseline, the cheapest first."""
    names, baseline = resolver.names, resolver.baselines[route]
    home = next((tier for tier, target in names.tiers.items() if target.model == baseline.model), None)
    if home is None:
        return []

    def price(tier: str) -> float:
        each = rates.get(tier)
        return 10 * each.input + each.output if each is not None else float(TIER_NAMES.index(tier))

    below = [
        tier
        for tier, target in names.tiers.items()
        if target.model != baseline.model and (tier in rates) == (home in rates) and price(tier) < price(home)
    ]
    return sorted(below, key=price)


def loss_budgets(
    config: Config,
    clock: Clock,
    resolver: RequestResolver,
    rates: Mapping[str, Rates],
    recorder: Recorder,
    previous: LossBudgets | None,
    aside: Callable[[str, str], bool] = lambda technique, route: False,
) -> LossBudgets:
    """The budgets of all routes; it goes on with what was known where a route is configured as it was. `aside`: whether
    a technique stands aside on a route and needs nothing of its budget."""
    budgets = {}
    tiers = config.stages[TIERS_STAGE]
    for name, route in config.routes.items():
        on = [spec.name for spec in LOSSY if route.mode(spec) == "on"]
        options = {each: ["on"] for each in EVIDENCED if each != TIERS}
        # A trained router brings certificates of its own, and thresholds are the operator's word.
        if tiers.trained is None and not tiers.by_score:
            below = cheaper(name, resolver, rates)
            held = tiers.check and route.mode(LATENCY_STAGE) == "off"
            options[TIERS] = [each for tier in below for each in ((tier, checked(tier)) if held else (tier,))]
        budgets[name] = RouteBudget(
            max(1e-4, route.max_quality_loss),
            on,
            options,
            at_once=route.acts_unproven(),
            judged=judged_by(route, resolver),
            aside=partial(_aside_on, aside, name),
        )

    def changed(route: str, now: Standing) -> None:
        book(recorder, clock, route, now, budgets[route].outlook(now.technique))

    losses = LossBudgets(budgets, changed)
    losses.about = settings(config)
    if previous is not None:
        losses.keep(previous, lambda name: previous.about.get(name) == losses.about.get(name))
    return losses


def _aside_on(aside: Callable[[str, str], bool], route: str, technique: str) -> bool:
    return aside(technique, route)


def book(recorder: Recorder, clock: Clock, route: str, now: Standing, ahead: Sequence[Ahead] = ()) -> None:
    """Writes where a technique stands into the ledger, for reports."""
    if recorder.ledger is None:
        return
    detail: dict[str, object] = {
        "route": route, "state": now.state, "why": now.why, "limit": now.limit, "bound": now.bound, "loss": now.loss,
        "pairs": now.pairs, "share": now.share, "ahead": [astuple(each) for each in ahead],
    }  # fmt: skip
    recorder.ledger.book(Entry(kind="evidence", wall=clock.wall(), technique=now.technique, actual=0, detail=detail))


def book_all(recorder: Recorder, clock: Clock, budgets: LossBudgets) -> None:
    """The same for every technique of every route."""
    for route, budget in budgets.routes.items():
        for standing in budget.standings():
            book(recorder, clock, route, standing, budget.outlook(standing.technique))


class EvidenceNotes:
    """Writes where all techniques stand into the ledger a few times a day, so that reports know how far evidence is.

    Args:
        recorder: of the ledger.
        clock: tells the time.
        budgets: where they stand.
    """

    def __init__(self, recorder: Recorder, clock: Clock, budgets: LossBudgets) -> None:
        self._recorder, self._clock, self._budgets = recorder, clock, budgets
        self._last = clock.wall()

    def consider(self, exchange: Exchange, row: Row) -> None:
        """Looks at the time whenever a request ends."""
        if row.wall - self._last >= NOTED_S:
            self._last = row.wall
            book_all(self._recorder, self._clock, self._budgets)


def live_audit(
    config: Config,
    shared: Shared,
    resolver: RequestResolver,
    router: Router,
    background: BackgroundCalls,
    spawn: Spawn,
    budgets: LossBudgets,
    lacks: Lacks,
) -> LiveAudit:
    """Audits of a deployment."""
    clock, embed = shared.clock, shared.embedder.embed

    def judging(route: RouteOptions) -> PairJudge:
        target = resolver.names.resolve(route.audit_judge).target if route.audit_judge else None

        async def distance(served: str, reference: str) -> float:
            return await compare(served, reference, embed, route.audit_alike, route.audit_apart)

        return PairJudge(clock, background.judging(target) if target is not None else None, distance)

    return LiveAudit(
        {
            name: AuditOptions(
                share=route.audits(), dollars_a_day=route.audit_budget_usd, budget_share=route.audit_budget_share
            )
            for name, route in config.routes.items()
            if route.max_quality_loss < 1
        },
        budgets,
        shared.step_back,
        clock,
        ask=background.audit,
        judges={name: judging(route) for name, route in config.routes.items()},
        spawn=spawn,
        router=AuditedRouter(router, resolver.names.tiers, clock.wall, lacks),
    )
