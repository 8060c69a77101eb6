"""`POST /v1/retrieve` without HTTP: a decoded body in, a JSON-ready answer out. The server gives it the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hapenny.core.errors import Failure
from hapenny.retrieval.filters import FilterError, parse
from hapenny.retrieval.search.collection import Embed, Searchable
from hapenny.retrieval.search.model_steps import Helpers

MAX_RESULTS = 100


class RetrieveRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body. Without `k` the collection's selection decides (2 to 5 by score)."""

    query: str
    collection: str = ""
    k: int | None = None
    filter: dict[str, Any] | None = None
    history: list[str] = []
    answer: str = ""
    explain: bool = False


async def retrieve(
    body: bytes,
    collections: Mapping[str, Searchable],
    embed: Embed,
    *,
    tenant: str = "",
    groups: Sequence[str] = (),
    help: Helpers | None = None,
    until: float = float("inf"),
) -> dict[str, Any]:
    """Searches for a caller. Tenant and groups come from the key, never from the body.

    Raises:
        Failure: `invalid_request` or `not_found`, with field and fix.
    """
    try:
        asked = msgspec.json.decode(body, type=RetrieveRequest)
    except msgspec.DecodeError as error:
        raise Failure("invalid_request", f"the body cannot be read: {error}", fix='{"query": "…"}') from None
    if not asked.query.strip():
        raise Failure("invalid_request", "the query is empty", field="query", fix="a question or keywords")
    if asked.k is not None and not 1 <= asked.k <= MAX_RESULTS:
        raise Failure("invalid_request", f"k is {asked.k}", field="k", fix=f"1 to {MAX_RESULTS}")
    name = asked.collection or (next(iter(collections)) if len(collections) == 1 else "")
    collection = collections.get(name)
    if collection is None:
        known = ", ".join(sorted(collections)) or "none is configured"
        raise Failure("not_found", f"no collection {name!r}", field="collection", fix=f"one of: {known}")
    try:
        where = parse(asked.filter) if asked.filter is not None else None
    except FilterError as error:
        raise Failure("invalid_request", str(error), field="filter") from None
    try:
        result = await collection.search(
            asked.query,
            embed,
            history=asked.history,
            answer=asked.answer,
            where=where,
            tenant=tenant,
            groups=groups,
            k=asked.k,
            rerank=help.rerank if help else None,
            rewrite=help.rewrite if help else None,
            until=until,
        )
    except FilterError as error:  # this kind of collection cannot be asked that
        raise Failure("invalid_request", str(error), field="filter") from None
    except ConnectionError as error:
        raise Failure("unavailable", f"collection {name!r} cannot be searched now: {error}", retry_after=1.0) from None
    return {
        "object": "list",
        "collection": name,
        "query": {"text": result.query.text, "parts": result.query.parts[1:], "steps": result.query.steps},
        "keywords": result.keywords,
        "reranked": result.reranked,
        "rewritten": result.rewritten,
        "data": [
            {
                "id": hit.id,
                "score": round(hit.score, 6),
                "title": hit.document.title,
                "text": hit.document.text,
                "parent": hit.document.parent or None,
                "source": hit.document.source or None,
                "facets": hit.document.facets,
                "numbers": hit.document.numbers,
                **({"explain": hit.explain} if asked.explain else {}),
            }
            for hit in result.hits
        ],
        "timings_ms": {step: round(value * 1e3, 3) for step, value in result.seconds.items()},
    }
