"""What the stages of a deployment are made of, and those of one route."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hapenny.caching.edge import Edge
from hapenny.caching.keys import Keys
from hapenny.caching.options import EXACT_STAGE, SEMANTIC_STAGE
from hapenny.caching.profit import LayerProfit
from hapenny.caching.publishing import Publisher
from hapenny.caching.shared import SharedAnswers
from hapenny.caching.stored import AnswerDedup, Answers
from hapenny.catalog import Catalog
from hapenny.config import RouteOptions, StageOptions
from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange, Target
from hapenny.core.guard import Guard
from hapenny.core.messages import Parameters
from hapenny.core.stage import Stage
from hapenny.core.tasks import Spawn
from hapenny.evidence.loss_budget import LossBudgets
from hapenny.gateway.model_facts import ModelFacts
from hapenny.guarding.counts import GuardCounts
from hapenny.guarding.options import GUARD_OUTPUT_STAGE, GuardrailOptions
from hapenny.responsive.options import LATENCY_STAGE
from hapenny.retrieval.options import RETRIEVAL_STAGE
from hapenny.routing.names import Names
from hapenny.routing.router import Router
from hapenny.telemetry.pricing import Prices
from hapenny.throughput.dispatchers import Dispatchers
from hapenny.tokens.answer_stage import AnswerSizes
from hapenny.tuning.experiments import Experiment

if TYPE_CHECKING:
    from hapenny.caching.semantic.cache import SemanticCache
    from hapenny.retrieval.search.collection import Searchable
    from hapenny.retrieval.stage import RetrievalStage


@dataclass(frozen=True, kw_only=True)
class StageParts:
    """What the stages of a deployment are made of."""

    options: StageOptions
    secret: bytes
    """Keys hashes."""
    names: Names
    defaults: Mapping[Target, Parameters]
    """Parameters of configured models, where the client sends none."""
    catalog: Catalog
    prices: Prices
    facts: ModelFacts
    router: Router
    budgets: LossBudgets
    """What techniques may lose on each route, and what of it is open."""
    dispatchers: Dispatchers
    experiments: Sequence[Experiment]
    answers: Answers
    """The exact layer's store."""
    elsewhere: SharedAnswers | None
    """Exact answers as other gateways have them."""
    edge: Edge
    edge_questions: Sequence[str]
    """Routes whose questions alone decide the answer."""
    dedup: AnswerDedup
    profit: LayerProfit
    sizes: AnswerSizes
    semantic: SemanticCache | None
    """None where no route has the layer on."""
    watched: SemanticCache | None
    """The same where it only watches."""
    clock: Clock
    collections: Mapping[str, Searchable]
    reranks: bool
    """Whether a reranking model is configured."""
    guardrails: Mapping[str, GuardrailOptions]
    """Guardrails of providers, by name."""
    guard_counts: GuardCounts
    """Of what guardrails found."""
    spawn: Spawn
    """Runs work off the path."""
    flights: Guard
    """Of calls that several requests share."""

    def target(self, name: str) -> Target | None:
        """The model behind a tier, an alias or a name."""
        return self.names.resolve(name).target

    def predicted(self, exchange: Exchange, target: Target, tokens: int | None) -> float | None:
        """Seconds until an answer of so many tokens by a model would be there; None: not measured of late."""
        return self.dispatchers.predicted(target, tokens, streamed=exchange.request.stream)


class RouteParts:
    """The same for one route, and what its stages share."""

    def __init__(self, parts: StageParts, route: RouteOptions, name: str = "") -> None:
        self.shared = parts
        self.options = parts.options
        self.route = route
        self.name = name or "default"
        self.budget = parts.budgets.of(self.name)
        self.keys = Keys(parts.secret, route.cache_scope)
        self.publisher: Publisher | None = None
        # What is published for a CDN is read by people whom no guardrail of answers would see.
        if self.keys.shared and route.mode(GUARD_OUTPUT_STAGE) != "on":
            ttl = parts.options[EXACT_STAGE].ttl_s
            self.publisher = Publisher(parts.edge, parts.dedup, route.knowledge_epoch, ttl, name,
                                       questions=self.name in parts.edge_questions)  # fmt: skip

    @cached_property
    def retrieval(self) -> RetrievalStage:
        """The search of the route, which may begin before its stage is reached."""
        from hapenny.retrieval.stage import RetrievalStage  # loaded only where a route has it

        shared = self.shared
        fast = shared.names.tiers.get("fast")
        return RetrievalStage(
            shared.collections, self.options[RETRIEVAL_STAGE], fast, reranks=shared.reranks, public=self.keys.shared,
            acts=self.route.mode(RETRIEVAL_STAGE) == "on",
        )  # fmt: skip

    def ahead(self) -> Stage | None:
        """What begins the search beside the look-up of the semantic cache; None: it begins behind it."""
        route, wanted = self.route, self.options[RETRIEVAL_STAGE].beside_cache
        if wanted is None:
            wanted = route.mode(LATENCY_STAGE) == "on"
        if not wanted or route.mode(SEMANTIC_STAGE) != "on" or route.mode(RETRIEVAL_STAGE) != "on":
            return None
        from hapenny.retrieval.ahead import AheadStage

        return AheadStage(self.retrieval)
