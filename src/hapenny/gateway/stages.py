"""What builds each stage of the table of stages (`hapenny.config.stages.STAGES`), and a route's stages in its order.

A new stage is its spec beside its options, a line in that table, and a builder here; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from hapenny.caching.coalescing import FlightStage
from hapenny.caching.consent import ConsentWatch
from hapenny.caching.exact import ExactStage
from hapenny.caching.options import EXACT_STAGE, FLIGHTS_STAGE, PREFIX_STAGE, SEMANTIC_STAGE
from hapenny.caching.prefix.stage import PrefixStage
from hapenny.caching.prefix.tariffs import of_card
from hapenny.caching.shared_stage import SharedExactStage
from hapenny.config import STAGES, RouteOptions
from hapenny.core.exchange import Exchange
from hapenny.core.stage import Mode, Stage, StageSpec
from hapenny.core.watching import Sampler
from hapenny.gateway.stage_parts import RouteParts, StageParts
from hapenny.guarding.options import GUARD_CONTEXT_STAGE, GUARD_INPUT_STAGE, GUARD_OUTPUT_STAGE
from hapenny.responsive.options import LATENCY_STAGE, LatencyRules
from hapenny.responsive.speed_stage import SpeedStage
from hapenny.responsive.stage import LatencyStage
from hapenny.retrieval.options import RETRIEVAL_STAGE
from hapenny.routing.cascade import CascadeStage
from hapenny.routing.fallbacks import FallbackStage
from hapenny.routing.options import CASCADE_STAGE, TIERS_STAGE
from hapenny.routing.tiers import TierStage
from hapenny.throughput.options import THROUGHPUT_STAGE
from hapenny.throughput.stage import ThroughputStage
from hapenny.tokens.answer_stage import AnswerSizeStage
from hapenny.tokens.brevity_stage import BrevityStage
from hapenny.tokens.options import (
    ANSWER_SIZE_STAGE,
    BREVITY_STAGE,
    PROSE_STAGE,
    PRUNE_STAGE,
    STRUCTURE_STAGE,
    TEMPLATES_STAGE,
    WINDOW_STAGE,
)
from hapenny.tokens.prose_stage import ProseStage
from hapenny.tokens.prune_stage import PruneStage
from hapenny.tokens.structure_stage import StructureStage
from hapenny.tokens.summary import Summariser
from hapenny.tokens.template_stage import TemplateStage
from hapenny.tokens.templates import Templates
from hapenny.tokens.window_stage import WindowStage
from hapenny.tuning.experiments import ArmStage
from hapenny.tuning.options import ARMS_STAGE, PARAMETERS_STAGE
from hapenny.tuning.parameters import ParameterStage
from hapenny.vectors.hashed import HashedEmbedder

if TYPE_CHECKING:
    from hapenny.guarding.remote_guard import RemoteGuard


def build_stages(parts: StageParts, route: RouteOptions, name: str = "") -> list[Stage]:
    """The stages of the route `name` in the order of a request's life. Those that are off on it are not built, nor
    those that would have nothing to do (no experiment runs, say).

    Fallbacks stand among them whatever the modes say, behind the choice of the tier: they save nothing, and an outage
    asks for no preset. `ALWAYS` are the modes of what nobody switches off, also in the holdout."""
    here = RouteParts(parts, route, name)
    built: list[Stage | None] = []
    for spec in STAGES:
        if spec is EXACT_STAGE and route.mode(spec) == "on" and not route.cache_any_temperature:
            built.append(ConsentWatch(here.keys, parts.options[EXACT_STAGE].ttl_s, Sampler(parts.clock)))
        if spec is SEMANTIC_STAGE and (ahead := here.ahead()) is not None:
            built.append(ahead)
        if route.mode(spec) != "off":
            built.append(BUILDERS[spec](here))
        if spec is FLIGHTS_STAGE and parts.elsewhere is not None and route.mode(EXACT_STAGE) == "on":
            exact = parts.options[EXACT_STAGE]
            built.append(
                SharedExactStage(
                    parts.elsewhere, here.keys, parts.dedup, ttl=exact.ttl_s, stale=exact.stale_s,
                    any_temperature=route.cache_any_temperature,
                )
            )  # fmt: skip
        if spec is TIERS_STAGE:
            built.append(FallbackStage(parts.names, parts.facts.lacks))
            if route.mode(LATENCY_STAGE) != "off":
                built.append(_speed(here))
    return [stage for stage in built if stage is not None]


ALWAYS: Mapping[str, Mode] = {FallbackStage.name: "on", SpeedStage.name: "on"}
WATCHING: Mapping[str, Mode] = {ConsentWatch.name: "shadow", "retrieval_ahead": "shadow"}
"""Modes of what only ever watches, and not in the holdout."""


def safety_modes(route: RouteOptions) -> dict[str, Mode]:
    """The modes of a route where nothing is saved: what keeps people safe goes on."""
    return {spec.name: route.mode(spec) for spec in STAGES if spec.safety}


Builder: TypeAlias = Callable[[RouteParts], Stage | None]


def _guard_output(here: RouteParts) -> Stage:
    from hapenny.guarding.output_stage import OutputGuardStage  # the rules are loaded only where a route has them

    options = here.options[GUARD_OUTPUT_STAGE]
    rules = options.routes.get(here.name, options)
    remote = _remote(here, rules.remote, GUARD_OUTPUT_STAGE.name)
    return OutputGuardStage(rules, remote, here.shared.guard_counts)


def _guard_input(here: RouteParts) -> Stage:
    from hapenny.guarding.input_stage import InputGuardStage

    options = here.options[GUARD_INPUT_STAGE]
    rules = options.routes.get(here.name, options)
    remote = _remote(here, rules.remote, GUARD_INPUT_STAGE.name)
    return InputGuardStage(rules, here.shared.secret, remote, here.shared.guard_counts)


def _guard_context(here: RouteParts) -> Stage:
    from hapenny.guarding.context_stage import ContextGuardStage

    options = here.options[GUARD_CONTEXT_STAGE]
    rules = options.routes.get(here.name, options)
    remote = _remote(here, rules.remote, GUARD_CONTEXT_STAGE.name)
    return ContextGuardStage(rules, here.shared.secret, remote, here.shared.guard_counts)


def _remote(here: RouteParts, name: str, technique: str) -> RemoteGuard | None:
    """A provider's guardrail that a stage asks as well."""
    if not name:
        return None
    from hapenny.guarding.remote_guard import RemoteGuard

    return RemoteGuard(name, here.shared.guardrails[name], technique, here.shared.secret)


