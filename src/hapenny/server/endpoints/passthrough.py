"""What we do not understand passes through to the provider untouched: metered, and priced where it reports its usage.

Unknown paths, OpenAI Responses and embeddings, and InvokeModel bodies of other vendors than Anthropic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

import msgspec
from msgspec import Struct

from hapenny.admission.gate import LIMITS, Held
from hapenny.backends.contract import Backend
from hapenny.backends.kind import PathFamily
from hapenny.backends.kinds import KINDS, passing
from hapenny.backends.passable import Keeps, Passable, way
from hapenny.caching.edge import PRIVATE
from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Request
from hapenny.gateway.gateway import Gateway
from hapenny.server.call import Call
from hapenny.server.limit_headers import limit_headers
from hapenny.server.made_object import Made
from hapenny.server.passable_request import Body, encoded, encoded_form, models_of, objects_of, permit, read
from hapenny.server.passed_answer import Passed
from hapenny.server.passed_bound import bounded, isolated
from hapenny.server.transport.messages import Response

_WORD = re.compile(r"[a-z]{2,20}(?:[_-][a-z]{2,20}){0,3}")
"""Path segments that are names of an API's parts, not ids of somebody's objects."""


class _Named(Struct):
    model: str = ""


async def forward(call: Call) -> Response:
    """Sends the request on as it is and streams the answer back. The path may name a model (`params`), else the body.

    Raises:
        Failure: `not_found`, where no backend could know the path; `permission`, for a model the key may not ask for or
            that its budget cannot bound; what a limit or budget says.
    """
    gateway, request, identity = call.gateway, call.request, call.identity
    named = call.params.get("model") or _model(call.body)
    name, backend = _backend(gateway, call, named)
    kind = gateway.config.backends[name].kind if name in gateway.config.backends else ""
    open_way = way(KINDS[kind].ways, request.method, call.path) if kind in KINDS else None
    if open_way is None:
        raise Failure(
            "not_found",
            f"{request.method} {call.path[:200]!r} is not passed on to a provider",
            fix="docs/protocols.md lists what is",
        )
    passable, about = open_way
    value = read(passable, request.method, request.headers.get("content-type", ""), call.body)
    models = [named] if passable.names == "path" else models_of(value)
    permit(identity, passable, models, passable.keeps == "object")
    if not gateway.keyring.open:
        await _permit_objects(call, name, passable.keeps, [about, *objects_of(value)])
    if gateway.parts.isolation is not None:
        isolated(gateway.parts.isolation, call.tenant, call.path, passable, value)
    body, headers = _sent(call, value)
    path = request.path if kind == "bedrock" else call.path
    sent = path + (f"?{request.target.query}" if request.target.query else "")
    # A form's model stands in no JSON; of several models a request is booked to the first.
    asked_for = named or (models[0] if models else "")
    target = Target(asked_for or _family(call.path), name)
    asked = Request(protocol=call.dialect, model=target.model, messages=())
    exchange = gateway.parts.exchanges.bare(asked, call.context(), target)
    exchange.passthrough = True
    try:
        held = await _admitted(gateway, exchange, passable, request.method, asked_for, value, body)
        paid = exchange.begin_call(target, "serve", "serve", asked)
    except Failure as failure:
        exchange.failure = failure
        gateway.close(exchange)
        raise
    paid.request = None  # there is nothing to learn or estimate tokens from
    if held is not None:
        gateway.gate.attach(exchange, paid, held)
    try:
        raw = await backend.forward(request.method, sent, headers, body, exchange.limits)
    except BaseException as error:
        refusal = error if isinstance(error, Failure) else None
        exchange.failure = refusal
        exchange.end_call(paid, "failed" if refusal is not None else "abandoned", refusal)
        gateway.close(exchange)
        raise
    exchange.commit()
    out = {**raw.headers, "x-request-id": exchange.id, **PRIVATE}
    limits = exchange.stage_notes.get(LIMITS)
    if limits is not None:
        out.update(limit_headers(call.dialect, limits, gateway.clock.wall()))
    made = None
    if passable.keeps == "makes" and raw.status < 300 and not gateway.keyring.open:
        made = Made(raw.headers, partial(_owned, call, name))
    passed = Passed(gateway, exchange, paid, raw, request.method, made)
    return Response(status=raw.status, headers=out, pieces=passed)


def _sent(call: Call, value: Body) -> tuple[bytes, Mapping[str, str]]:
    """Body and headers as they are sent: what was read is written anew."""
    headers = call.request.headers
    if isinstance(value, list):
        body, kind = encoded_form(value, call.gateway.clock.new_id("hapenny-"))
        return body, {**headers, "content-type": kind}
    return (call.body if value is None else encoded(value)), headers


async def _admitted(
    gateway: Gateway, exchange: Exchange, passable: Passable, method: str, model: str, value: Body, body: bytes
) -> Held | None:
    """Holds the request against limits and budgets. Raises `Failure`."""
    holder = gateway.gate.holder(exchange.context)
    if holder is None or passable.keeps == "object":
        return None
    most = bounded(passable, method, model, value, body, gateway.catalog) if holder.accounts else None
    await gateway.gate.admit(exchange, lambda: len(body) // 4 if most is None else most.prompt + most.output)
    return await gateway.gate.reserve_tokens(exchange, exchange.target, most) if most is not None else None


async def _permit_objects(call: Call, backend: str, keeps: Keeps, ids: list[str]) -> None:
    """Objects at the provider are those of the key that made them; lists of everybody's are nobody's."""
    if keeps == "list":
        raise Failure("permission", "what others keep at the provider would be listed", fix="ask for objects by id")
    for id in ids:
        if id and not await call.services.owners.owns(backend, id, call.identity.key_id):
            raise Failure("not_found", f"there is no {id[:200]!r} of this key")


def _owned(call: Call, backend: str, id: str) -> None:
    """Notes that the key made an object."""
    owners, key_id = call.services.owners, call.identity.key_id
    owners.note(backend, id, key_id)
    call.gateway.parts.tasks.spawn(owners.keep(backend, id, key_id))


def _model(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Named).model
    except (ValueError, RecursionError, OverflowError):
        return ""


def _family(path: str) -> str:
    """What a path is about, as a name for the books: its words without the ids of anybody's objects, at most three."""
    words = []
    for segment in path.split("/")[1:5]:
        if segment == "v1":
            continue
        if not _WORD.fullmatch(segment):
            break
        words.append(segment)
    return "/" + "/".join(words[:3])


def _backend(gateway: Gateway, call: Call, model: str) -> tuple[str, Backend]:
    """Where the model is configured to be, else the first backend of a kind that may know the path."""
    path = call.request.path
    family: PathFamily = "other"
    if path.startswith("/model/"):
        family = "model"
    elif path.startswith("/openai/"):
        family = "openai-prefix"
    elif path.startswith(("/v1/", "/anthropic/")):
        family = "anthropic" if call.dialect == "anthropic" else "openai"
    kinds = passing(family)
    configured = gateway.names.resolve(model).target if model else None
    first = configured.backend if configured is not None else ""
    for kind in kinds:
        for name, options in sorted(gateway.config.backends.items(), key=lambda pair: pair[0] != first):
            backend = gateway.backends.get(name)
            if options.kind == kind and backend is not None:
                return name, backend
    raise Failure(
        "not_found",
        f"nothing is served at {path[:200]!r}, and no configured backend could know it",
        fix=f"a backend of kind {' or '.join(kinds)} passes it on",
    )
