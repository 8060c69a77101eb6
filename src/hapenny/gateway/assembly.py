"""A deployment, put together: every part is made of parts that are complete, from the clock up to the pipelines.

Nothing here decides anything about a request. What must be told of finished requests (audits, refreshes, answers ahead)
observes them (`Exchanges.observe`) and so can stand on the pipelines without the pipelines knowing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hapenny.admission.gate import Gate
from hapenny.admission.isolation import Isolation
from hapenny.admission.keys import Keyring
from hapenny.admission.user_tokens import UserTokens
from hapenny.backends.contract import Backend
from hapenny.backends.guardrail import GuardClient, build_guard
from hapenny.backends.kinds import build as build_backend
from hapenny.backends.rerank import Reranker, build_reranker
from hapenny.caching.options import EXACT_STAGE
from hapenny.catalog import Catalog, overrides
from hapenny.catalog import default as default_catalog
from hapenny.config import Config
from hapenny.core.clock import Clock, RealClock
from hapenny.core.stage import Pipeline, StageSpec
from hapenny.core.tasks import Tasks
from hapenny.evidence.live_audit import LiveAudit
from hapenny.evidence.loss_budget import LossBudgets
from hapenny.gateway import managed_prompts
from hapenny.gateway.acting_as_one import join_others
from hapenny.gateway.admitting import (
    build_keyring,
    burn_alerts,
    holders_of,
    isolation_of,
    kept_in_pause,
    open_registry,
    serve_admission,
    user_tokens_of,
)
from hapenny.gateway.auditing import EvidenceNotes, book_all, live_audit, loss_budgets
from hapenny.gateway.background_calls import BackgroundCalls, StaleRefresh
from hapenny.gateway.cache_admin import CacheAdmin
from hapenny.gateway.exchanges import Exchanges
from hapenny.gateway.model_facts import ModelFacts
from hapenny.gateway.model_services import ModelServices, paid_embedder
from hapenny.gateway.paid_capacity import capacities, with_stand_ins
from hapenny.gateway.prefetching import Prefetcher
from hapenny.gateway.provider_calls import ProviderCalls
from hapenny.gateway.resolver import RequestResolver
from hapenny.gateway.semantic_layer import semantic_cache, semantic_judge, watched_cache
from hapenny.gateway.shared_state import Shared
from hapenny.gateway.stage_parts import StageParts
from hapenny.gateway.stages import ALWAYS, WATCHING, build_stages, safety_modes
from hapenny.gateway.state_snapshot import learning_parts, settings
from hapenny.gateway.tier_rates import tier_rates
from hapenny.gateway.unstaged_guards import RouteGuards, guards_of
from hapenny.prefetch.planner import PrefetchPlanner
from hapenny.responsive.burn import BurnAlerts
from hapenny.responsive.options import LATENCY_STAGE
from hapenny.retrieval.options import RETRIEVAL_STAGE
from hapenny.routing.balance import Balancer
from hapenny.routing.budget import Budget, Rates
from hapenny.routing.certificate_fingerprint import About
from hapenny.routing.complexity import score
from hapenny.routing.intents.classifier import read_intents
from hapenny.routing.options import TIERS_STAGE
from hapenny.routing.router import Router
from hapenny.routing.training import read_router
from hapenny.stores.counters import Counters
from hapenny.telemetry.books import Books
from hapenny.telemetry.capacity import bill_hours, prepaid
from hapenny.telemetry.count_audit import CountChecks
from hapenny.throughput.dispatchers import Dispatchers
from hapenny.throughput.imported import keep as import_quotas
from hapenny.throughput.options import THROUGHPUT_STAGE
from hapenny.throughput.utilisation import UtilisationWatch
from hapenny.tuning.experiments import read_experiments
from hapenny.tuning.options import ARMS_STAGE

if TYPE_CHECKING:
    from hapenny.caching.semantic.cache import SemanticCache


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """The parts of a deployment, all of them complete."""

    config: Config
    clock: Clock
    catalog: Catalog
    backends: dict[str, Backend]
    keyring: Keyring
    gate: Gate
    """What keys and tenants may use."""
    isolation: Isolation | None
    user_tokens: UserTokens | None
    resolver: RequestResolver
    shared: Shared
    books: Books
    tasks: Tasks
    exchanges: Exchanges
    calls: ProviderCalls
    services: ModelServices
    rerankers: dict[str, Reranker]
    guards: dict[str, GuardClient]
    """Providers' guardrails, by name."""
    certificates: About
    """What certificates would have to be about now."""
    router: Router
    dispatchers: Dispatchers
    semantic: SemanticCache | None
    watched: SemanticCache | None
    """The semantic layer of routes where it only watches."""
    pipelines: dict[str, Pipeline]
    """By route."""
    plain: dict[str, Pipeline]
    """By route, with everything off that saves or changes an answer, for the holdout."""
    paused: dict[str, Pipeline]
    """By route, with every saving stage off."""
    route_guards: dict[str, RouteGuards]
    """By route, for what goes through no pipeline."""
    prefetcher: Prefetcher
    planner: PrefetchPlanner | None
    live_audit: LiveAudit
    budgets: LossBudgets
    admin: CacheAdmin
    embeds: bool
    """Whether a stage will ask for vectors."""
    burn: BurnAlerts | None
    """Watches deadlines; None: no route has one."""
    utilisation: UtilisationWatch


