"""OpenSearch as a codec: the mapping, bulk lines, both legs' queries and answers. No I/O: the caller sends them.

Shapes as in the OpenSearch 2.x and 3.x documentation (k-NN plugin, bulk and search APIs). Both legs are asked in one
`_msearch`, raw, and fused here: OpenSearch's own normalisation is min-max, which is the weaker one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hapenny.retrieval.analysis import Language
from hapenny.retrieval.documents import Document, Scores
from hapenny.retrieval.filters import All, Among, Any_, Between, Filter, visible_facets
from hapenny.retrieval.stores.lexical import Boosts

# Amazon OpenSearch Service carries kuromoji; Vietnamese has no bundled analyser, so syllables it is.
_ANALYSERS: dict[Language, str] = {"en": "english", "ja": "kuromoji", "vi": "standard", "other": "standard"}


def mapping(dim: int, language: Language, m: int = 16, build: int = 100) -> dict[str, Any]:
    """The body of `PUT /INDEX`."""
    analysed = {"type": "text", "analyzer": _ANALYSERS[language]}
    return {
        "settings": {"index": {"knn": True}},
        "mappings": {
            "properties": {
                "title": {**analysed, "fields": {"exact": {"type": "text", "analyzer": "simple"}}},
                "text": analysed,
                "all": analysed,
                "tags": {"type": "keyword"},
                "numbers": {"type": "object", "dynamic": True},
                "document": {"type": "binary", "doc_values": False},
                "vector": {
                    "type": "knn_vector",
                    "dimension": dim,
                    "method": {
                        "name": "hnsw",
                        "engine": "faiss",
                        "space_type": "innerproduct",
                        "parameters": {"m": m, "ef_construction": build},
                    },
                },
            }
        },
    }


def bulk(index: str, documents: Sequence[Document], vectors: Any) -> bytes:
    """The body of `POST /_bulk`: an action and a source line for each document."""
    import base64

    lines = []
    for document, vector in zip(documents, vectors, strict=True):
        source = {
            "title": document.title,
            "text": document.text,
            "all": document.searchable(),
            "tags": [f"{name}\x1f{value}" for name, values in visible_facets(document).items() for value in values],
            "numbers": document.numbers,
            "document": base64.b64encode(msgspec.msgpack.encode(document)).decode(),
            "vector": [float(value) for value in vector],
        }
        lines += [msgspec.json.encode({"index": {"_index": index, "_id": document.id}}), msgspec.json.encode(source)]
    return b"\n".join(lines) + b"\n"


def searches(
    index: str, text: str, vector: Scores, k: int, boosts: Boosts | None = None, where: Filter | None = None
) -> bytes:
    """The body of `POST /_msearch`: the lexical leg, then the vector leg."""
    weights = boosts or Boosts()
    fields = [f"all^{weights.all}", f"title^{weights.title}", f"title.exact^{weights.exact}"]
    lexical: dict[str, Any] = {"multi_match": {"query": text, "fields": fields, "type": "most_fields"}}
    near: dict[str, Any] = {"vector": [float(value) for value in vector], "k": k}
    if where is not None:
        lexical = {"bool": {"must": [lexical], "filter": [condition(where)]}}
        # Inside the k-NN clause the filter is applied while searching, so the list is not short.
        near["filter"] = condition(where)
    source = {"_source": ["document"], "size": k}
    lines = [
        {"index": index},
        {**source, "query": lexical},
        {"index": index},
        {**source, "query": {"knn": {"vector": near}}},
    ]
    return b"\n".join(msgspec.json.encode(line) for line in lines) + b"\n"


class LegHits(msgspec.Struct, frozen=True):
    """One leg's documents with raw scores, best first."""

    documents: list[Document]
    scores: list[float]


def answers(body: bytes) -> tuple[LegHits, LegHits]:
    """Both legs of an `_msearch` answer; cosines are put back from OpenSearch's inner-product score.

    Raises:
        ValueError: with OpenSearch's own reason when a leg failed.
    """
    import base64

    legs = []
    for number, response in enumerate(msgspec.json.decode(body)["responses"]):
        if "error" in response:
            raise ValueError(f"OpenSearch: {response['error'].get('reason', response['error'])}")
        hits = response["hits"]["hits"]
        documents = [
            msgspec.msgpack.decode(base64.b64decode(hit["_source"]["document"]), type=Document) for hit in hits
        ]
        scores = [float(hit["_score"]) for hit in hits]
        legs.append(LegHits(documents, [_cosine(score) for score in scores] if number else scores))
    return legs[0], legs[1]


def condition(where: Filter) -> dict[str, Any]:
    """A filter in the query DSL."""
    if isinstance(where, Among):
        return {"terms": {"tags": [f"{where.field}\x1f{value}" for value in where.values]}}
    if isinstance(where, Between):
        bounds: dict[str, float] = {}
        if where.low != float("-inf"):
            bounds["gt" if where.low_open else "gte"] = where.low
        if where.high != float("inf"):
            bounds["lt" if where.high_open else "lte"] = where.high
        return {"range": {f"numbers.{where.field}": bounds}}
    if isinstance(where, All):
        return {"bool": {"filter": [condition(part) for part in where.parts]}}
    if isinstance(where, Any_):
        return {"bool": {"should": [condition(part) for part in where.parts], "minimum_should_match": 1}}
    return {"bool": {"must_not": [condition(where.part)]}}


def _cosine(score: float) -> float:
    """The faiss engine reports 1 + p for an inner product p >= 0, and 1 / (1 - p) below."""
    return score - 1.0 if score >= 1.0 else 1.0 - 1.0 / score
