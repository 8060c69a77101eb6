"""Bedrock Knowledge Bases as a codec: `Retrieve` requests and answers. No I/O: the caller signs and sends.

Shapes as in botocore's `bedrock-agent-runtime` model (2023-07-26), `POST /knowledgebases/{id}/retrieve`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from hapenny.core.numbers import finite
from hapenny.retrieval.access import GROUPS_FIELD, TENANT_FIELD, is_access, read_access
from hapenny.retrieval.documents import Document, Hit
from hapenny.retrieval.filters import GROUP, TENANT, All, Among, Any_, Between, Filter, Not

MAX_RESULTS = 100

_ACCESS = {TENANT: TENANT_FIELD, GROUP: GROUPS_FIELD}
"""Metadata attributes that bound access, by the names that filters use. What has none of them matches nobody."""
_OPPOSITE = {
    "in": "notIn",
    "equals": "notEquals",
    "greaterThan": "lessThanOrEquals",
    "greaterThanOrEquals": "lessThan",
    "lessThan": "greaterThanOrEquals",
    "lessThanOrEquals": "greaterThan",
}


def request(
    text: str, k: int = 5, where: Filter | None = None, search: Literal["HYBRID", "SEMANTIC"] = "HYBRID"
) -> bytes:
    """The body of a `Retrieve` call."""
    how: dict[str, Any] = {"numberOfResults": min(max(1, k), MAX_RESULTS), "overrideSearchType": search}
    if where is not None:
        how["filter"] = condition(where)
    return msgspec.json.encode(
        {"retrievalQuery": {"text": text}, "retrievalConfiguration": {"vectorSearchConfiguration": how}}
    )


def answer(body: bytes) -> list[Hit]:
    """Hits of a `Retrieve` answer, in its order."""
    return [_hit(number, result) for number, result in enumerate(msgspec.json.decode(body)["retrievalResults"])]


def condition(where: Filter) -> dict[str, Any]:
    """A filter as `RetrievalFilter`."""
    if isinstance(where, Among):
        return {"in": {"key": _ACCESS.get(where.field, where.field), "value": list(where.values)}}
    if isinstance(where, Between):
        return bounded(where)
    if isinstance(where, (All, Any_)):
        parts = [condition(part) for part in where.parts]
        return joined("andAll" if isinstance(where, All) else "orAll", parts)
    assert isinstance(where, Not)
    return _negated(condition(where.part))


def joined(word: Literal["andAll", "orAll"], parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Several conditions as one; one that is alone stands without the word, which needs two."""
    return parts[0] if len(parts) == 1 else {word: parts}


def bounded(where: Between) -> dict[str, Any]:
    """Bounds of a number as a condition."""
    bounds: list[dict[str, Any]] = []
    if where.low != float("-inf"):
        name = "greaterThan" if where.low_open else "greaterThanOrEquals"
        bounds.append({name: {"key": where.field, "value": where.low}})
    if where.high != float("inf"):
        name = "lessThan" if where.high_open else "lessThanOrEquals"
        bounds.append({name: {"key": where.field, "value": where.high}})
    return joined("andAll", bounds)


def _negated(condition_of: dict[str, Any]) -> dict[str, Any]:
    """There is no `not`: the opposite is asked for (de Morgan)."""
    word, rest = next(iter(condition_of.items()))
    if word in ("andAll", "orAll"):
        return {"orAll" if word == "andAll" else "andAll": [_negated(part) for part in rest]}
    if word in _OPPOSITE:
        return {_OPPOSITE[word]: rest}
    return {next(name for name, opposite in _OPPOSITE.items() if opposite == word): rest}


def _hit(number: int, result: dict[str, Any]) -> Hit:
    location = result.get("location") or {}
    kind = next((name for name in location if name.endswith("Location")), "")
    where = location.get(kind) or {}
    source = str(where.get("uri") or where.get("url") or where.get("id") or "")
    metadata = result.get("metadata") or {}
    facets = {key: [value] for key, value in metadata.items() if isinstance(value, str) and not is_access(key)}
    seen_by = read_access({key: value for key, value in metadata.items() if is_access(key)})
    numbers = {key: known for key, value in metadata.items() if (known := finite(value)) is not None}
    identity = str(metadata.get("x-amz-bedrock-kb-chunk-id") or f"{source}#{number}")
    document = Document(
        id=identity,
        title=source.rpartition("/")[2],
        text=str((result.get("content") or {}).get("text") or ""),
        facets=facets,
        numbers=numbers,
        parent=source,
        tenant=seen_by.tenant,
        groups=list(seen_by.groups),
        source=source,
    )
    score = float(result.get("score") or 0.0)
    return Hit(id=identity, score=score, document=document, explain={"knowledge_base": score, "rank": number + 1})
