"""What the throughput stage knows now, for people: endpoints, quotas, limits, health, and what a shadow would do."""

from __future__ import annotations

from typing import Any

from hapenny.throughput.concurrency import ShadowLimit
from hapenny.throughput.dispatchers import Dispatchers
from hapenny.throughput.endpoint import Endpoint


def view(routes: Dispatchers) -> list[dict[str, Any]]:
    """One object for each target in use: its queue, its running totals, its endpoints."""
    found = []
    for target, route in routes.routes().items():
        gate = route.dispatcher.gate
        found.append(
            {
                "model": target.model,
                "backend": target.backend,
                "region": target.region,
                "service_tier": target.service_tier,
                "queued": len(gate.queue),
                "totals": dict(gate.counts),
                "endpoints": [_endpoint(endpoint) for endpoint in gate.endpoints],
            }
        )
    return found


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": endpoint.name,
        "in_flight": endpoint.inflight,
        "health": endpoint.breaker.state,
        "cost_factor": endpoint.cost_factor,
    }
    limit = endpoint.limit
    if limit is not None:
        shown["limit"] = limit.limit
        if isinstance(limit, ShadowLimit):
            shown["shadow_limit"] = limit.candidate.limit
    quota = endpoint.quota
    if quota is not None:
        tokens = quota.tokens
        shown["quota"] = {
            "tokens_per_minute": round(tokens.rate * 60) if tokens is not None else None,
            "requests_per_minute": quota.spec.requests_per_minute,
            "window": "minute" if quota.window_s else "refill",
            "learnt": quota.learner is not None and tokens is not None,
        }
    return shown
