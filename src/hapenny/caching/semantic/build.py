"""Builds the semantic layer of a deployment, where a route has it: imported only then."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from hapenny.caching.keys import Keys
from hapenny.caching.options import SemanticOptions
from hapenny.caching.publishing import Publisher
from hapenny.caching.semantic.cache import SemanticCache
from hapenny.caching.semantic.decider import Promise
from hapenny.caching.semantic.judging import AnswerJudge, Asks, LabelBudget
from hapenny.caching.semantic.stage import SemanticStage
from hapenny.caching.semantic.watch import SemanticWatch
from hapenny.caching.stored import AnswerDedup, Answers
from hapenny.core.clock import Clock
from hapenny.core.watching import Sampler
from hapenny.vectors import Embedder


def build_cache(
    clock: Clock, answers: Answers, embedder: Embedder, asks: Asks | None, name: str, label_share: float = 1.0
) -> SemanticCache:
    """The cache of all routes. `embedder` compares answers, `asks` is the model that judges them, for `label_share` of
    what the requests cost; `name`: of the embedder of questions."""
    return SemanticCache(clock, answers, AnswerJudge(clock, embedder, asks, LabelBudget(label_share)), embedder=name)


def promise_of(options: SemanticOptions) -> Promise:
    """What the operator states for every route."""
    return Promise(
        max_error=options.max_error,
        max_wrong_hits=options.max_wrong_hits,
        confidence=options.confidence,
        audit_share=options.audit_share,
    )


def build_watch(
    cache: SemanticCache,
    keys: Keys,
    options: SemanticOptions,
    spawn: Callable[[Coroutine[Any, Any, None]], None],
    embedder: Embedder,
    clock: Clock,
    *,
    any_temperature: bool,
) -> SemanticWatch:
    """The stage of a route where it only watches."""
    return SemanticWatch(
        cache, keys, promise_of(options), spawn, embedder, Sampler(clock), ttl=options.ttl_s,
        any_temperature=any_temperature,
    )  # fmt: skip


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
    promise = promise_of(options)
    promise = msgspec.structs.replace(promise, max_error=min(promise.max_error, max(most, 1e-6)))
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
