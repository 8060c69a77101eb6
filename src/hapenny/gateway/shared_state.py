"""What a deployment keeps in memory: what a reload inherits, and the stages that stand on it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hapenny.caching.coalescing import FlightStage
from hapenny.caching.dedup import AnswerDedup
from hapenny.caching.edge import Edge
from hapenny.caching.exact import Answers, ExactStage
from hapenny.caching.keys import Keys, Scope
from hapenny.caching.prefix.stage import PrefixStage
from hapenny.caching.prefix.tariffs import of_card
from hapenny.caching.profit import LayerProfit
from hapenny.caching.publishing import Publisher
from hapenny.caching.store import Store
from hapenny.catalog import Catalog
from hapenny.config import PRESETS, Config, RouteOptions
from hapenny.core.clock import Clock
from hapenny.core.stage import Mode, Stage
from hapenny.core.tasks import Spawn
from hapenny.counting.registry import Estimators
from hapenny.evidence.step_back import StepBack
from hapenny.gateway.model_facts import ModelFacts
from hapenny.gateway.resolver import RequestResolver
from hapenny.routing.cascade import CascadeStage
from hapenny.routing.router import Router
from hapenny.routing.tiers import TierStage
from hapenny.stores.counters import Counters, MemoryCounters
from hapenny.stores.learnt import Learnt
from hapenny.telemetry.pricing import Prices
from hapenny.telemetry.recorder import Recorder
from hapenny.throughput.embedding import GatheredEmbedder
from hapenny.throughput.options import Routes
from hapenny.throughput.stage import ThroughputStage
from hapenny.tokens.answer_stage import AnswerSizeStage
from hapenny.tokens.brevity_stage import BrevityStage
from hapenny.tokens.prune_stage import PruneStage
from hapenny.tokens.sizes import AnswerSizes
from hapenny.tokens.structure_stage import StructureStage
from hapenny.tokens.summary import Summariser
from hapenny.tokens.template_stage import TemplateStage
from hapenny.tokens.templates import Templates
from hapenny.tokens.window_stage import WindowStage
from hapenny.tuning.experiments import ArmStage, read_experiments
from hapenny.tuning.parameters import ParameterStage
from hapenny.vectors.choose import ChosenEmbedder
from hapenny.vectors.embedder import Embedder
from hapenny.vectors.hashed import HashedEmbedder

if TYPE_CHECKING:
    from hapenny.caching.semantic.cache import SemanticCache
    from hapenny.retrieval.collection import Collection


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What a deployment has stored and learnt so far. It outlives a reload: `carry_over` takes what is still right."""

    config: Config
    """What it serves."""
    clock: Clock
    secret: bytes
    """Keys hashes and fingerprints."""
    estimators: Estimators
    recorder: Recorder
    state: Learnt | None
    """The file in which what was learnt outlives a restart."""
    step_back: StepBack
    answers: Answers
    """The exact layer's store."""
    paraphrases: Answers
    """The semantic layer's store."""
    edge: Edge
    dedup: AnswerDedup
    profit: LayerProfit
    sizes: AnswerSizes
    """Learnt lengths of answers."""
    counters: Counters
    """Quotas of this process, or of all that share a Redis."""
    embedder: ChosenEmbedder
    gathered: GatheredEmbedder
    """The embedder, with calls under way at once gathered into few."""
    collections: dict[str, Collection]

    @classmethod
    def fresh(cls, config: Config, clock: Clock) -> Shared:
        """What a deployment begins with.

        Raises:
            ImportError: an extra that is wanted is not installed.
            ValueError: the content store's key is no key, or an embedder is not known.
        """
        options = config.stages
        secret = hashlib.blake2b(config.fingerprint_key.encode() or clock.secret(), digest_size=32).digest()
        answers: Answers = Store(clock, int(options.exact.max_mb * 1_000_000))
        paraphrases: Answers = Store(clock, int(options.semantic.max_mb * 1_000_000))
        edge = Edge(clock)
        edge.settle(config.edge)
        path = config.state_path()
        embedder = _embedder(config, clock)
        return cls(
            config=config,
            clock=clock,
            secret=secret,
            estimators=Estimators.best() if config.counting.vocabulary else Estimators(),
            recorder=Recorder(clock, config.ledger, config.content, config.traces),
            state=Learnt(path, clock) if path is not None else None,
            step_back=StepBack(),
            answers=answers,
            paraphrases=paraphrases,
            edge=edge,
            dedup=AnswerDedup(Keys(secret), answers, clock, paraphrases, edge),
            profit=LayerProfit(lambda: {"exact": answers.stats().bytes, "semantic": paraphrases.stats().bytes}),
            sizes=AnswerSizes(options.answer_size),
            counters=_counters(config, clock),
            embedder=embedder,
            gathered=GatheredEmbedder(embedder, clock),
            collections=_collections(config, embedder, clock),
        )

    @classmethod
    def carry_over(cls, previous: Shared, config: Config) -> Shared:
        """What a reload begins with. Counters, embedder and collections are made anew where their options changed;
        published answers of knowledge epochs that ended are withdrawn."""
        old, clock = previous.config, previous.clock
        embedder, gathered = previous.embedder, previous.gathered
        if _embedder_name(config) != _embedder_name(old):
            embedder = _embedder(config, clock)
            gathered = GatheredEmbedder(embedder, clock)
        same_collections = config.collections == old.collections and embedder is previous.embedder
        previous.edge.settle(config.edge)
        epochs = {route.knowledge_epoch for route in config.routes.values()}
        for ended in {route.knowledge_epoch for route in old.routes.values()} - epochs:
            previous.edge.purge(ended)
        return replace(
            previous,
            config=config,
            counters=previous.counters if config.counters == old.counters else _counters(config, clock),
            embedder=embedder,
            gathered=gathered,
            collections=previous.collections if same_collections else _collections(config, embedder, clock),
        )

    def request_embedder(self) -> Embedder:
        """The embedder that requests use: calls share batches, except where a call costs less than sharing one. Loads
        the model at first use."""
        return self.embedder if isinstance(self.embedder.inner, HashedEmbedder) else self.gathered

    async def aclose(self, successor: Shared | None = None) -> None:
        """Lets go of all that no successor goes on with."""
        if successor is None or successor.counters is not self.counters:
            await self.counters.aclose()
        if successor is None:
            if self.state is not None:
                await self.state.aclose()
            await self.recorder.aclose()


