"""What we do not understand passes through to the provider untouched: metered, and priced where it reports its usage.

Unknown paths, OpenAI Responses and embeddings, and InvokeModel bodies of other vendors than Anthropic.
"""

from __future__ import annotations

import re
from functools import partial

from hapenny.backends.contract import Raw
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
from hapenny.server.passable_place import Place, path_of, place
from hapenny.server.passable_request import asked_queries, encoded, names_files, permit, renamed
from hapenny.server.transport.messages import Response

_WORD = re.compile(r"[a-z]{2,20}(?:[_-][a-z]{2,20}){0,3}")
"""Path segments that are names of an API's parts, not ids of somebody's objects."""


async def forward(call: Call) -> Response:
    """Sends the request on as it is and streams the answer back. The path may name a model (`params`), else the body.

    Raises:
        Failure: `not_found`, where no backend could know the path; `invalid_request`, where the model's provider has no
            such path; `permission`, for a model, an object or a knowledge base that is not the key's.
    """
    gateway, request, identity = call.gateway, call.request, call.identity
    spot = await place(call)
    passable, name = spot.passable, spot.name
    permit(identity, passable, spot.asked, passable.keeps in ("object", "collection"))
    if not gateway.keyring.open:
        await _permit_objects(call, spot)
    target = spot.target or Target("", name)
    body = call.body
    if spot.body is not None:
        renamed(spot.body, spot.targets, target.region or gateway.config.backends[name].region)
        body = encoded(spot.body)
    target = Target(target.model or (spot.asked or [_family(call.path)])[0], name, target.region)
    asked = Request(protocol="openai", model=target.model, messages=())
    exchange = gateway.parts.exchanges.bare(asked, call.context(), target)
    exchange.passthrough = True
    paid = exchange.begin_call(target, "serve", "serve", asked)
    paid.request = None  # there is nothing to learn or estimate tokens from
    try:
        where = (request.method, path_of(call, spot), request.headers, body, exchange.limits)
        raw = await (spot.backend.forward(*where, target.region) if target.region else spot.backend.forward(*where))
    except BaseException:
        exchange.end_call(paid, "abandoned")
        gateway.close(exchange)
        raise
    exchange.commit()
    headers = {**raw.headers, "x-request-id": exchange.id, **PRIVATE}
    made = None
    if passable.keeps == "makes" and raw.status < 300:
        made = Made(raw.headers, partial(_owned, call, name))
    queries = asked_queries(call.path, spot.body)
    return Response(
        status=raw.status, headers=headers, pieces=_Passed(gateway, exchange, paid, raw, request.method, made, queries)
    )


async def _permit_objects(call: Call, spot: Place) -> None:
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


class _Passed:
    """A raw answer on its way, and what it turns out to have cost."""

    __slots__ = (
        "_exchange", "_gateway", "_gauge", "_made", "_makes", "_paid", "_queries", "_raw", "_whole", "last", "late",
    )  # fmt: skip

    def __init__(
        self,
        gateway: Gateway,
        exchange: Exchange,
        paid: Paid,
        raw: Raw,
        method: str,
        made: Made | None,
        queries: Tokens | None,
    ) -> None:
        self.last = self.late = False
        self._gateway = gateway
        self._exchange = exchange
        self._paid = paid
        self._raw = raw
        self._gauge = Gauge(raw.headers)
        self._makes = method == "POST"
        self._made = made
        self._queries = queries
        """What a reranking model bills, which reports nothing."""
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
            tokens = (self._gauge.end() or self._queries) if billed else Tokens()
            paid.tokens = tokens if tokens is None or self._gateway.books.plausible(paid, tokens) else None
            paid.extras = self._gauge.extras if billed else {}
            exchange.end_call(paid, "complete" if exchange.delivered else "failed")
        exchange.end_call(paid, "abandoned")
        self._gateway.close(exchange)


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
