"""Simulated reranking models behind Bedrock's `POST /rerank`: scores by shared words, billed by the query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import Struct

from hapenny.catalog import resolve
from hapenny.core.errors import Failure
from hapenny.core.reranking import RerankRequest, estimated
from hapenny.vectors.hashed import HashedEmbedder

if TYPE_CHECKING:
    from hapenny.simulation.provider import SimulatedProvider

SECONDS = 0.05
"""How long a call takes; assumed."""
MOST = 1000
"""Sources of one call (botocore's model)."""


class _Text(Struct):
    text: str


class _Query(Struct):
    textQuery: _Text


class _Inline(Struct):
    textDocument: _Text | None = None
    jsonDocument: dict[str, Any] | None = None


class _Source(Struct):
    inlineDocumentSource: _Inline


class _Model(Struct):
    modelArn: str


class _Bedrock(Struct):
    modelConfiguration: _Model
    numberOfResults: int | None = None


class _Configuration(Struct):
    bedrockRerankingConfiguration: _Bedrock


class _Rerank(Struct):
    queries: list[_Query]
    sources: list[_Source]
    rerankingConfiguration: _Configuration


async def rerank(
    provider: SimulatedProvider, path: str, body: bytes, region: str
) -> tuple[Mapping[str, str], bytes] | None:
    """The headers and body of an answer; None for another path. The arguments are those of `embedding.embed`.

    Raises:
        Failure: `invalid_request` for a body the service would not take, `not_found` for a model that does not rerank.
    """
    if path.partition("?")[0] != "/rerank":
        return None
    try:
        asked = msgspec.json.decode(body, type=_Rerank)
    except msgspec.MsgspecError as error:
        raise _wrong(str(error)) from None
    if len(asked.queries) != 1 or not 0 < len(asked.sources) <= MOST:
        raise _wrong(f"one query and 1 to {MOST} sources are taken")
    options = asked.rerankingConfiguration.bedrockRerankingConfiguration
    card = resolve(options.modelConfiguration.modelArn)
    if card is None or card.kind != "rerank":
        raise Failure(
            "not_found", "The provided model is no reranking model.", field="modelArn",
            upstream_status=404, upstream_type="ResourceNotFoundException",
        )  # fmt: skip
    query, texts = asked.queries[0].textQuery.text, [_passage(source) for source in asked.sources]
    await provider.clock.sleep(SECONDS)
    vectors = HashedEmbedder(512).encode([query, *texts])
    scores = np.clip(vectors[1:] @ vectors[0], 0.0, 1.0)
    best = np.argsort(-scores, kind="stable")[: options.numberOfResults or len(texts)]
    provider.bill.add(
        id=provider.clock.new_id("rerank_sim_"), model=card.id, called=options.modelConfiguration.modelArn,
        region=region, service_tier="standard",
        tokens=estimated(RerankRequest(model=card.id, query=query, documents=tuple(texts))),
        outcome="complete", at=provider.clock.wall(),
    )  # fmt: skip
    results = [{"index": int(number), "relevanceScore": round(float(scores[number]), 6)} for number in best]
    return {}, msgspec.json.encode({"results": results})


def _passage(source: _Source) -> str:
    inline = source.inlineDocumentSource
    if inline.textDocument is not None:
        return inline.textDocument.text
    return msgspec.json.encode(inline.jsonDocument).decode()


def _wrong(said: str) -> Failure:
    return Failure("invalid_request", said, field="body", upstream_status=400, upstream_type="ValidationException")
