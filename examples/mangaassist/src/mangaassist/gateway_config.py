"""The gateway's configuration as MangaAssist runs it: two routes, and what is on in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hapenny import Config, load
from mangaassist.denied import DENIED, own_words
from mangaassist.prompt import SYSTEM

TEMPLATES = Path(__file__).with_name("templates")
TECHNIQUES = ("tokens", "tiering", "batching", "caching")
"""What can be on, in the order of adoption."""
_STAGES: Mapping[str, Sequence[str]] = {
    "tokens": ("templates", "structure", "window", "prune", "answer_size", "brevity"),
    "tiering": ("tiers", "cascade"),
    "batching": ("throughput",),
    "caching": ("exact", "flights", "prefix"),
}
"""The gateway's stages of each."""
_ONLY_SCRIPTED = ("templates",)
_NEVER_SCRIPTED = ("prune", "window", "cascade")
_NEVER = ("semantic",)
"""A question here carries its passages: questions that look alike rest on other prices and days."""
_PRIVATE = dict.fromkeys(("email", "card", "iban", "secret", "phone", "national_id"), "redact")
"""Personal data that neither a model nor an answer needs. Order numbers, dates and prices look like none of it."""
_GUARDS: Mapping[str, Mapping[str, Any]] = {
    "guard_input": {"items": _PRIVATE, "deny": DENIED, "message": ""},
    "guard_output": {"items": _PRIVATE, "deny": {"instructions": own_words(SYSTEM)}, "message": ""},
}
"""What keeps people safe is no saving: it is on whatever else is off. What is declined, the orchestrator puts into the
customer's language."""


def gateway_config(
    tiers: Mapping[str, str],
    backend: Mapping[str, Any],
    *,
    on: Sequence[str] = TECHNIQUES,
    off: Sequence[str] = (),
    max_quality_loss: float = 0.01,
    trained: str | None = None,
    ledger: str | None = None,
    holdout: float = 0.01,
    audit_budget_share: float | None = None,
    unproven: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> Config:
    """A configuration of hapenny.

    Args:
        tiers: model by tier.
        backend: the provider, as under `backends`.
        on: which techniques are on; those that are not are off altogether.
        off: stages that are off beside them.
        max_quality_loss: of right answers, on the route `chat`.
        trained: a router that `hapenny train router` wrote.
        ledger: path of the books; None keeps none.
        holdout: share of sessions with everything off.
        audit_budget_share: what evidence may cost; None: the library's own.
        unproven: `open` lets tiers act before there is evidence, as a demonstration does.
        more: options beside these, as in a file.

    Raises:
        ConfigError: they do not fit.
    """
    without = [
        *off,
        *_NEVER,
        *(stage for technique in TECHNIQUES if technique not in on for stage in _STAGES[technique]),
    ]
    modes = {**dict.fromkeys(without, "off"), **dict.fromkeys(_GUARDS, "on")}
    chat = {**modes, **dict.fromkeys(_ONLY_SCRIPTED, "off")}
    scripted = {**modes, **dict.fromkeys(_NEVER_SCRIPTED, "off")}
    stages: dict[str, Any] = {
        **{stage: dict(rules) for stage, rules in _GUARDS.items()},
        "templates": {"shipped": False, "files": [str(path) for path in sorted(TEMPLATES.glob("*.yaml"))]},
    }
    if trained is not None:
        stages["tiers"] = {"trained": trained}
    route: dict[str, Any] = {"baseline": "strong", "preset": "balanced", "holdout": holdout}
    if audit_budget_share is not None:
        route["audit_budget_share"] = audit_budget_share
    if unproven is not None:
        route["unproven"] = unproven
    options: dict[str, Any] = {
        "backends": {"provider": dict(backend)},
        "tiers": dict(tiers),
        "routes": {
            # The assistant's own sentences, filled from the shop's data and proven by its tests: they need no audits.
            "scripted": {**route, "unproven": "open", "audit_share": 0.0, "stages": scripted},
            "chat": {**route, "max_quality_loss": max_quality_loss, "stages": chat},
            "default": {**route, "max_quality_loss": max_quality_loss, "stages": chat},
        },
        "stages": stages,
        "ledger": {"path": ledger} if ledger is not None else None,
        **(more or {}),
    }
    return load(text=yaml.safe_dump(options, allow_unicode=True))