def _arms(here: RouteParts) -> Stage | None:
    if not here.shared.experiments:
        return None
    # Whose arms a stage carries out: their answers differ even where the arm itself changes nothing.
    brevity = here.route.mode(BREVITY_STAGE) != "off"
    acted = frozenset({here.options[BREVITY_STAGE].experiment}) if brevity else frozenset[str]()
    return ArmStage(here.shared.experiments, here.shared.target, acted)


def _latency(here: RouteParts) -> Stage:
    rules, acts, shared = here.options[LATENCY_STAGE].of(here.name), here.route.mode(LATENCY_STAGE) == "on", here.shared

    def predict(exchange: Exchange) -> float | None:
        return shared.predicted(exchange, exchange.target, shared.facts.predicted(exchange))

    return LatencyStage(rules, acts=acts, predict=predict)


def _speed(here: RouteParts) -> Stage:
    shared = here.shared
    return SpeedStage(shared.names.tiers, shared.predicted, shared.facts.predicted, shared.facts.lacks)


def _templates(here: RouteParts) -> Stage:
    options = here.options[TEMPLATES_STAGE]
    libraries = [Path(each) for each in options.files]
    if options.shipped and not libraries:
        return TemplateStage(Templates.shipped(), options)
    shipped = Templates.shipped_files() if options.shipped else []
    return TemplateStage(Templates.of_files([*shipped, *libraries]), options)


def _exact(here: RouteParts) -> Stage:
    options, shared = here.options[EXACT_STAGE], here.shared
    return ExactStage(
        shared.answers,
        here.keys,
        ttl=options.ttl_s,
        stale=options.stale_s,
        any_temperature=here.route.cache_any_temperature,
        results=shared.dedup,
        publisher=here.publisher,
        stands_in=_stands_in(here.options[LATENCY_STAGE].of(here.name), here.route),
    )


def _stands_in(rules: LatencyRules, route: RouteOptions) -> float:
    """Seconds past its time in which a stored answer may stand in for a model that would be too late."""
    return rules.stale_s if route.mode(LATENCY_STAGE) != "off" and "stale_answer" in rules.react else 0.0


def _flights(here: RouteParts) -> Stage:
    most = here.options[FLIGHTS_STAGE].max_flights
    return FlightStage(
        here.keys, any_temperature=here.route.cache_any_temperature, max_flights=most, guard=here.shared.flights
    )


