"""What a deployment has learnt and keeps over a restart, and under which settings a refuted promise stays refuted."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from hapenny.config import LOSSY, Config
from hapenny.evidence.loss_budget import LossBudgets
from hapenny.gateway.shared_state import Shared
from hapenny.prefetch.contract import SeenRequest
from hapenny.prefetch.planner import PrefetchPlanner
from hapenny.routing.router import Router
from hapenny.stores.learnt import Part
from hapenny.telemetry.content import ContentStore
from hapenny.telemetry.pricing import Prices

if TYPE_CHECKING:
    from hapenny.caching.semantic.cache import SemanticCache

MOST = 1_000
"""Requests that are kept to be asked again."""


def _asked(planner: PrefetchPlanner, content: ContentStore) -> Part:
    """Requests of routes that let their texts be kept, so that a deploy can warm the cache up by itself."""

    def dumps() -> bytes:
        kept = [
            seen
            for seen in planner.asked()[-MOST:]
            if content.whole(seen.route, seen.question, seen.last, seen.request, seen.context.user)
        ]
        return content.seal("asked", msgspec.msgpack.encode(kept))

    def loads(data: bytes) -> None:
        planner.remember(msgspec.msgpack.decode(content.unseal("asked", data), type=list[SeenRequest]))

    return Part(dumps, loads)


def settings(config: Config) -> dict[str, str]:
    """A digest of what decides how much a route's techniques lose, by route: other settings bring none of them back."""
    shared = ([config.stages[spec] for spec in LOSSY], config.tiers, config.models, config.aliases)
    digests = {}
    for name, route in config.routes.items():
        own = (route.preset, route.stages, route.baseline, route.max_quality_loss, route.prompt_version)
        digests[name] = hashlib.blake2b(msgspec.msgpack.encode((shared, own)), digest_size=16).hexdigest()
    return digests


def learning_parts(
    shared: Shared,
    router: Router,
    semantic: SemanticCache | None,
    planner: PrefetchPlanner | None,
    budgets: LossBudgets,
    prices: Prices,
) -> dict[str, Part]:
    """What learns, by the name it is kept under in the state file. Where texts may be kept, requests to be asked again
    are kept, too, sealed with the content store's key."""

    def estimators() -> bytes:
        prices.catch_up()
        return shared.estimators.dumps()

    parts = {
        "estimators": Part(estimators, shared.estimators.loads),
        "answer_sizes": Part(shared.sizes.dumps, shared.sizes.loads),
        "router": Part(router.dumps, router.loads),
        "switch": Part(shared.step_back.dumps, shared.step_back.loads),
        "budgets": Part(budgets.dumps, budgets.loads),
    }
    if semantic is not None:
        parts["semantic"] = Part(semantic.dumps, semantic.loads)
    if planner is not None and shared.config.fingerprint_key:  # a secret drawn at start makes no fingerprint twice
        parts["demand"] = Part(shared.prefetch.demand.dumps, shared.prefetch.demand.loads)
        if shared.recorder.content is not None:
            parts["asked"] = _asked(planner, shared.recorder.content)
    return parts
