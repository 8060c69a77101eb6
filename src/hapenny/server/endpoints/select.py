"""`POST /v1/select`: our routing decision alone."""

from __future__ import annotations

from hapenny.core.errors import Failure
from hapenny.routing.options import TIERS_STAGE
from hapenny.routing.select import select_json
from hapenny.server.call import Call
from hapenny.server.replies import as_json
from hapenny.server.transport.messages import Response


async def decide(call: Call) -> Response:
    """The tier and model a question would be sent to, and why. Nothing is sent.

    Raises:
        Failure: `invalid_request`, or `permission` for a route the key may not use.
    """
    gateway, identity = call.gateway, call.identity
    models = {tier: target.model for tier, target in gateway.names.tiers.items()}

    def may(route: str) -> None:
        if route not in gateway.config.routes or not identity.may_route(route):
            raise Failure("permission", f"this key may not use the route {route!r}", field="route")

    def stands(route: str) -> tuple[str | None, str | None]:
        options = gateway.config.routes.get(route)
        if options is None:
            return None, None
        return options.mode(TIERS_STAGE), gateway.parts.resolver.baselines[route].model

    try:
        chosen = select_json(
            call.body, gateway.parts.router, models, gateway.clock.now(),
            tenant=identity.tenant, may=may, stands=stands,
        )  # fmt: skip
    except (ValueError, RecursionError) as error:
        raise Failure("invalid_request", str(error)) from None
    return as_json(chosen)