def build(
    config: Config,
    clock: Clock | None = None,
    backends: Mapping[str, Backend] | None = None,
    previous: Assembly | None = None,
    counters: Counters | None = None,
) -> Assembly:
    """Puts a deployment together. Nothing runs yet.

    Args:
        config: what to build.
        clock: the previous one's, else a real one, where none is given.
        backends: by name, instead of those the configuration names.
        previous: whose stores, counters and learnt figures go on (a reload).
        counters: the store of quotas, instead of the one the configuration names; of a first deployment alone.

    Raises:
        ConfigError: names, files or options do not fit.
        ImportError: an extra that is wanted is not installed.
    """
    if clock is None:
        clock = previous.clock if previous is not None else RealClock()
    catalog = default_catalog()
    if config.prices:
        catalog = overrides.load(config.prices, catalog)
    catalog = with_stand_ins(catalog, config)
    far = dict(backends) if backends is not None else _backends(config, clock, catalog)
    shared = Shared.fresh(config, clock, counters) if previous is None else Shared.carry_over(previous.shared, config)
    shared.step_back.under(settings(config))
    recorder = shared.recorder

    # Who asks for what, and what a call costs.
    resolver = RequestResolver(config, catalog, shared.draw)
    books = Books(catalog, shared.estimators, clock, key=shared.secret, owned=prepaid(capacities(config)))
    tasks = Tasks()
    rates = tier_rates(catalog, resolver)
    known = previous.budgets if previous is not None else None
    budgets = loss_budgets(config, clock, resolver, rates, recorder, known, shared.profit.halts)
    exchanges = Exchanges(config, clock, resolver, books, read_intents(config.intents), budgets.epochs.__getitem__)
    gate = Gate(holders_of(config, shared.registry), shared.budgets, shared.counters, books.prices, clock)
    isolation = isolation_of(config, shared.secret)
    calls = ProviderCalls(far, books, clock, gate, isolation)
    recorder.watch(books)
    configured = {books.prices.canonical(target.model) for target in resolver.names.targets()}
    recorder.metrics.labels.configured = configured.__contains__
    recorder.check(CountChecks(books.prices, far, tasks.spawn, clock, config.counting))
    recorder.metrics.gauge(
        "hapenny_cache_layers_stopped", "Layers that cost more than they save.", lambda: shared.profit.halted
    )

    # What the stages stand on.
    rerankers = {name: build_reranker(name, how, clock) for name, how in config.rerankers.items()}
    guards = {name: build_guard(name, how, clock) for name, how in config.guardrails.items()}
    paid = paid_embedder(config, catalog, far, clock, gate)
    services = ModelServices(calls.call, shared.request_embedder, rerankers, paid, guards, gate)
    background = BackgroundCalls(exchanges, calls.call, recorder)
    facts = ModelFacts(catalog, books.prices, shared.sizes)
    certificates = About(
        resolver.names.tiers,
        lambda name: resolver.names.resolve(name).target,
        catalog.resolve,
        {name: route.prompt_version for name, route in config.routes.items()},
    )
    router = _router(config, clock, rates, certificates, previous)
    dispatchers = Dispatchers(
        config.stages[THROUGHPUT_STAGE], shared.counters, clock, burndown=facts.burndown, resolve=catalog.resolve,
        timed=_anywhere(config, LATENCY_STAGE),
    )  # fmt: skip
    asks = semantic_judge(config, resolver, background)
    old = previous.config if previous is not None else None
    semantic = semantic_cache(config, shared, asks, old, previous.semantic if previous is not None else None)
    watched = watched_cache(config, clock, old, previous.watched if previous is not None else None)
    stage_parts = StageParts(
        options=config.stages,
        secret=shared.secret,
        names=resolver.names,
        defaults=resolver.defaults,
        catalog=catalog,
        prices=books.prices,
        facts=facts,
        router=router,
        budgets=budgets,
        dispatchers=dispatchers,
        experiments=read_experiments(config.stages[ARMS_STAGE].file),
        answers=shared.answers,
        elsewhere=shared.elsewhere,
        edge=shared.edge,
        edge_questions=config.edge.questions,
        dedup=shared.dedup,
        profit=shared.profit,
        sizes=shared.sizes,
        semantic=semantic,
        watched=watched,
        clock=clock,
        collections=shared.collections,
        reranks=bool(rerankers),
        guardrails=config.guardrails,
        guard_counts=shared.guard_counts,
        spawn=tasks.spawn,
        flights=tasks.guard("calls that requests share", clock),
    )

    # The way of a request, and what goes on beside it.
    pipelines, plain, paused, route_guards = {}, {}, {}, {}
    for name, route in config.routes.items():
        stages, stepped_back = build_stages(stage_parts, route, name), partial(shared.aside, name)
        route_guards[name] = guards_of(route, stages)
        closed, modes = partial(budgets.closed, name), {**route.modes(), **ALWAYS, **WATCHING}
        pipelines[name] = Pipeline(stages, modes, calls.call, services, stepped_back, closed)
        plain[name] = Pipeline(stages, {**ALWAYS, **safety_modes(route)}, calls.call, services)
        paused[name] = Pipeline(stages, {**kept_in_pause(route.modes()), **ALWAYS}, calls.call, services)
    prefetcher = Prefetcher(shared, exchanges, calls.call, services, pipelines, books.prices, gate)
    planner = _planner(config, shared, prefetcher)
    audit = live_audit(config, shared, resolver, router, background, tasks.spawn, budgets, facts.lacks)
    admin = CacheAdmin(
        shared.answers,
        semantic,
        shared.paraphrases,
        shared.profit,
        shared.edge,
        planner,
        shared.dedup,
        watched,
        shared.elsewhere,
    )
    exchanges.observe(recorder.write, shared.profit.book)
    earning = shared.earnings.techniques
    if any(route.modes().get(name) == "on" for route in config.routes.values() for name in earning):
        exchanges.observe(shared.earnings.book)
    burn = burn_alerts(config, shared, previous.burn if previous is not None else None)
    if burn is not None:
        watch = burn.observe
        exchanges.observe(lambda exchange, row: watch(row))
    if planner is not None:
        exchanges.observe(planner.observe)
    if not audit.idle:
        exchanges.observe(audit.consider, EvidenceNotes(recorder, clock, budgets).consider)
    hurried = config.stages[LATENCY_STAGE]
    if config.stages[EXACT_STAGE].stale_s > 0 or any(rules.stale_s for rules in (hurried, *hurried.routes.values())):
        exchanges.observe(StaleRefresh(exchanges, pipelines, tasks.spawn).consider)

    return Assembly(
        config=config,
        clock=clock,
        catalog=catalog,
        backends=far,
        keyring=build_keyring(config, shared.registry),
        gate=gate,
        isolation=isolation,
        user_tokens=user_tokens_of(config, clock),
        resolver=resolver,
        shared=shared,
        books=books,
        tasks=tasks,
        exchanges=exchanges,
        calls=calls,
        services=services,
        rerankers=rerankers,
        guards=guards,
        certificates=certificates,
        router=router,
        dispatchers=dispatchers,
        semantic=semantic,
        watched=watched,
        pipelines=pipelines,
        plain=plain,
        paused=paused,
        route_guards=route_guards,
        prefetcher=prefetcher,
        planner=planner,
        live_audit=audit,
        budgets=budgets,
        admin=admin,
        burn=burn,
        utilisation=UtilisationWatch(dispatchers, shared.alerts, clock),
        embeds=bool(shared.collections) or semantic is not None or _anywhere(config, RETRIEVAL_STAGE),
    )