def _counters(config: Config, clock: Clock) -> Counters:
    if config.counters == "memory":
        return MemoryCounters(clock)
    from hapenny.stores.counters_redis import RedisCounters

    return RedisCounters(config.counters, clock)


def _embedder_name(config: Config) -> str:
    """The local embedder's; a paid one is asked as a model is, and leaves comparisons of answers to the local one."""
    name = config.stages.semantic.embedder
    return "local" if name in config.embedders else name


def _embedder(config: Config, clock: Clock) -> ChosenEmbedder:
    return ChosenEmbedder(_embedder_name(config), clock)


def _collections(config: Config, embedder: Embedder, clock: Clock) -> dict[str, Collection]:
    """Opens what is configured, for reading."""
    opened = {}
    for name, options in config.collections.items():
        from hapenny.retrieval.folder import Folder

        folder = Folder(Path(options.path), embedder, read_only=True)
        opened[name] = folder.collection(name, clock, options.remote)
    return opened


class StageBuilder:
    """Builds the stages of each route.

    Args:
        shared: stores that the stages read and fill.
        resolver: names, and parameters of configured models.
        catalog: models.
        prices: counts and prices requests.
        facts: what is known of models and sizes.
        router: rules on tiers.
        routes: dispatchers by target.
        semantic: the cache of paraphrases, where a route has it.
        reranks: whether any reranker is configured.
        spawn: runs work off the path.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        resolver: RequestResolver,
        catalog: Catalog,
        prices: Prices,
        facts: ModelFacts,
        router: Router,
        routes: Routes,
        semantic: SemanticCache | None,
        reranks: bool,
        spawn: Spawn,
    ) -> None:
        self._options = shared.config.stages
        self._secret = shared.secret
        self._catalog, self._prices, self._knowing = catalog, prices, facts
        self._names, self._defaults = resolver.names, resolver.defaults
        self._experiments = read_experiments(self._options.arms.file)
        self._semantic, self._reranks, self._spawn = semantic, reranks, spawn
        self.answers, self.edge, self.results, self.returns = shared.answers, shared.edge, shared.dedup, shared.profit
        self.sizes, self.collections = shared.sizes, shared.collections
        self.router, self.routes = router, routes

    @staticmethod
    def modes(route: RouteOptions) -> dict[str, Mode]:
        """The mode of every stage on a route."""
        return {**PRESETS[route.preset], **route.stages}

    def keys(self, scope: Scope) -> Keys:
        """The key maker for a scope."""
        return Keys(self._secret, scope)

    def stages(self, route: RouteOptions) -> list[Stage]:
        """The stages in the order of a request's life (design §2). Those that are off everywhere are not built."""
        options, prices = self._options, self._prices
        modes = self.modes(route)
        keys = self.keys(route.cache_scope)
        any_temperature = route.cache_any_temperature
        publisher = (
            Publisher(self.edge, self.results, route.knowledge_epoch, options.exact.ttl_s) if keys.shared else None
        )
        stages: list[Stage] = []
        if modes["arms"] != "off" and self._experiments:
            # Whose arms a stage carries out: their answers differ even where the arm itself changes nothing.
            acted = frozenset({options.brevity.experiment}) if modes["brevity"] != "off" else frozenset()
            stages.append(ArmStage(self._experiments, lambda name: self._names.resolve(name).target, acted))
        if modes["templates"] != "off":
            stages.append(TemplateStage(self._templates(), options.templates))
        stages.append(
            ExactStage(
                self.answers,
                keys,
                ttl=options.exact.ttl_s,
                stale=options.exact.stale_s,
                any_temperature=any_temperature,
                results=self.results,
                publisher=publisher,
            )
        )
        stages.append(FlightStage(keys, any_temperature=any_temperature, max_flights=options.flights.max_flights))
        if modes["semantic"] != "off" and self._semantic is not None:
            from hapenny.caching.semantic.build import build_stage

            stages.append(
                build_stage(
                    self._semantic, keys, options.semantic, self._spawn, any_temperature=any_temperature,
                    stopped=partial(self.returns.stopped, "semantic"), publisher=publisher, results=self.results,
                )
            )  # fmt: skip
        if modes["retrieval"] != "off":
            from hapenny.retrieval.stage import RetrievalStage

            fast = self._names.tiers.get("fast")
            stages.append(RetrievalStage(self.collections, options.retrieval, fast, reranks=self._reranks))
        stages.append(TierStage(self._names, self.router))
        if modes["cascade"] != "off":
            stages.append(CascadeStage(options.cascade, lambda name: self._names.resolve(name).target))
        stages += [
            StructureStage(prices, options.structure, options.window),
            WindowStage(prices, options.window, self._summariser()),
            PruneStage(prices, options.prune),
            *([BrevityStage(options.brevity)] if self._experiments else []),
            AnswerSizeStage(self.sizes, self._knowing.prefills, self._knowing.ceiling),
            ParameterStage(self._catalog.resolve, options.parameters, self._defaults, self._knowing.learned_size),
            PrefixStage(lambda model: of_card(self._catalog.resolve(model)), self._knowing.count, options.prefix),
            ThroughputStage(
                self.routes,
                size=self._knowing.size,
                most_output=self._knowing.most_output,
                predicted=self._knowing.predicted,
            ),
        ]
        return stages

    def _summariser(self) -> Summariser | None:
        options, fast = self._options.window, self._names.tiers.get("fast")
        return Summariser(fast, seconds=options.summary_seconds) if options.summarise and fast is not None else None

    def _templates(self) -> Templates:
        options = self._options.templates
        libraries = [Path(each) for each in options.files]
        if options.shipped and not libraries:
            return Templates.shipped()
        return Templates.of_files([*(Templates.shipped_files() if options.shipped else []), *libraries])
