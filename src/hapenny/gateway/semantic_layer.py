"""The semantic layer of a deployment: the cache of paraphrases, the one that only watches, and the model that judges.

Over a reload both caches go on, as far as they are configured as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hapenny.caching.options import SEMANTIC_STAGE
from hapenny.caching.store import Store
from hapenny.config import Config, ConfigError
from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange
from hapenny.gateway.background_calls import BackgroundCalls
from hapenny.gateway.resolver import RequestResolver
from hapenny.gateway.shared_state import Shared

if TYPE_CHECKING:
    from hapenny.caching.semantic.cache import SemanticCache
    from hapenny.caching.semantic.judging import Asks

_WATCHED_BYTES = 32_000_000


def semantic_judge(config: Config, resolver: RequestResolver, background: BackgroundCalls) -> Asks | None:
    """Asks the configured model whether answers are the same; None: no model is asked.

    Raises:
        ConfigError: the name is not one model's, whether the layer is on or not.
    """
    name = config.stages[SEMANTIC_STAGE].judge
    if name is None:
        return None
    target = resolver.names.resolve(name).target
    if target is None:
        problem = f"stages.semantic.judge: {name!r} is not one known model. Fix: name a model, an alias or a tier"
        raise ConfigError([problem])

    async def asks(exchange: Exchange, prompt: str) -> tuple[str, int]:
        return await background.same(exchange, target, prompt)

    return asks


def semantic_cache(
    config: Config, shared: Shared, asks: Asks | None, old: Config | None, kept: SemanticCache | None
) -> SemanticCache | None:
    """The cache of paraphrases: `kept` where its options in `old` are the same, a new one where a route has it."""
    options = config.stages[SEMANTIC_STAGE]
    if (
        old is not None
        and kept is not None
        and (old.stages[SEMANTIC_STAGE], old.embedders) == (options, config.embedders)
    ):
        kept.judged_by(asks)
        return kept
    if all(route.mode(SEMANTIC_STAGE) != "on" for route in config.routes.values()):
        return None
    from hapenny.caching.semantic.build import build_cache

    name = str(config.embedders.get(options.embedder, options.embedder))
    return build_cache(shared.clock, shared.paraphrases, shared.embedder, asks, name, options.label_share)


def watched_cache(config: Config, clock: Clock, old: Config | None, kept: SemanticCache | None) -> SemanticCache | None:
    """The cache of paraphrases that only watches, where a route has it in shadow; what `kept` learnt goes on."""
    if all(route.mode(SEMANTIC_STAGE) != "shadow" for route in config.routes.values()):
        return None
    if old is not None and kept is not None and old.stages[SEMANTIC_STAGE] == config.stages[SEMANTIC_STAGE]:
        return kept
    from hapenny.caching.semantic.build import build_cache
    from hapenny.vectors.hashed import HashedEmbedder

    return build_cache(clock, Store(clock, _WATCHED_BYTES), HashedEmbedder(), None, "hashed, watching")
