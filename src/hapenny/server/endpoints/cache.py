"""The caches over HTTP: `/v1/cache/stats|explain|invalidate|warm|resume|feedback`, and published answers at
`/v1/answers/…`."""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from hapenny.core.errors import Failure
from hapenny.gateway.cache_admin import Invalidation
from hapenny.gateway.gateway import Gateway
from hapenny.server.auth import identify
from hapenny.server.endpoints.models import shown
from hapenny.server.transport import messages as web

T = TypeVar("T")


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


async def page(gateway: Gateway, request: web.BaseRequest, path: str) -> web.StreamResponse | None:
    """The page at `path`, or None if it is not one of ours. Every tenant sees and reaches its own entries alone."""
    if path.startswith("/v1/answers/") and request.method in ("GET", "HEAD"):
        found = gateway.shared.edge.get(
            path.removeprefix("/v1/answers/"), request.headers.get("if-none-match", ""), head=request.method == "HEAD"
        )
        return web.Response(status=found.status, headers=found.headers, body=found.body or b"")
    if not path.startswith("/v1/cache/"):
        return None
    verb = path.removeprefix("/v1/cache/")
    body = await request.read()
    identity = identify(gateway.keyring, request.headers, request.method, request.raw_path, body, gateway.clock)
    tenant = identity.tenant
    admin = gateway.admin
    if request.method == "GET" and verb == "stats":
        return shown(admin.stats())
    if request.method == "GET" and verb.startswith("explain/"):
        try:
            return shown(admin.explain(verb.removeprefix("explain/"), tenant, gateway.clock.wall()))
        except ValueError as error:
            raise Failure("invalid_request", str(error)) from None
    if request.method == "POST" and verb == "invalidate":
        return shown(admin.invalidate(_read(body or b"{}", Invalidation), tenant))
    if request.method == "POST" and verb == "warm":
        answered = await admin.warm(tenant, _read(body or b"{}", _Warm).most)
        if answered is None:
            raise Failure("not_found", "nothing is answered ahead here", fix="name routes under `precompute.routes`")
        return shown({"answered": answered})
    if request.method == "POST" and verb == "resume":
        asked = _read(body or b"{}", _Resume)
        if asked.route and asked.route not in gateway.config.routes:
            raise Failure("not_found", f"there is no route {asked.route[:64]!r}", field="route")
        if not identity.may_route(asked.route or "*"):
            raise Failure("permission", "this key may not use that route", field="route")
        return shown({"resumed": admin.resume(asked.layer, asked.route)})
    if request.method == "POST" and verb == "feedback":
        known = admin.feedback(_read(body, _Feedback).request_id, tenant)
        if not known:
            raise Failure("not_found", "that request was not answered by the semantic cache, or too long ago")
        return shown({"removed": True})
    raise Failure("not_found", f"no page {path!r}", fix="stats, explain/KEY, invalidate, warm, resume or feedback")


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise Failure("invalid_request", f"the body is not as expected: {error}") from None
