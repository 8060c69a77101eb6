"""The limits of a request, from its route."""

from __future__ import annotations

from hapenny.config import Config, RouteOptions
from hapenny.responsive.options import LATENCY_STAGE
from hapenny.routing.options import CASCADE_STAGE
from hapenny.throughput.options import THROUGHPUT_STAGE

SOON_S = 1.0
"""After so long a silent stream is told to the client, where nothing can step in for it."""
PATIENT_S = 5.0
"""After so long where something can."""


def head_after(config: Config, route: RouteOptions) -> float:
    """How long a stream that the provider has accepted may be silent before its client is told that it has begun.

    Once it is told nothing can be tried again: where a fallback, a hedge or a cascade is configured, they get a chance.
    """
    if route.head_after_s is not None:
        return route.head_after_s
    hedges = any(model.hedge for model in config.stages[THROUGHPUT_STAGE].models.values())
    hedges = hedges or route.mode(LATENCY_STAGE) == "on"
    return PATIENT_S if config.fallbacks or hedges or route.mode(CASCADE_STAGE) == "on" else SOON_S
