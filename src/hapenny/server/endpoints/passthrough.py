"""What we do not understand passes through to the provider untouched: metered, and priced where it reports its usage.

Unknown paths, OpenAI Responses that refer to state, and InvokeModel bodies of other vendors than Anthropic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from hapenny.admission.gate import LIMITS, Held
from hapenny.caching.edge import PRIVATE
from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Request
from hapenny.server.call import Call
from hapenny.server.limit_headers import limit_headers
from hapenny.server.made_object import Made
from hapenny.server.passable_place import Destination, path_of, place
from hapenny.server.passable_request import asked_queries, encoded, encoded_form, names_files, permit, renamed
from hapenny.server.passed_answer import Passed
from hapenny.server.passed_bound import bounded, isolated
from hapenny.server.passed_lines import guard_lines
from hapenny.server.transport.messages import Response

_WORD = re.compile(r"[a-z]{2,20}(?:[_-][a-z]{2,20}){0,3}")
"""Path segments that are names of an API's parts, not ids of somebody's objects."""


async def forward(call: Call) -> Response:
    """Sends the request on as it is and streams the answer back. The path may name a model (`params`), else the body.

    Raises:
        Failure: `not_found`, where no backend could know the path; `invalid_request`, where the model's provider has no
            such path; `permission`, for a model, an object or a knowledge base that is not the key's, or what its
            budget cannot bound; what a limit or budget says.
    """
    gateway, request, identity = call.gateway, call.request, call.identity
    spot = await place(call)
    passable, name = spot.passable, spot.name
    permit(identity, passable, spot.asked, passable.keeps in ("object", "collection"))
    if not gateway.keyring.open:
        await _permit_objects(call, spot)
    await guard_lines(call, spot)
    target = spot.target or Target("", name)
    if spot.body is not None:
        renamed(spot.body, spot.targets, target.region or gateway.config.backends[name].region)
    if gateway.parts.isolation is not None:
        isolated(gateway.parts.isolation, call.tenant, call.path, passable, spot.body)
    body, headers = _sent(call, spot)
    target = Target(target.model or (spot.asked or [_family(call.path)])[0], name, target.region)
    asked = Request(protocol=call.dialect, model=target.model, messages=())
    exchange = gateway.parts.exchanges.bare(asked, call.context(), target)
    exchange.passthrough = True
    try:
        held = await _admitted(call, exchange, spot, body)
        paid = exchange.begin_call(target, "serve", "serve", asked)
    except Failure as failure:
        exchange.failure = failure
        gateway.close(exchange)
        raise
    paid.request = None  # there is nothing to learn or estimate tokens from
    if held is not None:
        gateway.gate.attach(exchange, paid, held)
    try:
        where = (request.method, path_of(call, spot), headers, body, exchange.limits)
        raw = await (spot.backend.forward(*where, target.region) if target.region else spot.backend.forward(*where))
    except BaseException as error:
        refusal = error if isinstance(error, Failure) else None
        if refusal is not None:
            gateway.parts.calls.refusals.tell(refusal, target)
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
    if passable.keeps == "makes" and raw.status < 300:
        made = Made(raw.headers, partial(_owned, call, name))
    queries = asked_queries(call.path, spot.body)
    passed = Passed(gateway, exchange, paid, raw, request.method, made, queries)
    return Response(status=raw.status, headers=out, pieces=passed)


def _sent(call: Call, spot: Destination) -> tuple[bytes, Mapping[str, str]]:
    """Body and headers as they are sent: what was read is written anew."""
    headers, value = call.request.headers, spot.body
    if isinstance(value, list):
        body, kind = encoded_form(value, call.gateway.clock.new_id("hapenny-"))
        return body, {**headers, "content-type": kind}
    return (call.body if value is None else encoded(value)), headers


async def _admitted(call: Call, exchange: Exchange, spot: Destination, body: bytes) -> Held | None:
    """Holds the request against limits and budgets. Raises `Failure`."""
    gate, passable = call.gateway.gate, spot.passable
    holder = gate.holder(exchange.context)
    if holder is None or passable.keeps == "object":
        return None
    most = None
    if holder.accounts:
        model = exchange.target.model if spot.asked else ""
        most = bounded(passable, call.request.method, model, spot.body, body, call.gateway.catalog)
    await gate.admit(exchange, lambda: len(body) // 4 if most is None else most.prompt + most.output)
    return await gate.reserve_tokens(exchange, exchange.target, most) if most is not None else None


async def _permit_objects(call: Call, spot: Destination) -> None:
    """Objects at the provider are those of the key that made them; lists of everybody's are nobody's; what acts for the
    operator's account is the operator's; knowledge bases are read by whom the configuration names."""
    keeps = spot.passable.keeps
    if keeps == "list":
        raise Failure("permission", "what others keep at the provider would be listed", fix="ask for objects by id")
    if keeps == "account":
        raise Failure(
            "permission",
            "this acts for the whole account of the operator, so no key opens it",
            fix="ask the provider itself, with credentials of your own",
        )
    if keeps == "collection":
        options = call.gateway.config.backends[spot.name]
        for id in spot.objects:
            if not options.shares(id, call.tenant):
                raise Failure(
                    "permission",
                    f"the knowledge base {id[:100]!r} is not open to this tenant",
                    fix=f"backends.{spot.name}.knowledge_bases names those that are",
                )
        if not spot.objects or names_files(spot.body):
            raise Failure(
                "permission",
                "what is to be read here is the operator's, and it is no knowledge base",
                fix="name a knowledgeBaseId",
            )
        return
    for id in spot.objects:
        if not await call.services.owners.owns(spot.name, id, call.identity.key_id):
            raise Failure("not_found", f"there is no {id[:200]!r} of this key")


def _owned(call: Call, backend: str, id: str) -> None:
    """Notes that the key made an object."""
    owners, key_id = call.services.owners, call.identity.key_id
    owners.note(backend, id, key_id)
    call.gateway.parts.tasks.spawn(owners.keep(backend, id, key_id))


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
