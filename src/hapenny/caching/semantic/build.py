"""Builds the semantic layer of a deployment, where a route has it: imported only then."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from hapenny.caching.keys import Keys
from hapenny.caching.options import SemanticOptions
from hapenny.caching.publishing import Publisher
from hapenny.caching.semantic.cache import SemanticCache
from hapenny.caching.semantic.decider import Promise
from hapenny.caching.semantic.judging import AnswerJudge, Asks
from hapenny.caching.semantic.stage import SemanticStage
from hapenny.caching.stored import AnswerDedup, Answers
from hapenny.core.clock import Clock
from hapenny.vectors import Embedder


def build_cache(clock: Clock, answers: Answers, embedder: Embedder, asks: Asks | None, name: str) -> SemanticCache:
    """The cache of all routes. `embedder` compares answers, `asks` is the model that judges them; `name`: of the
    embedder of questions."""
    return SemanticCache(clock, answers, AnswerJudge(clock, embedder, asks), embedder=name)


def build_stage(
    cache: SemanticCache,
    keys: Keys,
    options: SemanticOptions,
    spawn: Callable[[Coroutine[Any, Any, None]], None],
    *,
    any_temperature: bool,
    stopped: Callable[[str], bool],
    publisher: Publisher | None,
    results: AnswerDedup,
    most: float = 1.0,
) -> SemanticStage:
    """The stage of one route. `most`: its part of the route's loss budget."""
    promise = Promise(
        max_error=min(options.max_error, max(most, 1e-6)),
        max_wrong_hits=options.max_wrong_hits,
        confidence=options.confidence,
        audit_share=options.audit_share,
    )
    return SemanticStage(
        cache,
        keys,
        promise,
        spawn,
        ttl=options.ttl_s,
        fixed=options.similarity,
        any_temperature=any_temperature,
        stopped=stopped,
        publisher=publisher,
        results=results,
    )