async def start(parts: Assembly) -> None:
    """Opens what needs a running loop, and begins what goes on beside requests. Loads the embedder where a stage will
    ask for it, so that no request has to wait for that."""
    shared, config = parts.shared, parts.config
    await shared.recorder.start()
    await open_registry(config, shared, parts.keyring)
    clock, serve = parts.clock, parts.tasks.serve
    serve("utilisation", clock, parts.utilisation.run)
    serve("bills by the hour", clock, lambda: bill_hours(capacities(config), shared.recorder.bill, clock))
    serve_admission(config, shared, parts.gate, parts.tasks)
    if shared.elsewhere is not None:
        await join_others(shared, parts.semantic, parts.dispatchers, serve)
    if shared.state is not None:
        learning = learning_parts(
            shared, parts.router, parts.semantic, parts.planner, parts.budgets, parts.books.prices
        )
        await shared.state.start(learning)
    book_all(shared.recorder, parts.clock, parts.budgets)
    for name, collection in shared.collections.items():
        from hapenny.retrieval.search.index_refresh import follow

        every = config.collections[name].refresh_s
        serve(
            f"refresh of collection {name}", clock,
            partial(follow, collection, clock, every, shared.dedup.collection_changed),
        )  # fmt: skip
    if parts.embeds:
        shared.request_embedder()
    if prompts := managed_prompts.configured(config):
        serve(
            "reading of managed prompts", clock,
            lambda: managed_prompts.keep(prompts, parts.backends, parts.books.prices, clock),
        )  # fmt: skip
    regions = config.stages[THROUGHPUT_STAGE].quotas.regions
    if regions:
        ids = [card.id for card in parts.catalog.cards.values() if card.provider == "bedrock"]
        update = parts.dispatchers.update_quotas
        serve("import of quotas", clock, lambda: import_quotas(regions, ids, clock, update))


