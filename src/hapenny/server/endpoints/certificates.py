"""`GET /v1/certificates`: which promises routing makes, and how they stand."""

from __future__ import annotations

from hapenny.server.call import Call
from hapenny.server.replies import as_json
from hapenny.server.transport.messages import Response


async def listed(call: Call) -> Response:
    """Every certificate of the routes the key may use and its state, how many audited pairs there are towards the next
    one, what audits did, which techniques have stepped back, and which stand aside as they cost more than they save."""
    gateway = call.gateway
    promises = gateway.parts.router.promises
    mine = [name for name in gateway.config.routes if call.identity.may_route(name)]
    held = [] if promises is None else [one for one in promises.held() if one.certificate.about.route in mine]
    losing = {name: gone for name, gone in gateway.shared.earnings.aside().items() if name in mine}
    stepped = {name: gone for name, gone in gateway.shared.step_back.stepped_back().items() if name in mine}
    return as_json(
        {
            "certificates": held,
            "pairs": {} if promises is None else {name: promises.pairs(name) for name in mine},
            "audited": gateway.parts.live_audit.audited,
            "probed": gateway.parts.live_audit.probed,
            "stepped_back": stepped,
            "losing_money": losing,
            "dominated": gateway.parts.router.instead,
        }
    )
