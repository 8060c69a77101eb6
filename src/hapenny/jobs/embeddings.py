"""Vectors of documents in batch jobs: by a provider's batch API, or text by text, each with a row in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hapenny.backends.embedding import ApiEmbedder
from hapenny.backends.kinds import KINDS
from hapenny.batch.records import BatchProvider, JobStatus, Record, Result
from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.exchange import Call, Exchange, Limits, Target
from hapenny.core.messages import Context, Request
from hapenny.gateway.gateway import Gateway
from hapenny.jobs.translator import TECHNIQUE, Hold, row_id, target_of


async def embed(gateway: Gateway, record: Record) -> dict[str, Any]:
    """A record's vector, in the form of Titan's answer, from a model of a configured backend.

    Raises:
        Failure: what the provider said; `not_found` for a model that is not known.
    """
    model = record.model
    target = target_of(gateway, model)
    if target is None:
        raise Failure(
            "not_found", f"the model {model[:200]!r} is not known here", field="model", fix="an embedding model"
        )
    embeds = KINDS[gateway.config.backends[target.backend].kind].embeds
    if embeds is None:
        raise Failure("invalid_request", f"{target.backend!r} has no embeddings", field="model", fix="another one")
    api = ApiEmbedder(gateway.backends[target.backend], target, 0, embeds(target.model), kind="search_document")
    exchange, call = _opened(gateway, model, target)
    texts = [str(record.body["inputText"])]
    call.tokens, call.provenance = api.guess(texts), "estimated"
    now = gateway.clock.now()
    try:
        rows, tokens = await api.embed(texts, Limits(now + 60, now + 120))
    except Failure as failure:
        call.tokens = None
        exchange.end_call(call, "failed", failure)
        raise
    else:
        if tokens is not None:
            call.tokens, call.provenance = tokens, "reported"
        exchange.end_call(call, "complete")
        assert call.tokens is not None
        return {"embedding": rows[0].tolist(), "inputTextTokenCount": call.tokens.input}
    finally:
        exchange.end_call(call, "abandoned")
        gateway.close(exchange)


class BookedEmbeddings:
    """A `BatchProvider` whose records are bodies of an embedding model; what it answered is in the books.

    Args:
        inner: runs the jobs.
        backend: the configured backend whose models it serves.
        hold: the gateway of the moment.
    """

    def __init__(self, inner: BatchProvider, backend: str, hold: Hold) -> None:
        self._inner, self._hold = inner, hold
        self.name, self.price = f"{inner.name}:{backend}", inner.price
        self.least, self.most, self.turnaround_s = inner.least, inner.most, inner.turnaround_s

    def serves(self, model: str) -> bool:
        """Whether jobs of this model may be created."""
        return self._inner.serves(model)

    async def create(self, token: str, model: str, records: Sequence[Record]) -> str:
        """Starts a job and returns its id."""
        return await self._inner.create(token, model, records)

    async def status(self, job: str) -> JobStatus:
        """Where the job stands."""
        return await self._inner.status(job)

    async def stop(self, job: str) -> None:
        """Stops the job."""
        await self._inner.stop(job)

    async def results(self, job: str, records: Sequence[Record]) -> list[Result]:
        """Results so far; each vector has its row when this returns, and only one if it is asked twice."""
        results = await self._inner.results(job, records)
        models = {record.id: record.model for record in records}
        with self._hold() as gateway:
            for result in results:
                if result.output is not None and result.id in models:
                    await _book(gateway, job, result, models[result.id])
            if gateway.ledger is not None:
                await gateway.ledger.flush()
        return results


def booked(providers: Mapping[str, BatchProvider], hold: Hold) -> dict[str, BatchProvider]:
    """Batch APIs by backend, whose records are a provider's own bodies: the same with their books, by name."""
    made = [BookedEmbeddings(inner, backend, hold) for backend, inner in providers.items()]
    return {each.name: each for each in made}


async def _book(gateway: Gateway, job: str, result: Result, model: str) -> None:
    id = row_id(job, result.id)
    if gateway.ledger is not None and await gateway.ledger.get(id) is not None:
        return
    target = target_of(gateway, model)
    output = result.output or {}
    exchange, call = _opened(gateway, model, msgspec.structs.replace(target or Target(model), service_tier="batch"), id)
    counted = output.get("inputTextTokenCount")
    if counted is not None:
        call.tokens, call.provenance = Tokens(input=int(counted)), "reported"
    exchange.end_call(call, "complete")
    gateway.close(exchange)


def _opened(gateway: Gateway, model: str, target: Target, id: str = "") -> tuple[Exchange, Call]:
    """The exchange of one text, a background row, and its call."""
    asked = Request(protocol="openai", model=model, messages=())
    exchange = gateway.parts.exchanges.bare(
        asked, Context(priority=-1, feature="batch"), target, background="documents"
    )
    exchange.id = id or exchange.id
    call = exchange.begin_call(target, "embed", TECHNIQUE, asked)
    call.request = None  # there is nothing to estimate tokens from
    return exchange, call
