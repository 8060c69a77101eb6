"""Vectors of texts for clients: from memory where a text was embedded before, else from the provider of its model.

Theory of operation. A model gives a text the same vector each time, so that every text is a cache entry of its own,
whatever batch it came in. What a batch lacks is asked for in one paid call (in as many bodies as the model's API
wants), under the route of the request; its row compares it with all texts being paid. A provider reports the tokens of
a batch in all; each text is remembered with its share by length, so that counts still add up when it is served again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from hapenny.admission.gate import Gate
from hapenny.backends.contract import Backend
from hapenny.backends.embedding import post
from hapenny.backends.kinds import KINDS
from hapenny.core.errors import Failure, invalid
from hapenny.core.events import Tokens
from hapenny.core.exchange import CacheFact, Exchange, Limits, Target
from hapenny.core.messages import Message, Request, Text
from hapenny.gateway.model_services import begun, paid
from hapenny.protocols.openai import embeddings
from hapenny.protocols.openai.embeddings import Asked, Numbers
from hapenny.vectors import remote
from hapenny.vectors.remote import Style

LAYER = "embeddings"
"""The cache's name in `Cache-Status`."""
TECHNIQUE = "exact"
"""The technique whose saving it is."""
_PARALLEL = 8
_BYTES = 64_000_000
_ENTRY = 200
"""What an entry takes besides its numbers, about."""
_CHARACTERS_A_TOKEN = 4
_MARKUP = 16
"""Tokens that a model may put around each text."""


class Vector(NamedTuple):
    """A text's vector, and its share of the tokens that were counted."""

    numbers: Numbers
    tokens: int


class VectorMemory:
    """Vectors of the texts that came last, bounded in bytes."""

    def __init__(self, most: int = _BYTES) -> None:
        self._most = most
        self._held = 0
        self._known: OrderedDict[bytes, Vector] = OrderedDict()

    def get(self, key: bytes) -> Vector | None:
        """What is known under a key."""
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
        return known

    def put(self, key: bytes, vector: Vector) -> None:
        """Remembers; the oldest entries make room."""
        if key in self._known:
            return
        self._known[key] = vector
        self._held += vector.numbers.nbytes + _ENTRY
        while self._held > self._most:
            self._held -= self._known.popitem(last=False)[1].numbers.nbytes + _ENTRY


class Embedded(NamedTuple):
    """The vectors of a request, in order, and what the provider said beside them."""

    vectors: list[Numbers]
    tokens: int
    more: dict[str, Any]


def request_of(asked: Asked) -> Request:
    """The request as the books see it."""
    texts = tuple([Text(each) for each in asked.inputs if type(each) is str])
    return Request(
        protocol="openai", model=asked.model, messages=(Message("user", texts),) if texts else (), user=asked.user
    )


async def embed(
    exchange: Exchange, asked: Asked, backend: Backend, kind: str, memory: VectorMemory | None, gate: Gate
) -> Embedded:
    """Vectors for `asked`, booked on `exchange`.

    Args:
        exchange: of the request; its target is the model.
        asked: what the client sent.
        backend: that serves the model.
        kind: its kind.
        memory: None: nothing is looked up or kept.
        gate: has a budget pay for what is asked.

    Raises:
        Failure: the provider's, or `invalid_request` for what its model cannot be asked.
    """
    target = exchange.target
    embeds = KINDS[kind].embeds
    if embeds is None:
        raise invalid(f"{target.backend!r} makes no vectors", "model", "a model of a backend of kind bedrock or openai")
    style: Style = embeds(target.model)
    keys = _keys(exchange, asked) if memory is not None else []
    known: list[Vector | None] = [None] * len(asked.inputs)
    if memory is not None:
        known = [memory.get(key) for key in keys]
    missing = tuple([each for each, hit in zip(asked.inputs, known, strict=True) if hit is None])
    more: dict[str, Any] = {}
    if memory is not None:
        exchange.cache = CacheFact(layer=LAYER, hit=not missing, detail="" if missing else str(len(keys)))
    if len(missing) < len(known):
        exchange.request = request_of(msgspec.structs.replace(asked, inputs=missing))
        exchange.step(TECHNIQUE, free=not missing)
    if missing:
        fresh, more = await _paid(exchange, asked, missing, backend, style, gate)
        if len(missing) < len(known):
            more = {}  # it is said of some of the texts alone
        news = iter(fresh)
        known = [hit if hit is not None else next(news) for hit in known]
        if memory is not None:
            for key, vector in zip(keys, known, strict=True):
                assert vector is not None
                memory.put(key, vector)
    vectors = [vector for vector in known if vector is not None]
    return Embedded([vector.numbers for vector in vectors], sum(vector.tokens for vector in vectors), more)


