"""`POST /v1/feedback`: what a person says of an answer. `POST /v1/select`: our routing decision alone.
`GET /v1/certificates`: which promises routing makes, and how they stand."""

from __future__ import annotations

import msgspec

from hapenny.core.errors import Failure
from hapenny.evidence.labels import Feedback
from hapenny.gateway.gateway import Gateway
from hapenny.routing.select import select_json
from hapenny.server.auth import identify
from hapenny.server.endpoints.models import shown
from hapenny.server.transport import messages as web
from hapenny.telemetry.rows import verdict


async def feedback(gateway: Gateway, request: web.BaseRequest) -> web.StreamResponse:
    """Takes a verdict on an answer of the caller's own tenant into the ledger: it becomes `scores.quality` of that
    request. A bad one also takes the answer out of the semantic cache.

    Raises:
        Failure: `invalid_request`, or `not_found` for a request that the caller's tenant never made.
    """
    body = await request.read()
    identity = identify(gateway.keyring, request.headers, request.method, request.raw_path, body, gateway.clock)
    try:
        said = msgspec.json.decode(body, type=Feedback)
        score = said.value()
        if said.source == "audit":
            raise ValueError("source: audit is our own judge")
    except (msgspec.DecodeError, ValueError) as error:
        raise Failure(
            "invalid_request", f"the feedback is not as expected: {error}", fix="send request_id and thumbs or score"
        ) from None
    ledger = gateway.ledger
    row = await ledger.get(said.request_id) if ledger is not None else None
    if ledger is None or row is None or row.tenant != identity.tenant or row.background:
        raise Failure("not_found", f"no request {said.request_id[:64]!r} in the ledger")
    ledger.book(verdict(row.id, score, said.source[:64], gateway.clock.wall()))
    if score < 0.5:
        gateway.admin.feedback(row.id)
    kept = False
    if said.corrected is not None and gateway.recorder.content is not None:
        kept = await gateway.recorder.content.correct(row.id, said.corrected)
    return shown({"request_id": row.id, "score": score, "corrected_kept": kept})


async def select(gateway: Gateway, request: web.BaseRequest) -> web.StreamResponse:
    """The tier and model a question would be sent to, and why. Nothing is sent.

    Raises:
        Failure: `invalid_request`, or `permission` for a route the key may not use.
    """
    body = await request.read()
    identity = identify(gateway.keyring, request.headers, request.method, request.raw_path, body, gateway.clock)
    models = {tier: target.model for tier, target in gateway.names.tiers.items()}

    def may(route: str) -> None:
        if route not in gateway.config.routes or not identity.may_route(route):
            raise Failure("permission", f"this key may not use the route {route!r}", field="route")

    try:
        return shown(
            select_json(body, gateway.parts.router, models, gateway.clock.now(), tenant=identity.tenant, may=may)
        )
    except ValueError as error:
        raise Failure("invalid_request", str(error)) from None


async def certificates(gateway: Gateway, request: web.BaseRequest) -> web.StreamResponse:
    """Every certificate of the routes the key may use and its state, how many audited pairs there are towards the next
    one, what audits did, and which techniques have stepped back."""
    body = await request.read()
    identity = identify(gateway.keyring, request.headers, request.method, request.raw_path, body, gateway.clock)
    promises = gateway.parts.router.promises
    mine = [name for name in gateway.config.routes if identity.may_route(name)]
    held = [] if promises is None else [one for one in promises.held() if one.certificate.about.route in mine]
    stepped = {name: gone for name, gone in gateway.shared.step_back.stepped_back().items() if name in mine}
    return shown(
        {
            "certificates": held,
            "pairs": {} if promises is None else {name: promises.pairs(name) for name in mine},
            "audited": gateway.parts.live_audit.audited,
            "probed": gateway.parts.live_audit.probed,
            "stepped_back": stepped,
            "dominated": gateway.parts.router.instead,
        }
    )
