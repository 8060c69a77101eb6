"""Completes defaults and refuses contradictions between sections; what is wrong within one, the section itself says."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import structs

from hapenny.backends.kinds import KINDS
from hapenny.backends.simulated_kind import SimulatedOptions
from hapenny.caching.options import SEMANTIC_STAGE
from hapenny.catalog import Catalog, default, overrides
from hapenny.config.checking_admission import admission_problems
from hapenny.config.checking_shared import hidden, shared_problems
from hapenny.config.options import Config
from hapenny.config.problems import ConfigError
from hapenny.config.providers import BatchApiOptions
from hapenny.config.routes import CARD_TIERS, TIERS, RouteOptions
from hapenny.config.stages import STAGES
from hapenny.guarding.options import GUARD_CONTEXT_STAGE, GUARD_INPUT_STAGE, GUARD_OUTPUT_STAGE
from hapenny.retrieval.options import RETRIEVAL_STAGE
from hapenny.routing.options import TIERS_STAGE
from hapenny.throughput.imported import of_file
from hapenny.throughput.options import THROUGHPUT_STAGE
from hapenny.throughput.regions import check as check_regions


def completed(config: Config) -> Config:
    """The configuration with what follows from the rest of it: the route `default`, and a simulated card's tiers."""
    tiers = config.tiers
    for backend in config.backends.values():
        if isinstance(backend, SimulatedOptions) and not tiers:
            tiers = dict(CARD_TIERS.get(backend.card, {}))
    routes = config.routes if "default" in config.routes else {**config.routes, "default": RouteOptions()}
    return structs.replace(config, tiers=tiers, routes=routes)


def check(config: Config) -> Config:
    """The completed configuration, when nothing in it contradicts.

    Raises:
        ConfigError: with every contradiction found.
    """
    config = completed(config)
    problems = _problems(config)
    if problems:
        raise ConfigError(problems)
    return config


def _edge(config: Config) -> list[str]:
    """Routes whose answers are to be found by their question, which are not everybody's."""
    problems = []
    for name in config.edge.questions:
        route = config.routes.get(name)
        if route is None:
            problems.append(f"$.edge.questions: {name!r} is no route. Fix: one of {', '.join(config.routes)}")
        elif route.cache_scope != "shared":
            problems.append(
                f"$.edge.questions: answers of route {name!r} are not everybody's. Fix: cache_scope: shared there"
            )
    return problems


def _problems(config: Config) -> list[str]:
    """Every contradiction, each with its path, value and fix."""
    problems: list[str] = []
    catalog = _catalog(config, problems)
    if not config.backends:
        return [*problems, "$.backends: empty. Fix: name at least one backend"]
    for at, section in _sections(config, catalog):
        problems += [f"{at}{'.' * bool(option)}{option}: {what}" for option, what in section]
    problems += _names(config)
    problems += _edge(config)
    problems += _rerankers(config)
    problems += _guardrails(config)
    problems += _hourly(config)
    budget = config.stages[TIERS_STAGE].monthly_budget_usd
    if budget is not None and budget <= 0:
        problems.append(f"$.stages.tiers.monthly_budget_usd: {budget:g}. Fix: dollars above 0, or leave it out")
    problems += _throughput(config, catalog)
    problems += _embedders(config, catalog)
    wanted = config.stages[RETRIEVAL_STAGE].collection
    if wanted and wanted not in config.collections:
        problems.append(f"$.stages.retrieval.collection: {wanted!r} is not a collection. Fix: add it to collections")
    problems += _shared_beside_restricted(config)
    problems += _tiers_not_named(config)
    problems += admission_problems(config)
    return problems


def _sections(config: Config, catalog: Catalog) -> Iterator[tuple[str, Iterable[tuple[str, str]]]]:
    """Where a section stands, and what it finds wrong with itself: option, and why with a fix."""
    yield "$.server", config.server.problems()
    for name, backend in config.backends.items():
        yield f"$.backends.{name}", backend.problems()
    for name, model in config.models.items():
        yield f"$.models.{name}", model.problems(catalog)
    for name, route in config.routes.items():
        yield f"$.routes.{name}", route.problems()
    for name, collection in config.collections.items():
        yield f"$.collections.{name}", collection.problems()
    for name, reranker in config.rerankers.items():
        yield f"$.rerankers.{name}", reranker.problems()


def _names(config: Config) -> list[str]:
    """Names that stand for nothing there is."""
    problems = []
    backends = ", ".join(sorted(config.backends))
    if config.default_backend and config.default_backend not in config.backends:
        problems.append(f"$.default_backend: {config.default_backend!r} is not a backend. Fix: one of {backends}")
    for name, model in config.models.items():
        if model.backend and model.backend not in config.backends:
            problems.append(f"$.models.{name}.backend: {model.backend!r} is not a backend. Fix: one of {backends}")
    for tier in config.tiers:
        if tier not in TIERS:
            problems.append(f"$.tiers.{tier}: unknown tier. Fix: one of {', '.join(TIERS)}")
    names = set(config.models) | set(config.tiers) | set(config.aliases) | {"auto"}
    for alias, to in config.aliases.items():
        seen = {alias}
        while to in config.aliases:
            if to in seen:
                problems.append(f"$.aliases.{alias}: goes in a circle through {to!r}. Fix: point it at a model or tier")
                break
            seen.add(to)
            to = config.aliases[to]
    for name in config.fallbacks:
        if name not in names:
            problems.append(f"$.fallbacks.{name}: not an alias, tier or model. Fix: one of {', '.join(sorted(names))}")
    stages = [spec.name for spec in STAGES]
    problems += [
        f"$.routes.{name}.stages.{stage}: unknown stage. Fix: one of {', '.join(stages)}"
        for name, route in config.routes.items()
        for stage in route.stages
        if stage not in stages
    ]
    return problems


