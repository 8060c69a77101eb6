"""What we do not understand passes through to the provider untouched: metered, and priced where it reports its usage.

Unknown paths, OpenAI Responses and embeddings, and InvokeModel bodies of other vendors than Anthropic.
"""

from __future__ import annotations

import re
from functools import partial

import msgspec
from msgspec import Struct

from hapenny.backends.contract import Backend, Raw
from hapenny.backends.kind import PathFamily
from hapenny.backends.kinds import KINDS, passing
from hapenny.backends.passable import Keeps, way
from hapenny.caching.edge import PRIVATE
from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.exchange import Call as Paid
from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Request
from hapenny.gateway.gateway import Gateway
from hapenny.protocols.gauge import Gauge
from hapenny.server.call import Call
from hapenny.server.made_object import Made
from hapenny.server.passable_request import encoded, models_of, permit, read, references_of
from hapenny.server.transport.messages import Response

_WORD = re.compile(r"[a-z]{2,20}(?:[_-][a-z]{2,20}){0,3}")
"""Path segments that are names of an API's parts, not ids of somebody's objects."""


class _Named(Struct):
    model: str = ""


async def forward(call: Call) -> Response:
    """Sends the request on as it is and streams the answer back. The path may name a model (`params`), else the body.

    Raises:
        Failure: `not_found`, where no backend could know the path; `permission`, for a model the key may not ask for.
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
        await _permit_objects(call, name, passable.keeps, [about, *references_of(value)])
    body = call.body if value is None else encoded(value)
    path = request.path if kind == "bedrock" else call.path
    sent = path + (f"?{request.target.query}" if request.target.query else "")
    target = Target(named or _family(call.path), name)
    asked = Request(protocol="openai", model=target.model, messages=())
    exchange = gateway.parts.exchanges.bare(asked, call.context(), target)
    exchange.passthrough = True
    paid = exchange.begin_call(target, "serve", "serve", asked)
    paid.request = None  # there is nothing to learn or estimate tokens from
    try:
        raw = await backend.forward(request.method, sent, request.headers, body, exchange.limits)
    except BaseException:
        exchange.end_call(paid, "abandoned")
        gateway.close(exchange)
        raise
    exchange.commit()
    headers = {**raw.headers, "x-request-id": exchange.id, **PRIVATE}
    made = None
    if passable.keeps == "makes" and raw.status < 300 and not gateway.keyring.open:
        made = Made(raw.headers, partial(_owned, call, name))
    return Response(
        status=raw.status, headers=headers, pieces=_Passed(gateway, exchange, paid, raw, request.method, made)
    )


async def guardrail(call: Call) -> Response:
    """Bedrock ApplyGuardrail: it names no model, and passes as it is."""
    return await forward(call)


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


class _Passed:
    """A raw answer on its way, and what it turns out to have cost."""

    __slots__ = ("_exchange", "_gateway", "_gauge", "_made", "_makes", "_paid", "_raw", "_whole", "last", "late")

    def __init__(
        self, gateway: Gateway, exchange: Exchange, paid: Paid, raw: Raw, method: str, made: Made | None
    ) -> None:
        self.last = self.late = False
        self._gateway = gateway
        self._exchange = exchange
        self._paid = paid
        self._raw = raw
        self._gauge = Gauge(raw.headers)
        self._makes = method == "POST"
        self._made = made
        self._whole = raw.status in (204, 304) or method == "HEAD"
        """Whether the answer has come to its end."""

    async def read(self) -> bytes | None:
        """The next piece, as it came."""
        data = await self._raw.body.read()
        if data is None:
            self._whole = True
            if self._made is not None:
                self._made.end()
            return None
        if self._paid.began is None:
            self._paid.began = self._exchange.first_out = self._gateway.clock.now()
        self._gauge.feed(data)
        if self._made is not None:
            self._made.feed(data)
        return data

    def silence(self) -> bytes:
        """Nothing: nobody knows what the format allows."""
        return b""

    def cut(self, failure: Failure) -> bytes:
        """Nothing, likewise."""
        self._exchange.failure = failure
        return b""

    def close(self) -> None:
        """Settles: providers bill nothing for what they refuse."""
        exchange, paid = self._exchange, self._paid
        self._raw.body.close()
        if self._whole:
            exchange.delivered = self._raw.status < 400
            exchange.stopped = "end_turn" if exchange.delivered else None
            # Only what makes something is billed: looking an answer up again repeats its usage, not its bill.
            billed = exchange.delivered and self._makes
            tokens = self._gauge.end() if billed else Tokens()
            paid.tokens = tokens if tokens is None or self._gateway.books.plausible(paid, tokens) else None
            paid.extras = self._gauge.extras if billed else {}
            exchange.end_call(paid, "complete" if exchange.delivered else "failed")
        exchange.end_call(paid, "abandoned")
        self._gateway.close(exchange)


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
