"""The configuration's version in cache keys: a digest of what of it can change an answer, and of nothing else.

A reload that changes a quota, a time limit or a retry budget keeps every stored answer; one that changes which model is
asked, or what, keeps none.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from hapenny.config.options import Config
from hapenny.config.stages import STAGES
from hapenny.retrieval.options import RETRIEVAL_STAGE
from hapenny.routing.options import TIERS_STAGE


def answer_version(config: Config, route: str) -> str:
    """The version of the configuration for answers on a route, 16 hex digits.

    In it are the options of the stages that are on and shape what is asked (a stage that only watches changes nothing),
    what names mean, what configured models are sent, and where models are served. Not in it is what the key holds in
    its own words: the route, its prompt version and knowledge epoch, arms, intent.
    """
    here = config.routes[route]
    parts: list[Any] = [
        (spec.name, deciding)
        for spec in STAGES
        if here.mode(spec) == "on" and (deciding := spec.deciding(config.stages[spec])) is not None
    ]
    parts += [config.tiers, config.aliases, config.fallbacks, here.baseline]
    parts += [{name: (each.id, each.backend, each.endpoint, each.parameters) for name, each in config.models.items()}]
    parts += [
        {name: (each.kind, getattr(each, "base_url", None)) for name, each in config.backends.items()},
        config.default_backend,
    ]
    if here.mode(TIERS_STAGE) == "on":
        parts.append(_contents(config.stages[TIERS_STAGE].trained))
    if here.mode(RETRIEVAL_STAGE) == "on":
        parts += [{name: (each.path, each.remote) for name, each in config.collections.items()}, config.embedders]
        parts += [{name: (each.kind, each.model, each.base_url) for name, each in config.rerankers.items()}]
    return hashlib.blake2b(msgspec.json.encode(parts, order="deterministic"), digest_size=8).hexdigest()


def _contents(path: str | None) -> str:
    """A digest of a file that decides: one that is trained anew may lie under the old name."""
    if path is None or not Path(path).is_file():
        return ""
    return hashlib.blake2b(Path(path).read_bytes(), digest_size=8).hexdigest()
