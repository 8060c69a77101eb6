"""Whether the process answers, and whether it can do its work: `/`, `/health`, `/health/ready`, `/health/live`."""

from __future__ import annotations

from hapenny.core.exchange import Target
from hapenny.gateway.gateway import Gateway
from hapenny.server.call import Call
from hapenny.server.replies import as_json
from hapenny.server.transport.messages import Response


async def root(call: Call) -> Response:
    """That this is a gateway; clients look here whether anybody is at home."""
    return as_json({"service": "hapenny", "endpoints": "docs/endpoints.md"})


async def live(call: Call) -> Response:
    """The process answers."""
    return as_json({"status": "alive"})


async def ready(call: Call) -> Response:
    """200 with `ready` or `degraded`; 503 while draining, or when no model can be called.

    A provider that refuses the gateway's own account degrades it and no more: another process would be refused alike.
    Reasons are shown where the gateway is open, or to whoever may read its metrics.
    """
    gateway = call.gateway
    down, refused, known = _down(gateway), _refused(gateway), _configured(gateway)
    reasons = [
        f"{target.model}: the provider refuses the gateway's account"
        if target in refused
        else f"{target.model} is not reachable"
        for target in sorted(down, key=lambda each: each.model)
    ]
    ledger = gateway.ledger
    if ledger is not None and ledger.failed_writes and ledger.waiting:
        reasons.append("the ledger cannot be written")
    reasons += [f"a background task failed and was begun again: {name}" for name in gateway.failing()]
    siblings = call.services.siblings
    if siblings is not None:
        try:
            standing = await siblings.standing()
            if standing["alive"] < standing["workers"]:
                reasons.append(f"{standing['workers'] - standing['alive']} of {standing['workers']} workers are away")
        except (ConnectionError, TimeoutError):
            reasons.append("the process that watches over the workers does not answer")
    status, code = ("degraded" if reasons else "ready"), 200
    if call.services.draining:
        status, code = "draining", 503
    elif known and known <= down - refused:
        status, code = "unavailable", 503
    shown: dict[str, object] = {"status": status, "models": len(gateway.names.names())}
    if reasons and call.insider():
        shown["reasons"] = reasons[:20]
    return as_json(shown, code)


def _configured(gateway: Gateway) -> set[Target]:
    """What can be called by name."""
    targets = (gateway.names.resolve(name).target for name in gateway.names.names())
    return {target for target in targets if target is not None}


def _down(gateway: Gateway) -> set[Target]:
    """What cannot be called now: each of its places has failed, and it is not time yet to try again."""
    return {
        target
        for target, route in gateway.parts.dispatchers.routes().items()
        if all(endpoint.breaker.wait_s() > 0 for endpoint in route.dispatcher.gate.endpoints)
    }


def _refused(gateway: Gateway) -> set[Target]:
    """What cannot be called because a provider refuses the gateway's own account somewhere."""
    return {
        target
        for target, route in gateway.parts.dispatchers.routes().items()
        if any(endpoint.breaker.account_refused for endpoint in route.dispatcher.gate.endpoints)
    }
