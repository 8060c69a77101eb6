"""Which stages stand on the deck, in which order, and what they share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from hapenny.backends.rerank import build_reranker
from hapenny.caching.dedup import Results
from hapenny.caching.edge import Edge
from hapenny.caching.exact import Answers, Refresh
from hapenny.caching.keys import Keys, Scope
from hapenny.caching.options import EXACT_STAGE, SEMANTIC_STAGE
from hapenny.caching.profit import Returns
from hapenny.caching.store import Store
from hapenny.catalog import Catalog
from hapenny.config import Config, RouteOptions
from hapenny.config.problems import ConfigError
from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Parameters
from hapenny.core.stage import Stage, StageSpec
from hapenny.gateway.cache_admin import CacheAdmin
from hapenny.gateway.model_facts import Knowing
from hapenny.gateway.stages import StageParts, build_stages
from hapenny.prefetch.forecast import Answering
from hapenny.prefetch.planner import Ahead
from hapenny.retrieval.options import RETRIEVAL_STAGE
from hapenny.routing.balance import Balancer
from hapenny.routing.budget import Budget, Rates
from hapenny.routing.certificate_fingerprint import About
from hapenny.routing.complexity import score
from hapenny.routing.names import Names
from hapenny.routing.options import TIERS_STAGE
from hapenny.routing.router import Router
from hapenny.routing.training import read_router
from hapenny.stores.counters import Counters, MemoryCounters
from hapenny.telemetry.pricing import Prices
from hapenny.telemetry.rows import Row
from hapenny.throughput.embedding import GatheredEmbedder
from hapenny.throughput.imported import keep
from hapenny.throughput.options import THROUGHPUT_STAGE, Routes
from hapenny.tokens.options import ANSWER_SIZE_STAGE
from hapenny.tokens.sizes import AnswerSizes
from hapenny.tuning.experiments import read_experiments
from hapenny.tuning.options import ARMS_STAGE
from hapenny.vectors.choose import ChosenEmbedder
from hapenny.vectors.embedder import Embedder
from hapenny.vectors.hashed import HashedEmbedder

if TYPE_CHECKING:
    from hapenny.caching.semantic.cache import SemanticCache
    from hapenny.caching.semantic.judging import Asks
    from hapenny.retrieval.collection import Collection

Same: TypeAlias = Callable[[Exchange, Target, str], Awaitable[tuple[str, int]]]
"""Asks a model on behalf of an exchange, in a background row of its own (`hapenny.gateway.background_calls`)."""


class Deck:
    """The stages of a deployment and the stores that outlive a reload.

    Args:
        config: with the options of every stage.
        clock: the deployment's clock.
        catalog: models.
        prices: counts and prices requests.
        names: what names mean.
        secret: keys hashes.
        defaults: parameters of configured models.
        refresh: answers a stale request again, off its path.
        spawn: runs work off the path.
        same: asks a model off the path whether two answers say the same, in a row of its own.
        answering: answers a request again off the path, so that its answer is stored.
        heir: a deck whose stored answers, quotas and learnt sizes go on.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        catalog: Catalog,
        prices: Prices,
        names: Names,
        secret: bytes,
        defaults: Mapping[Target, Parameters],
        *,
        refresh: Refresh,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        same: Same,
        answering: Answering,
        heir: Deck | None = None,
    ) -> None:
        self._config = config
        self._options = options = config.stages
        self._clock = clock
        self._catalog = catalog
        self._prices = prices
        self._names = names
        self._secret = secret
        self._defaults = defaults
        self._refresh = refresh
        self._spawn = spawn
        self._same = same
        trained = read_router(options[TIERS_STAGE].trained)
        self.about = About(
            names.tiers,
            lambda name: names.resolve(name).target,
            catalog.resolve,
            {name: route.prompt_version for name, route in config.routes.items()},
        )
        self.router = Router(
            options[TIERS_STAGE],
            trained,
            describe=self.about.describe(trained) if trained is not None else None,
            rates=self._rates(),
            score=score,
            budget=self._budget(heir),
            limits={name: route.max_quality_loss for name, route in config.routes.items()},
            instead=self.about.instead(trained) if trained is not None else None,
        )
        if heir is not None and heir._options[TIERS_STAGE].trained == options[TIERS_STAGE].trained:
            self.router.keep(heir.router)
        self._experiments = read_experiments(options[ARMS_STAGE].file)
        wanted = options[SEMANTIC_STAGE]
        if heir is None:
            self.answers: Answers = Store(clock, int(options[EXACT_STAGE].max_mb * 1_000_000))
            self.paraphrases: Answers = Store(clock, int(wanted.max_mb * 1_000_000))
            self.sizes = AnswerSizes(options[ANSWER_SIZE_STAGE])
            self.edge = Edge(clock)
            self.results = Results(Keys(secret), self.answers, clock, self.paraphrases, self.edge)
            self.returns = Returns(self._held)
        else:
            self.answers, self.paraphrases = heir.answers, heir.paraphrases
            self.sizes, self.edge = heir.sizes, heir.edge
            self.results, self.returns = heir.results, heir.returns
        self._knowing = Knowing(catalog, prices, self.sizes)
        self.counters = self._counters(heir)
        self.counters_lent = False
        """Whether an heir goes on with `counters`."""
        self.embedder = ChosenEmbedder("local" if wanted.embedder in config.embedders else wanted.embedder, clock)
        self.gathered = GatheredEmbedder(self.embedder, clock)
        self._asks = self._judge(wanted.judge)  # a wrong name is refused at start, whether the layer is on or not
        self.semantic = self._semantic(heir)
        self.ahead: Ahead | None = None
        if config.precompute.routes:
            self.ahead = Ahead(
                config.precompute,
                self.answers,
                self.returns,
                clock,
                answering,
                self._question,
                ttl=options[EXACT_STAGE].ttl_s,
            )
            apis = config.batch is not None and bool(config.batch.apis)
            self.ahead.expects_jobs = apis and "batch" in config.precompute.ways
            if heir is not None and heir.ahead is not None:
                self.ahead.follow(heir.ahead)
        self.edge.settle(config.edge)
        self._withdraw(heir)
        self.admin = CacheAdmin(
            self.answers, self.semantic, self.paraphrases, self.returns, self.edge, self.ahead, self.results
        )
        self.routes = Routes(options[THROUGHPUT_STAGE], self.counters, clock, burndown=self._knowing.burndown)
        self.collections: dict[str, Collection] = self._collections(heir)
        self.rerankers = {name: build_reranker(name, how, clock) for name, how in config.rerankers.items()}

    def start(self) -> None:
        """Begins what goes on beside requests: the account's quotas are read where that is wanted. Loads the embedder
        where a stage will ask for it, so that no request has to wait for that."""
        if self.ahead is not None:
            self._spawn(self.ahead.run())
        for name, collection in self.collections.items():
            from hapenny.retrieval.following import follow

            every = self._config.collections[name].refresh_s
            self._spawn(follow(collection, self._clock, every, self.results.collection_changed))
        if self.collections or self._anywhere(SEMANTIC_STAGE) or self._anywhere(RETRIEVAL_STAGE):
            _ = self.embedder.inner
        regions = self._options[THROUGHPUT_STAGE].quotas.regions
        if regions:
            ids = [card.id for card in self._catalog.cards.values() if card.provider == "bedrock"]
            self._spawn(keep(regions, ids, self._clock, self.routes.told))

    def observe(self, exchange: Exchange, row: Row) -> None:
        """Reads a finished request: what the caches earned, and what may be answered ahead."""
        self.returns.book(exchange, row)
        if self.ahead is not None:
            self.ahead.observe(exchange, row)

    def _held(self) -> dict[str, int]:
        """Bytes in each layer's store."""
        return {"exact": self.answers.stats().bytes, "semantic": self.paraphrases.stats().bytes}

    def _question(self, exchange: Exchange) -> str:
        return self.keys(self._config.routes[exchange.route].cache_scope).question(exchange).hex()

    def _withdraw(self, heir: Deck | None) -> None:
        """Takes published answers of epochs that ended from the edge."""
        if heir is not None:
            now = {route.knowledge_epoch for route in self._config.routes.values()}
            for epoch in {route.knowledge_epoch for route in heir._config.routes.values()} - now:
                self.edge.purge(epoch)

    @property
    def asked(self) -> Embedder:
        """The embedder that requests use: calls share batches, except where a call costs less than sharing one."""
        return self.embedder if isinstance(self.embedder.inner, HashedEmbedder) else self.gathered

    async def aclose(self) -> None:
        """Lets go of connections."""
        for reranker in self.rerankers.values():
            await reranker.aclose()

    def keys(self, scope: Scope) -> Keys:
        """The key maker for a scope."""
        return Keys(self._secret, scope)

    def stages(self, route: RouteOptions) -> list[Stage]:
        """The stages of a route, in the order of a request's life."""
        if route.mode(SEMANTIC_STAGE) != "off" and self.semantic is None:
            self.semantic = self._new_semantic()
        parts = StageParts(
            options=self._options,
            secret=self._secret,
            names=self._names,
            defaults=self._defaults,
            catalog=self._catalog,
            prices=self._prices,
            facts=self._knowing,
            router=self.router,
            dispatchers=self.routes,
            experiments=self._experiments,
            answers=self.answers,
            edge=self.edge,
            dedup=self.results,
            profit=self.returns,
            sizes=self.sizes,
            semantic=self.semantic,
            collections=self.collections,
            reranks=bool(self.rerankers),
            spawn=self._spawn,
            refresh=self._refresh,
        )
        return build_stages(parts, route)

    def _semantic(self, heir: Deck | None) -> SemanticCache | None:
        """The heir's, a new one where a route has the layer, or None."""
        wanted = self._options[SEMANTIC_STAGE]
        same = heir is not None and (heir._options[SEMANTIC_STAGE], heir._config.embedders) == (
            wanted,
            self._config.embedders,
        )
        if heir is not None and heir.semantic is not None and same:
            return heir.semantic
        return self._new_semantic() if self._anywhere(SEMANTIC_STAGE) else None

    def _new_semantic(self) -> SemanticCache:
        from hapenny.caching.semantic.build import build_cache

        embedder = self._options[SEMANTIC_STAGE].embedder
        name = str(self._config.embedders.get(embedder, embedder))
        return build_cache(self._clock, self.paraphrases, self.embedder, self._asks, name)

    def _anywhere(self, stage: StageSpec[Any]) -> bool:
        return any(route.mode(stage) != "off" for route in self._config.routes.values())

    def _judge(self, name: str | None) -> Asks | None:
        """Asks the model of that name whether answers are the same. Raises `ConfigError` for a name of no one model."""
        if name is None:
            return None
        target, same = self._names.resolve(name).target, self._same
        if target is None:
            problem = f"stages.semantic.judge: {name!r} is not one known model. Fix: name a model, an alias or a tier"
            raise ConfigError([problem])

        async def asks(exchange: Exchange, prompt: str) -> tuple[str, int]:
            return await same(exchange, target, prompt)

        return asks

    def _counters(self, heir: Deck | None) -> Counters:
        """Quotas of this process, or of all that share a Redis."""
        wanted = self._config.counters
        if heir is not None and heir._config.counters == wanted:
            heir.counters_lent = True
            return heir.counters
        if wanted == "memory":
            return MemoryCounters(self._clock)
        from hapenny.stores.counters_redis import RedisCounters

        return RedisCounters(wanted, self._clock)

    def _collections(self, heir: Deck | None) -> dict[str, Collection]:
        """Opens what is configured, for reading; what an heir has open stays open."""
        wanted = self._config.collections
        if heir is not None and heir._config.collections == wanted:
            return heir.collections
        found = {}
        for name, options in wanted.items():
            from hapenny.retrieval.folder import Folder

            folder = Folder(Path(options.path), self.embedder, read_only=True)
            found[name] = folder.collection(name, self._clock, options.remote)
        return found

    def _budget(self, heir: Deck | None) -> Budget | None:
        dollars = self._options[TIERS_STAGE].monthly_budget_usd
        if dollars is None:
            return None
        if heir is not None and heir._options[TIERS_STAGE].monthly_budget_usd == dollars:
            return heir.router.budget
        return Budget(Balancer(dollars, started=self._clock.wall()), self._rates())

    def _rates(self) -> dict[str, Rates]:
        found = {}
        for tier, target in self._names.tiers.items():
            card = self._catalog.resolve(target.model)
            rates = card.rates() if card is not None else None
            if rates is not None and rates.input is not None and rates.output is not None:
                cached = rates.cache_read if rates.cache_read is not None else rates.input
                found[tier] = Rates(float(rates.input), float(cached), float(rates.output))
        return found
