"""What the throughput stage knows now: endpoints, quotas, limits, health, and what a shadow would do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hapenny.telemetry.metrics import Series
from hapenny.throughput.concurrency import ShadowLimit
from hapenny.throughput.dispatchers import Dispatchers
from hapenny.throughput.endpoint import Endpoint


def view(routes: Dispatchers) -> list[dict[str, Any]]:
    """One object for each target in use: its queue, its running totals, its endpoints."""
    rows = []
    for target, route in routes.routes().items():
        gate = route.dispatcher.gate
        rows.append(
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
    return rows


def series(routes: Dispatchers, known: Callable[[str], bool] = lambda model: True) -> Iterator[Series]:
    """What holds calls back now, for metrics: by model and endpoint, the same pool once. `known`: whether a model may
    have series of its own; names that clients made up have none."""
    learnt: dict[tuple[str, ...], float] = {}
    held: dict[tuple[str, ...], float] = {}
    down: dict[tuple[str, ...], float] = {}
    for target, endpoint in routes.endpoints():
        if not known(target.model):
            continue
        labels = (target.model, endpoint.name)
        down[labels] = max(down.get(labels, 0.0), float(endpoint.breaker.state == "open"))
        quota = endpoint.quota
        if quota is None:
            continue
        held[labels] = max(held.get(labels, 0.0), quota.held_s())
        if quota.learner is not None and (tokens := quota.tokens) is not None:
            learnt[labels] = tokens.rate * 60
    by = ("model", "endpoint")
    yield Series("hapenny_learnt_tokens_per_minute", "Quotas learnt from refusals, where one is kept to.", by, learnt)
    yield Series("hapenny_quota_rest_seconds", "Until a provider that refused is asked again.", by, held)
    yield Series("hapenny_endpoint_open", "1 while an endpoint fails and is only probed.", by, down)


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
            "refused_in_a_row": quota.hold.strikes,
            "asked_again_in_s": round(quota.held_s(), 3),
        }
    return shown