def _semantic(here: RouteParts) -> Stage | None:
    shared = here.shared
    if here.route.mode(SEMANTIC_STAGE) == "shadow" and shared.watched is not None:
        from hapenny.caching.semantic.build import build_watch

        return build_watch(
            shared.watched, here.keys, here.options[SEMANTIC_STAGE], shared.spawn, HashedEmbedder(), shared.clock,
            any_temperature=here.route.cache_any_temperature,
        )  # fmt: skip
    if shared.semantic is None:
        return None
    from hapenny.caching.semantic.build import build_stage  # loaded only where a route has it

    return build_stage(
        shared.semantic,
        here.keys,
        here.options[SEMANTIC_STAGE],
        shared.spawn,
        any_temperature=here.route.cache_any_temperature,
        stopped=partial(shared.profit.stopped, SEMANTIC_STAGE.name),
        publisher=here.publisher,
        results=shared.dedup,
        most=1.0 if here.budget is None or here.budget.at_once else here.budget.parts.get(SEMANTIC_STAGE.name, 1.0),
    )


def _retrieval(here: RouteParts) -> Stage:
    return here.retrieval


def _tiers(here: RouteParts) -> Stage:
    shared, budget = here.shared, here.budget
    sampler = Sampler(shared.clock) if here.route.mode(TIERS_STAGE) == "shadow" else None
    if budget is None or TIERS_STAGE.name not in budget.openings:
        return TierStage(shared.names, shared.router, shared.facts.lacks, sampler)

    def proven(exchange: Exchange) -> str:
        return budget.acts(TIERS_STAGE.name, exchange) or ""

    return TierStage(shared.names, shared.router, shared.facts.lacks, sampler, proven)


def _cascade(here: RouteParts) -> Stage:
    return CascadeStage(here.options[CASCADE_STAGE], here.shared.target, lacks=here.shared.facts.lacks)


def _structure(here: RouteParts) -> Stage:
    return StructureStage(here.shared.prices, here.options[STRUCTURE_STAGE], here.options[WINDOW_STAGE])


def _prose(here: RouteParts) -> Stage:
    return ProseStage(here.shared.prices, here.options[PROSE_STAGE])


def _window(here: RouteParts) -> Stage:
    options, fast = here.options[WINDOW_STAGE], here.shared.names.tiers.get("fast")
    summariser = Summariser(fast, seconds=options.summary_seconds) if options.summarise and fast is not None else None
    return WindowStage(here.shared.prices, options, summariser)


def _prune(here: RouteParts) -> Stage:
    return PruneStage(here.shared.prices, here.options[PRUNE_STAGE])


def _brevity(here: RouteParts) -> Stage | None:
    return BrevityStage(here.options[BREVITY_STAGE]) if here.shared.experiments else None


def _answer_size(here: RouteParts) -> Stage:
    facts = here.shared.facts
    return AnswerSizeStage(here.shared.sizes, facts.prefills, facts.ceiling)


def _parameters(here: RouteParts) -> Stage:
    shared = here.shared
    options = here.options[PARAMETERS_STAGE]
    return ParameterStage(shared.catalog.resolve, options, shared.defaults, shared.facts.learned_size)


def _prefix(here: RouteParts) -> Stage:
    resolve, count = here.shared.catalog.resolve, here.shared.facts.count
    return PrefixStage(lambda model: of_card(resolve(model)), count, here.options[PREFIX_STAGE])


def _throughput(here: RouteParts) -> Stage:
    facts = here.shared.facts
    return ThroughputStage(
        here.shared.dispatchers, size=facts.size, most_output=facts.most_output, predicted=facts.predicted
    )


BUILDERS: Mapping[StageSpec[Any], Builder] = {
    GUARD_OUTPUT_STAGE: _guard_output,
    GUARD_INPUT_STAGE: _guard_input,
    GUARD_CONTEXT_STAGE: _guard_context,
    ARMS_STAGE: _arms,
    LATENCY_STAGE: _latency,
    TEMPLATES_STAGE: _templates,
    EXACT_STAGE: _exact,
    FLIGHTS_STAGE: _flights,
    SEMANTIC_STAGE: _semantic,
    RETRIEVAL_STAGE: _retrieval,
    TIERS_STAGE: _tiers,
    CASCADE_STAGE: _cascade,
    STRUCTURE_STAGE: _structure,
    PROSE_STAGE: _prose,
    WINDOW_STAGE: _window,
    PRUNE_STAGE: _prune,
    BREVITY_STAGE: _brevity,
    ANSWER_SIZE_STAGE: _answer_size,
    PARAMETERS_STAGE: _parameters,
    PREFIX_STAGE: _prefix,
    THROUGHPUT_STAGE: _throughput,
}
"""What builds each stage of a route; None: it would have nothing to do."""
