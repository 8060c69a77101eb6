"""Rerank servers: `documents` and a model (Cohere v2, Jina, vLLM), or `texts` (text-embeddings-inference)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.numbers import finite
from hapenny.core.reranking import Reranked, RerankRequest, estimated
from hapenny.protocols.codec import Wire
from hapenny.protocols.openai import errors
from hapenny.protocols.rerank.scores import ordered, parsed

_HEADERS = {"content-type": "application/json", "accept": "application/json"}


class DocumentsRerank:
    """`{"model", "query", "documents", "top_n"}` -> `{"results": [{"index", "relevance_score"}]}`."""

    def encode(self, request: RerankRequest) -> Wire:
        """All passages are asked for; an empty one is sent as a space, because servers refuse it."""
        body = {
            "model": request.model,
            "query": request.query or " ",
            "documents": [document or " " for document in request.documents],
            "top_n": len(request.documents),
        }
        return Wire("/rerank", dict(_HEADERS), msgspec.json.encode(body))

    def decode(self, body: bytes, request: RerankRequest) -> Reranked:
        """Billed are Cohere's search units, or the tokens that Jina and vLLM count."""
        answer = parsed(body)
        results = answer.get("results") if isinstance(answer, dict) else None
        scores = ordered(results, "relevance_score", len(request.documents))
        billed = _object(_object(answer, "meta"), "billed_units")
        searches, total = _count(billed, "search_units"), _count(_object(answer, "usage"), "total_tokens")
        if searches is None and total is None:
            return Reranked(scores=scores, tokens=estimated(request), reported=False)
        return Reranked(scores=scores, tokens=Tokens(input=total or 0, queries=searches or 0), reported=True)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """`{"message"}`, `{"detail"}` or OpenAI's `{"error"}`."""
        return errors.decode(status, headers, body)


class TextsRerank:
    """`{"query", "texts"}` -> `[{"index", "score"}]`; the server has one model."""

    def encode(self, request: RerankRequest) -> Wire:
        """Long passages are cut by the server instead of refused."""
        body = {
            "query": request.query or " ",
            "texts": [document or " " for document in request.documents],
            "truncate": True,
        }
        return Wire("/rerank", dict(_HEADERS), msgspec.json.encode(body))

    def decode(self, body: bytes, request: RerankRequest) -> Reranked:
        """Nothing is counted in the answer."""
        scores = ordered(parsed(body), "score", len(request.documents))
        return Reranked(scores=scores, tokens=estimated(request), reported=False)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """`{"error": text, "error_type"}`."""
        return errors.decode(status, headers, body)


def _object(data: Any, name: str) -> dict[str, Any]:
    value = data.get(name) if isinstance(data, dict) else None
    return value if isinstance(value, dict) else {}


def _count(data: Mapping[str, Any], name: str) -> int | None:
    value = data.get(name)
    number = finite(value)
    return int(number) if number is not None and number >= 0 else None