def _catalog(config: Config, problems: list[str]) -> Catalog:
    """The models at the prices of this deployment."""
    if not config.prices:
        return default()
    try:
        return overrides.load(config.prices, default())
    except (OSError, ValueError) as error:
        problems.append(f"$.prices: {error}. Fix: the path of a file with negotiated prices")
        return default()


def _tiers_not_named(config: Config) -> list[str]:
    """Where a tier is meant that has no model: its name would be taken for a provider's model id."""
    if not config.tiers:
        return []
    known = {*config.tiers, *config.models, *config.aliases}
    named: dict[str, tuple[str, ...]] = {
        f"$.routes.{name}.baseline": (route.baseline,) for name, route in config.routes.items()
    }
    named |= {
        f"$.routes.{name}.treat_as.{model}": (other,)
        for name, route in config.routes.items()
        for model, other in route.treat_as.items()
    }
    named |= {f"$.fallbacks.{name}": tuple(others) for name, others in config.fallbacks.items()}
    return [
        f"{at}: the tier {name!r} has no model. Fix: name one under tiers.{name}, or one of {', '.join(sorted(known))}"
        for at, names in named.items()
        for name in names
        if name in TIERS and name not in known
    ]


def _rerankers(config: Config) -> list[str]:
    """A reranking model that there is not."""
    wanted = config.stages[RETRIEVAL_STAGE].rerank_model
    if wanted is None or wanted in config.rerankers:
        return []
    known = ", ".join(sorted(config.rerankers)) or "none is configured"
    return [f"$.stages.retrieval.rerank_model: {wanted!r} is not one of rerankers. Fix: one of: {known}"]


def _guardrails(config: Config) -> list[str]:
    """What is wrong with guardrails: names of routes and of providers' guardrails that there are not."""
    problems = []
    stages = config.stages
    for stage, options in (
        (GUARD_INPUT_STAGE.name, stages[GUARD_INPUT_STAGE]),
        (GUARD_CONTEXT_STAGE.name, stages[GUARD_CONTEXT_STAGE]),
        (GUARD_OUTPUT_STAGE.name, stages[GUARD_OUTPUT_STAGE]),
    ):
        at = f"$.stages.{stage}"
        for name, rules in [("", options), *options.routes.items()]:
            place = f"{at}.routes.{name}" if name else at
            if name and name not in config.routes:
                problems.append(f"{place}: {name!r} is not a route. Fix: one of {', '.join(sorted(config.routes))}")
            if rules.remote and rules.remote not in config.guardrails:
                known = ", ".join(sorted(config.guardrails)) or "none is configured"
                problems.append(f"{place}.remote: {rules.remote!r} is not one of guardrails. Fix: one of: {known}")
    return problems


def _hourly(config: Config) -> list[str]:
    """Bills by the hour that cannot be."""
    bills = {f"$.{kind}.{name}": options.hourly_usd for kind in ("models", "embedders", "rerankers")
             for name, options in getattr(config, kind).items()}  # fmt: skip
    for name, model in config.stages[THROUGHPUT_STAGE].models.items():
        at = f"$.stages.throughput.models.{name}"
        bills |= {f"{at}.endpoints.{each.name}": each.hourly_usd for each in model.endpoints}
        bills |= {f"{at}.regions": model.regions.hourly_usd} if model.regions is not None else {}
    return [f"{at}.hourly_usd: {usd:g} is below 0. Fix: dollars an hour" for at, usd in bills.items() if (usd or 0) < 0]


def _shared_beside_restricted(config: Config) -> list[str]:
    """Dispatchers whose tenants share answers, while what they retrieve is some tenants' or groups' alone."""
    name = config.stages[RETRIEVAL_STAGE].collection
    collection = config.collections.get(name)
    shared = [
        route
        for route, options in config.routes.items()
        if options.cache_scope == "shared" and options.mode(RETRIEVAL_STAGE) != "off"
    ]
    if collection is None or not shared:
        return []
    base = collection.knowledge_base
    if base is not None and not base.everybody:
        return [
            f"$.routes.{route}.cache_scope: `shared` gives everyone the same answers, and the knowledge base of "
            f"collection {name!r} tells callers apart. Fix: cache_scope: tenant"
            for route in shared
        ]
    if not collection.path or not Path(collection.path).is_dir():
        return []
    from hapenny.retrieval.restricted import holds_restricted  # the room is loaded where a route asks for it

    try:
        restricted = holds_restricted(Path(collection.path))
    except Exception as error:
        return [f"$.collections.{name}.path: {collection.path!r} cannot be read ({type(error).__name__}: {error})"]
    if not restricted:
        return []
    return [
        f"$.routes.{route}.cache_scope: `shared` gives everyone the same answers, and collection {name!r} holds "
        "documents of single tenants or groups. Fix: cache_scope: tenant, or a collection of public documents"
        for route in shared
    ]


