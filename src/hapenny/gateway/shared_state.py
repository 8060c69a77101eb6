"""What a deployment has stored and learnt so far, and what of it a reload goes on with."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hapenny.admission.budgets import BudgetStore, MemoryBudgets
from hapenny.admission.records import Seal
from hapenny.admission.registry import Registry
from hapenny.caching.edge import Edge
from hapenny.caching.keys import Keys
from hapenny.caching.options import EXACT_STAGE, SEMANTIC_STAGE
from hapenny.caching.profit import LayerProfit
from hapenny.caching.shared import SharedAnswers
from hapenny.caching.store import Store
from hapenny.caching.stored import AnswerDedup, Answers
from hapenny.config import LOSSY, Config, ConfigError
from hapenny.core.clock import Clock
from hapenny.core.guard import Guard
from hapenny.core.log import get_logger
from hapenny.counting.registry import Estimators
from hapenny.evidence.earnings import Earnings
from hapenny.evidence.step_back import StepBack
from hapenny.guarding.counts import GuardCounts
from hapenny.prefetch.memory import PrefetchMemory
from hapenny.routing.options import CASCADE_STAGE
from hapenny.stores.counters import Counters
from hapenny.stores.learnt import Learnt
from hapenny.stores.open_kv import open_kv
from hapenny.stores.open_space import open_counters, open_space
from hapenny.telemetry.alerts import Alerts
from hapenny.telemetry.recorder import Recorder
from hapenny.throughput.embedding import GatheredEmbedder
from hapenny.tokens.answer_stage import AnswerSizes
from hapenny.tokens.options import ANSWER_SIZE_STAGE, WINDOW_STAGE
from hapenny.vectors.chosen_embedder import ChosenEmbedder
from hapenny.vectors.embedder import Embedder
from hapenny.vectors.hashed import HashedEmbedder

_log = get_logger("hapenny.gateway")

if TYPE_CHECKING:
    from hapenny.retrieval.search.collection import Searchable


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What a deployment has stored and learnt so far. It outlives a reload: `carry_over` takes what is still right."""

    config: Config
    """What it serves."""
    clock: Clock
    secret: bytes
    """Keys hashes and fingerprints."""
    draw: bytes
    """Keys the draw of the holdout: of `fingerprint_key`, else kept beside what is learnt, so that it lasts."""
    estimators: Estimators
    recorder: Recorder
    state: Learnt | None
    """The file in which what was learnt outlives a restart."""
    step_back: StepBack
    earnings: Earnings
    answers: Answers
    """The exact layer's store."""
    paraphrases: Answers
    """The semantic layer's store."""
    elsewhere: SharedAnswers | None
    """Exact answers as other gateways have them; None: this one is alone."""
    edge: Edge
    dedup: AnswerDedup
    profit: LayerProfit
    sizes: AnswerSizes
    """Learnt lengths of answers."""
    counters: Counters
    """Quotas of this process, or of all that share a Redis."""
    registry: Registry
    """Stored keys, tenants and the pause switch."""
    budgets: BudgetStore
    """What keys and tenants have spent."""
    alerts: Alerts
    embedder: ChosenEmbedder
    gathered: GatheredEmbedder
    """The embedder, with calls under way at once gathered into few."""
    collections: dict[str, Searchable]
    prefetch: PrefetchMemory
    guards: list[Guard] = field(default_factory=list)
    """Of background tasks that outlive a reload."""
    guard_counts: GuardCounts = field(default_factory=GuardCounts)
    """What guardrails found since the start."""

    @classmethod
    def fresh(cls, config: Config, clock: Clock, counters: Counters | None = None) -> Shared:
        """What a deployment begins with. `counters`: instead of the store that the configuration names.

        Raises:
            ImportError: an extra that is wanted is not installed.
            ValueError: the content store's key is no key, or an embedder is not known.
        """
        options = config.stages
        secret = hashlib.blake2b(config.fingerprint_key.encode() or clock.secret(), digest_size=32).digest()
        answers: Answers = Store(clock, int(options[EXACT_STAGE].max_mb * 1_000_000))
        paraphrases: Answers = Store(clock, int(options[SEMANTIC_STAGE].max_mb * 1_000_000))
        edge = Edge(clock)
        edge.settle(config.edge)
        path = config.state_path()
        embedder = _embedder(config, clock)
        recorder = Recorder(clock, config.ledger, config.content, config.traces, config.emf)
        return cls(
            config=config,
            clock=clock,
            secret=secret,
            draw=secret if config.fingerprint_key or path is None else kept_draw(path, clock),
            estimators=Estimators.best() if config.counting.vocabulary else Estimators(),
            recorder=recorder,
            state=Learnt(path, clock) if path is not None else None,
            step_back=StepBack([spec.name for spec in LOSSY]),
            earnings=Earnings([CASCADE_STAGE.name, WINDOW_STAGE.name]),
            answers=answers,
            paraphrases=paraphrases,
            elsewhere=_elsewhere(config, clock, answers, secret),
            edge=edge,
            dedup=AnswerDedup(Keys(secret), answers, clock, paraphrases, edge),
            profit=LayerProfit(lambda: {"exact": answers.stats().bytes, "semantic": paraphrases.stats().bytes}),
            sizes=AnswerSizes(options[ANSWER_SIZE_STAGE]),
            counters=counters if counters is not None else open_counters(config.counter_store(), clock),
            registry=fresh_registry(config, clock),
            budgets=_budgets(config, clock),
            alerts=Alerts(config.alerts, clock, book=recorder.book),
            embedder=embedder,
            gathered=GatheredEmbedder(embedder, clock),
            collections=_collections(config, embedder, clock),
            prefetch=PrefetchMemory(clock),
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
            counters=previous.counters
            if config.counter_store() == old.counter_store()
            else open_counters(config.counter_store(), clock),
            elsewhere=previous.elsewhere
            if config.shared == old.shared
            else _elsewhere(config, clock, previous.answers, previous.secret),
            registry=previous.registry if _same_store(config, old) else fresh_registry(config, clock),
            budgets=previous.budgets if config.budget_store() == old.budget_store() else _budgets(config, clock),
            alerts=previous.alerts
            if config.alerts == old.alerts
            else Alerts(config.alerts, clock, book=previous.recorder.book),
            embedder=embedder,
            gathered=gathered,
            collections=previous.collections if same_collections else _collections(config, embedder, clock),
        )

    def request_embedder(self) -> Embedder:
        """The embedder that requests use: calls share batches, except where a call costs less than sharing one. Loads
        the model at first use."""
        return self.embedder if isinstance(self.embedder.inner, HashedEmbedder) else self.gathered

    def aside(self, route: str, technique: str) -> bool:
        """Whether a technique behaves as if it were off on a route: its answers were worse than promised, or it costs
        more than it saves."""
        return self.step_back.off(route, technique) or self.earnings.off(route, technique)

    async def aclose(self, successor: Shared | None = None) -> None:
        """Lets go of all that no successor goes on with."""
        if successor is None or successor.counters is not self.counters:
            await self.counters.aclose()
        if self.elsewhere is not None and (successor is None or successor.elsewhere is not self.elsewhere):
            await self.elsewhere.aclose()
        if successor is None or successor.alerts is not self.alerts:
            await self.alerts.flush()
            await self.alerts.aclose()
        if successor is None or successor.budgets is not self.budgets:
            await self.budgets.aclose()
        if successor is None or successor.registry is not self.registry:
            await self.registry.aclose()
        if successor is None:
            if self.state is not None:
                await self.state.aclose()
            await self.recorder.aclose()