def _keys(exchange: Exchange, asked: Asked) -> list[bytes]:
    target = exchange.target
    same = (exchange.context.tenant, target.backend, target.model, asked.dimensions, asked.base64, asked.extras)
    stem = blake2b(msgspec.json.encode(same, order="deterministic"), digest_size=32).digest()
    return [blake2b(msgspec.json.encode(each), digest_size=32, key=stem).digest() for each in asked.inputs]


def most_tokens(inputs: Sequence[Any]) -> int:
    """A bound of what texts, or arrays of tokens, may be billed: tokenizers make at most one token of a byte."""
    return sum(len(each.encode("utf-8", "replace")) if type(each) is str else len(each) for each in inputs) + (
        _MARKUP * len(inputs)
    )


async def _paid(
    exchange: Exchange, asked: Asked, inputs: Sequence[Any], backend: Backend, style: Style, gate: Gate
) -> tuple[list[Vector], dict[str, Any]]:
    call = await begun(gate, exchange, exchange.target, "serve", "serve", Tokens(input=most_tokens(inputs)))
    call.request = None  # its tokens are counted from the texts, not from the request
    guess = sum(len(each) for each in inputs) // _CHARACTERS_A_TOKEN + len(inputs)
    with paid(exchange, call, Tokens(input=guess)):
        rows, tokens, more = await _ask(exchange.target, asked, tuple(inputs), backend, style, exchange.limits)
        if len(rows) != len(inputs) or any(row.ndim != 1 or not row.size for row in rows):
            raise Failure("upstream", f"{exchange.target.model} answered with no vectors that fit")
        if tokens is not None:
            call.tokens, call.provenance = tokens, "reported"
        exchange.adopted = call
    assert call.tokens is not None
    shares = shared_out(call.tokens.input, [len(each) for each in inputs])
    return [Vector(row, share) for row, share in zip(rows, shares, strict=True)], more


def shared_out(total: int, sizes: Sequence[int]) -> list[int]:
    """`total` shared out by `sizes` in whole numbers that add up to it."""
    whole, done, given = sum(sizes) or 1, 0, 0
    shares = []
    for size in sizes:
        done += size
        upto = total * done // whole
        shares.append(upto - given)
        given = upto
    return shares


async def _ask(
    target: Target, asked: Asked, inputs: tuple[Any, ...], backend: Backend, style: Style, limits: Limits
) -> tuple[list[Numbers], Tokens | None, dict[str, Any]]:
    """Vectors, the tokens they cost (None: not reported), and what else an answer of the same dialect says."""
    if style == "openai":
        body = embeddings.upstream(asked, target.model, inputs)
        answer, tokens = await post(backend, "/v1/embeddings", body, limits)
        known = ("object", "data", "usage")
        return embeddings.rows(answer), tokens, {name: value for name, value in answer.items() if name not in known}
    if not asked.texts:
        raise invalid("token arrays mean nothing to this model", "input", "send texts")
    if asked.dimensions is not None and not remote.sizes(style, target.model):
        raise invalid(f"{target.model} makes vectors of one length alone", "dimensions", "leave dimensions out")
    path = f"/model/{quote(target.model, safe='')}/invoke"
    purpose = str(asked.extras.get("input_type", "search_document"))
    gate = asyncio.Semaphore(_PARALLEL)

    async def one(texts: list[str]) -> tuple[list[Numbers], Tokens | None]:
        async with gate:
            body = remote.body(style, target.model, texts, asked.dimensions or 0, purpose)
            answer, tokens = await post(backend, path, body, limits)
        try:
            return list(remote.vectors(style, answer)), tokens or _own_count(answer)
        except (ValueError, KeyError, TypeError):
            raise Failure("upstream", f"{target.model} answered with no vectors that fit") from None

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(texts)) for texts in remote.batches(style, inputs)]
    except* Failure as failed:
        raise failed.exceptions[0] from None
    parts = [task.result() for task in tasks]
    total = sum(tokens.input for _, tokens in parts if tokens is not None)
    reported = all(tokens is not None for _, tokens in parts)
    return [row for rows, _ in parts for row in rows], Tokens(input=total) if reported else None, {}


def _own_count(answer: Any) -> Tokens | None:
    """Titan's own count, where no header tells it."""
    count = answer.get("inputTextTokenCount") if isinstance(answer, dict) else None
    return Tokens(input=count) if type(count) is int and count >= 0 else None