def _embedders(config: Config, catalog: Catalog) -> list[str]:
    """What is wrong with embedding models."""
    problems = []
    wanted = config.stages[SEMANTIC_STAGE].embedder
    if wanted not in ("local", "hashed") and wanted not in config.embedders:
        names = ", ".join(["local", "hashed", *config.embedders])
        problems.append(
            f"$.stages.semantic.embedder: {wanted!r} is no embedder. Fix: one of {names}, or add it to embedders"
        )
    for name, options in config.embedders.items():
        at = f"$.embedders.{name}"
        if options.backend and options.backend not in config.backends:
            known = ", ".join(sorted(config.backends))
            problems.append(f"{at}.backend: {options.backend!r} is not a backend. Fix: one of {known}")
        card = catalog.resolve(options.model)
        if options.dim is None and (card is None or card.dimensions is None):
            problems.append(f"{at}.dim: unknown for {options.model!r}. Fix: give the length of its vectors")
    return problems


def _throughput(config: Config, catalog: Catalog) -> list[str]:
    """What is wrong with shared counters and batch jobs."""
    problems = shared_problems(config)
    where = config.counters
    shown = hidden(where)
    if where != "memory" and not re.match(r"rediss?://[^/]", where):
        problems.append(f"$.counters: {shown!r} is no store of counters. Fix: memory, or redis://HOST:PORT/DATABASE")
    elif where != "memory" and importlib.util.find_spec("redis") is None:
        problems.append(
            f"$.counters: {shown!r} needs the redis client. Fix: pip install 'hapenny[redis]', or counters: memory"
        )
    file = config.stages[THROUGHPUT_STAGE].quotas.file
    if file:
        try:
            of_file(file)
        except ValueError as error:
            problems.append(f"$.stages.throughput.quotas.file: {error}")
    if config.stages[THROUGHPUT_STAGE].quotas.regions and importlib.util.find_spec("boto3") is None:
        problems.append(
            "$.stages.throughput.quotas.regions: reading them needs boto3. Fix: pip install 'hapenny[aws]', or a file"
        )
    for name, model in config.stages[THROUGHPUT_STAGE].models.items():
        at = f"$.stages.throughput.models.{name}"
        if model.regions is not None:
            wrong = check_regions(name, model.regions, catalog.resolve(name), f"{at}.regions")
            problems += [f"{each.path}: {each.message}. Fix: {each.fix}" for each in wrong]
        backends = [("endpoints", each.backend) for each in model.endpoints]
        backends.append(("regions.second_endpoint", model.regions.second_endpoint if model.regions is not None else ""))
        problems += [
            f"{at}.{where}: {backend!r} is not a backend. Fix: one of {', '.join(sorted(config.backends))}"
            for where, backend in backends
            if backend and backend not in config.backends
        ]
    off = [name for name, route in config.routes.items() if route.mode(THROUGHPUT_STAGE) == "off"]
    if where != "memory" and len(off) == len(config.routes) > 0:
        problems.append(
            f"$.counters: {shown!r} is used by no route: throughput is off on all. "
            "Fix: switch the stage on, or counters: memory"
        )
    if config.batch is not None:
        journal = Path(config.batch.journal)
        if not config.batch.journal or (journal.exists() and not journal.is_dir()):
            problems.append(f"$.batch.journal: {config.batch.journal!r} is no folder. Fix: the path of a folder")
        for index, api in enumerate(config.batch.apis):
            problems += _batch_api(config, api, f"$.batch.apis[{index}]")
        for name in ("attempts", "poll_s", "stop_s", "uploads_mb", "uploads"):
            if getattr(config.batch, name) <= 0:
                problems.append(f"$.batch.{name}: {getattr(config.batch, name):g} is too small. Fix: more than 0")
    return problems


def _batch_api(config: Config, api: BatchApiOptions, at: str) -> list[str]:
    """What is wrong with a provider's batch API."""
    backend = config.backends.get(config.backend_of(api.backend))
    if backend is None:
        return [f"{at}.backend: {api.backend!r} is not a backend. Fix: one of {', '.join(sorted(config.backends))}"]
    problems = []
    kind = KINDS[backend.kind]
    if kind.batch is None:
        return [f"{at}.backend: {kind.name} has no batch API. Fix: a backend of another kind"]
    for option, what in kind.batch_wants.items():
        if not getattr(api, option):
            problems.append(f"{at}.{option}: empty. Fix: {what}")
    least = 1 if api.least is None else api.least
    if least < 1 or (api.most is not None and api.most < least) or api.turnaround_s < 0:
        problems.append(f"{at}: give 1 <= least <= most, and a turnaround_s of 0 or more")
    return problems