def _backends(config: Config, clock: Clock, catalog: Catalog) -> dict[str, Backend]:
    return {name: build_backend(name, options, clock, catalog.resolve) for name, options in config.backends.items()}


def _anywhere(config: Config, stage: StageSpec[Any]) -> bool:
    """Whether any route has a stage, if only to watch it."""
    return any(route.mode(stage) != "off" for route in config.routes.values())


def _router(
    config: Config,
    clock: Clock,
    rates: Mapping[str, Rates],
    certificates: About,
    previous: Assembly | None,
) -> Router:
    """Rules on tiers; it goes on with sessions, promises and budget where the evidence and the sum are the same."""
    options = config.stages[TIERS_STAGE]
    old = previous.config.stages[TIERS_STAGE] if previous is not None else None
    budget = None
    if options.monthly_budget_usd is not None:
        if previous is not None and old is not None and old.monthly_budget_usd == options.monthly_budget_usd:
            budget = previous.router.budget
        else:
            budget = Budget(Balancer(options.monthly_budget_usd, started=clock.wall()), rates)
    trained = read_router(options.trained)
    router = Router(
        options,
        trained,
        describe=certificates.describe(trained) if trained is not None else None,
        rates=rates,
        score=score,
        budget=budget,
        limits={name: route.max_quality_loss for name, route in config.routes.items()},
        instead=certificates.instead(trained) if trained is not None else None,
    )
    if previous is not None and old is not None and old.trained == options.trained:
        router.keep(previous.router)
    return router


def _planner(config: Config, shared: Shared, prefetcher: Prefetcher) -> PrefetchPlanner | None:
    if not config.precompute.routes:
        return None
    ttl = config.stages[EXACT_STAGE].ttl_s
    return PrefetchPlanner(
        config.precompute, shared.prefetch, shared.answers, shared.profit, shared.clock, prefetcher, ttl=ttl
    )
