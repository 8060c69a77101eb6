"""What a deployment has learnt and keeps over a restart, and under which settings a refuted promise stays refuted."""

from __future__ import annotations

import hashlib

import msgspec

from hapenny.config import Config
from hapenny.core.clock import Clock
from hapenny.counting.registry import Estimators
from hapenny.deck import Deck
from hapenny.evidence.switch import LOSSY, Switch
from hapenny.stores.learnt import Learnt, Part


def settings(config: Config) -> dict[str, str]:
    """A digest of what decides how much a route's techniques lose, by route: other settings bring none of them back."""
    shared = ([getattr(config.stages, name) for name in LOSSY], config.tiers, config.models, config.aliases)
    found = {}
    for name, route in config.routes.items():
        own = (route.preset, route.stages, route.baseline, route.max_quality_loss, route.prompt_version)
        found[name] = hashlib.blake2b(msgspec.msgpack.encode((shared, own)), digest_size=16).hexdigest()
    return found


def memory(config: Config, clock: Clock, estimators: Estimators, deck: Deck, switch: Switch) -> Learnt | None:
    """The state file; None where nothing is kept."""
    path = config.state_path()
    if path is None:
        return None
    parts = {
        "estimators": Part(estimators.dumps, estimators.loads),
        "answer_sizes": Part(deck.sizes.dumps, deck.sizes.loads),
        "router": Part(deck.router.dumps, deck.router.loads),
        "semantic": Part(deck.semantic.dumps, deck.semantic.loads),
        "switch": Part(switch.dumps, switch.loads),
    }
    if deck.ahead is not None and config.fingerprint_key:  # a secret drawn at start makes no fingerprint twice
        demand = deck.ahead.demand  # one and the same over reloads
        parts["demand"] = Part(demand.dumps, demand.loads)
    return Learnt(path, clock, parts)
