"""What a deployment has learnt and keeps over a restart, and under which settings a refuted promise stays refuted."""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec

from hapenny.config import LOSSY, Config
from hapenny.core.clock import Clock
from hapenny.counting.registry import Estimators
from hapenny.evidence.step_back import Switch
from hapenny.gateway.shared_state import Deck
from hapenny.prefetch.forecast import Known
from hapenny.prefetch.planner import Ahead
from hapenny.stores.learnt import Learnt, Part
from hapenny.telemetry.content import ContentStore
from hapenny.telemetry.recorder import Desk

MOST = 1_000
"""Requests that are kept to be asked again."""


def _asked(ahead: Ahead, content: ContentStore) -> Part:
    """Requests of routes that let their texts be kept, so that a deploy can warm the cache up by itself."""

    def dumps() -> bytes:
        kept = [
            known
            for known in ahead.asked()[-MOST:]
            if content.whole(known.route, known.question, known.last, known.request, known.context.user)
        ]
        return content.seal("asked", msgspec.msgpack.encode(kept))

    def loads(data: bytes) -> None:
        ahead.remember(msgspec.msgpack.decode(content.unseal("asked", data), type=list[Known]))

    return Part(dumps, loads)


def settings(config: Config) -> dict[str, str]:
    """A digest of what decides how much a route's techniques lose, by route: other settings bring none of them back."""
    shared = ([config.stages[spec] for spec in LOSSY], config.tiers, config.models, config.aliases)
    found = {}
    for name, route in config.routes.items():
        own = (route.preset, route.stages, route.baseline, route.max_quality_loss, route.prompt_version)
        found[name] = hashlib.blake2b(msgspec.msgpack.encode((shared, own)), digest_size=16).hexdigest()
    return found


class Learning(Protocol):
    """A gateway, as the state file knows it."""

    config: Config
    clock: Clock
    estimators: Estimators
    deck: Deck
    switch: Switch
    desk: Desk


def memory(gateway: Learning) -> Learnt | None:
    """The state file; None where nothing is kept. Where texts may be kept, requests to be asked again are, too, sealed
    with the content store's key."""
    config, estimators, deck, switch = gateway.config, gateway.estimators, gateway.deck, gateway.switch
    content = gateway.desk.content
    path = config.state_path()
    if path is None:
        return None
    parts = {
        "estimators": Part(estimators.dumps, estimators.loads),
        "answer_sizes": Part(deck.sizes.dumps, deck.sizes.loads),
        "router": Part(deck.router.dumps, deck.router.loads),
        "switch": Part(switch.dumps, switch.loads),
    }
    if deck.semantic is not None:
        parts["semantic"] = Part(deck.semantic.dumps, deck.semantic.loads)
    if deck.ahead is not None and config.fingerprint_key:  # a secret drawn at start makes no fingerprint twice
        demand = deck.ahead.demand  # one and the same over reloads
        parts["demand"] = Part(demand.dumps, demand.loads)
        if content is not None:
            parts["asked"] = _asked(deck.ahead, content)
    return Learnt(path, gateway.clock, parts)
