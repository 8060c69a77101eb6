"""The caches over HTTP: `/v1/cache/stats|explain|invalidate|warm|resume|feedback`."""

from __future__ import annotations

from typing import Literal

import msgspec

from hapenny.core.errors import Failure
from hapenny.gateway.cache_admin import Invalidation
from hapenny.server.call import Call
from hapenny.server.replies import as_json, read
from hapenny.server.transport.messages import Response


class _Warm(msgspec.Struct, forbid_unknown_fields=True):
    most: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.most <= 10_000:
            raise ValueError(f"most: {self.most}; use 1 to 10000")


class _Resume(msgspec.Struct, forbid_unknown_fields=True):
    layer: Literal["semantic", "precompute"]
    route: str = ""


class _Feedback(msgspec.Struct, forbid_unknown_fields=True):
    request_id: str


async def stats(call: Call) -> Response:
    """Counters of every layer."""
    return as_json(call.gateway.admin.stats())


async def explain(call: Call) -> Response:
    """The tenant's entries under a key. Raises `Failure` for what is no key."""
    try:
        return as_json(call.gateway.admin.explain(call.params.get("key", ""), call.tenant, call.gateway.clock.wall()))
    except ValueError as error:
        raise Failure("invalid_request", str(error)) from None


async def invalidate(call: Call) -> Response:
    """Removes entries of the tenant, and withdraws what was published of routes the key may use."""
    which = read(call.body or b"{}", Invalidation)
    try:
        await call.gateway.admin.tell(which, call.tenant)
    except ConnectionError:
        message = "the other gateways cannot be told, and nothing was removed"
        raise Failure("unavailable", message, retry_after=1.0) from None
    return as_json(call.gateway.admin.invalidate(which, call.tenant, call.identity.may_route))


async def warm(call: Call) -> Response:
    """Answers the tenant's most asked questions ahead."""
    answered = await call.gateway.admin.warm(call.tenant, read(call.body or b"{}", _Warm).most)
    if answered is None:
        raise Failure("not_found", "nothing is answered ahead here", fix="name routes under `precompute.routes`")
    return as_json({"answered": answered})


async def resume(call: Call) -> Response:
    """Lets a layer that was stopped for losing money try again."""
    asked = read(call.body or b"{}", _Resume)
    if asked.route and asked.route not in call.gateway.config.routes:
        raise Failure("not_found", f"there is no route {asked.route[:64]!r}", field="route")
    if not call.identity.may_route(asked.route or "*"):
        raise Failure("permission", "this key may not use that route", field="route")
    return as_json({"resumed": call.gateway.admin.resume(asked.layer, asked.route)})


async def feedback(call: Call) -> Response:
    """Reports a wrong semantic hit: its entry goes."""
    known = call.gateway.admin.feedback(read(call.body, _Feedback).request_id, call.tenant)
    if not known:
        raise Failure("not_found", "that request was not answered by the semantic cache, or too long ago")
    return as_json({"removed": True})