def kept_draw(state: Path, clock: Clock) -> bytes:
    """A secret of 32 bytes beside the state file, drawn at its first use; a new one each time where it cannot be
    kept."""
    file = state.with_suffix(".holdout")
    try:
        known = file.read_bytes()
        if len(known) == 32:
            return known
    except OSError:
        pass
    drawn = hashlib.blake2b(clock.secret(), digest_size=32).digest()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as out:
            file.chmod(0o600)
            out.write(drawn)
    except FileExistsError:
        try:  # another process was first
            known = file.read_bytes()
        except OSError:
            return drawn
        return known if len(known) == 32 else drawn
    except OSError:
        _log.warning("the draw of the holdout cannot be kept and ends with this run", path=str(file))
    return drawn


def _elsewhere(config: Config, clock: Clock, answers: Answers, secret: bytes) -> SharedAnswers | None:
    space = open_space(config.shared, clock)
    return None if space is None else SharedAnswers(space, answers, secret, clock)


def _same_store(config: Config, old: Config) -> bool:
    return config.admission_store() == old.admission_store()


def fresh_registry(config: Config, clock: Clock) -> Registry:
    """The registry behind the store of a configuration. Raises `ConfigError` for a file that cannot be opened."""
    where = config.admission_store()
    try:
        store = open_kv(where, clock)
    except (OSError, sqlite3.Error) as error:
        problem = f"$.admission.store: {where!r}: {error}. Fix: let this user write there, or name another place"
        raise ConfigError([problem]) from None
    return Registry(store, clock, Seal(config.admission.sealing_key), lasting=where != "memory:")


def _budgets(config: Config, clock: Clock) -> BudgetStore:
    path = config.budget_store()
    if not path:
        return MemoryBudgets(clock)
    scheme = path.partition("://")[0] if "://" in path else ""
    if scheme in ("postgres", "postgresql"):
        from hapenny.admission.budgets_postgres import PostgresBudgets

        return PostgresBudgets(path, clock)
    if scheme:
        from hapenny.admission.budgets_redis import RedisBudgets

        return RedisBudgets(path.replace("valkey:", "redis:", 1), clock)
    from hapenny.admission.budgets_sqlite import SqliteBudgets

    return SqliteBudgets(path, clock)


def _embedder_name(config: Config) -> str:
    """The local embedder's; a paid one is asked as a model is, and leaves comparisons of answers to the local one."""
    name = config.stages[SEMANTIC_STAGE].embedder
    return "local" if name in config.embedders else name


def _embedder(config: Config, clock: Clock) -> ChosenEmbedder:
    return ChosenEmbedder(_embedder_name(config), clock)


def _collections(config: Config, embedder: Embedder, clock: Clock) -> dict[str, Searchable]:
    """Opens what is configured, for reading."""
    opened: dict[str, Searchable] = {}
    for name, options in config.collections.items():
        if options.knowledge_base is not None:
            from hapenny.retrieval.search.knowledge_base import build as build_knowledge_base

            opened[name] = build_knowledge_base(name, options.knowledge_base, clock)
            continue
        from hapenny.retrieval.folder import Folder

        folder = Folder(Path(options.path), embedder, read_only=True)
        opened[name] = folder.collection(name, clock, options.remote)
    return opened
