"""The limits of a request, from its route."""

from __future__ import annotations

from collections.abc import Mapping

from hapenny.config import Config, RouteOptions
from hapenny.core.stage import Mode

SOON_S = 1.0
"""After so long a silent stream is told to the client, where nothing can step in for it."""
PATIENT_S = 5.0
"""After so long where something can."""


def head_after(config: Config, route: RouteOptions, modes: Mapping[str, Mode]) -> float:
    """How long a stream that the provider has accepted may be silent before its client is told that it has begun.

    Once it is told nothing can be tried again: where a fallback, a hedge or a cascade is configured, they get a chance.
    `modes`: of the route's stages.
    """
    if route.head_after_s is not None:
        return route.head_after_s
    hedges = any(model.hedge for model in config.stages.throughput.models.values())
    return PATIENT_S if config.fallbacks or hedges or modes.get("cascade") == "on" else SOON_S
