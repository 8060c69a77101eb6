"""An Amazon Bedrock knowledge base as a collection: searched by `Retrieve`, read and cited like any other.

Its documents, vectors and index are Bedrock's; what is ours are the question as it stands alone (a dialogue's
references resolved), who may see what, and how many hits leave. A caller's tenant and groups become a filter over two
metadata fields that the documents must carry (`*` in them: everybody), and each hit is held against them once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hapenny.backends.knowledge_base import KnowledgeBaseClient, build_knowledge_base
from hapenny.core.clock import Clock
from hapenny.core.numbers import finite
from hapenny.retrieval.documents import Document, Hit, Matrix
from hapenny.retrieval.filters import All, Among, Any_, Between, Filter, FilterError, Not
from hapenny.retrieval.options import KnowledgeBaseOptions, Remote
from hapenny.retrieval.query import prepare
from hapenny.retrieval.search.collection import Embed, Rerank, Rewrite, SearchResult
from hapenny.retrieval.search.haste import Haste
from hapenny.retrieval.search.selection import select
from hapenny.retrieval.settings import Selection
from hapenny.retrieval.stores.bedrock_knowledge_base import bounded, joined

EVERYBODY = "*"
"""What stands in a document's metadata where everybody may see it."""


class KnowledgeBase:
    """A collection by `Retrieve`.

    Args:
        name: of the collection.
        client: asks Bedrock.
        options: which knowledge base, and what its metadata says of access.
        clock: the deployment's clock.
    """

    embedder = ""
    remote = Remote()

    def __init__(self, name: str, client: KnowledgeBaseClient, options: KnowledgeBaseOptions, clock: Clock) -> None:
        self.name = name
        self._client = client
        self._options = options
        self._clock = clock

    async def refresh(self) -> list[str] | None:
        """What changed: Bedrock does not say."""
        return []

    async def search(
        self,
        question: str,
        embed: Embed,
        *,
        history: Sequence[str] = (),
        answer: str = "",
        where: Filter | None = None,
        tenant: str = "",
        groups: Sequence[str] = (),
        k: int | None = None,
        rerank: Rerank | None = None,
        rewrite: Rewrite | None = None,
        until: float = float("inf"),
        stated: bool = True,
        haste: Haste | None = None,
        listed: int = 0,
    ) -> SearchResult:
        """As `Collection.search`. Raises `ConnectionError`, and `FilterError` for what `Retrieve` cannot be asked."""
        clock, options = self._clock, self._options
        began = clock.now()
        query = prepare(question, history, answer)
        scope = self._scope(where, tenant, groups)
        config: dict[str, Any] = {
            "numberOfResults": max(options.results, k or 0),
            "overrideSearchType": options.search,
        }
        if scope is not None:
            config["filter"] = scope
        left = min(options.seconds, max(0.0, until - clock.now()))
        results = await self._client.retrieve(
            {
                "retrievalQuery": {"text": query.text},
                "retrievalConfiguration": {"vectorSearchConfiguration": config},
            },
            left,
        )
        asked = clock.now()
        hits = [hit for number, each in enumerate(results) if (hit := self._hit(number, each, tenant, groups))]
        reranked = False
        if rerank is not None and len(hits) > 1 and until - clock.now() > 0:
            scores = await rerank(query.text, [hit.document.searchable() for hit in hits])
            order = sorted(range(len(hits)), key=lambda index: -scores[index])
            hits, reranked = [_scored(hits[index], float(scores[index])) for index in order], True
        chosen = hits[:k] if k is not None else _chosen(hits)
        return SearchResult(
            query=query,
            hits=chosen,
            reranked=reranked,
            candidates=len(results),
            listed=hits[:listed],
            seconds={"knowledge_base": asked - began, "rerank": clock.now() - asked},
        )

    async def sentence_vectors(self, hits: Sequence[Hit]) -> dict[str, tuple[list[str], Matrix]]:
        """None are kept here."""
        return {}

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    def _scope(self, where: Filter | None, tenant: str, groups: Sequence[str]) -> dict[str, Any] | None:
        parts = [] if where is None else [retrieval_filter(where)]
        if self._options.tenant_field:
            parts.append({"in": {"key": self._options.tenant_field, "value": _tenants(tenant)}})
        if self._options.group_field:
            field = self._options.group_field
            lists = [{"listContains": {"key": field, "value": name}} for name in _groups(groups)]
            parts.append(joined("orAll", lists))
        return joined("andAll", parts) if parts else None

    def _hit(self, number: int, result: dict[str, Any], tenant: str, groups: Sequence[str]) -> Hit | None:
        """A result as a hit; None for one that is no text, or that the caller may not see whatever was asked."""
        text = (result.get("content") or {}).get("text") or ""
        metadata = result.get("metadata") or {}
        if not text or not self._visible(metadata, tenant, groups):
            return None
        source = _source(result.get("location") or {}) or str(metadata.get("x-amz-bedrock-kb-source-uri") or "")
        chunk = str(metadata.get("x-amz-bedrock-kb-chunk-id") or f"{source}#{number}")
        own = {name: value for name, value in metadata.items() if not name.startswith("x-amz-bedrock")}
        document = Document(
            id=chunk,
            title=str(own.get("title") or source.rpartition("/")[2]),
            text=text,
            facets={
                name: [str(each) for each in value] if isinstance(value, list) else [str(value)]
                for name, value in own.items()
                if isinstance(value, (str, list))
            },
            numbers={name: known for name, value in own.items() if (known := finite(value)) is not None},
            parent=source,
            source=source,
        )
        return Hit(id=chunk, document=document, score=float(result.get("score") or 0.0))

    def _visible(self, metadata: dict[str, Any], tenant: str, groups: Sequence[str]) -> bool:
        options = self._options
        if options.tenant_field and str(metadata.get(options.tenant_field)) not in _tenants(tenant):
            return False
        if options.group_field:
            named = metadata.get(options.group_field)
            held = [str(each) for each in named] if isinstance(named, list) else [str(named)]
            return any(name in held for name in _groups(groups))
        return True


def build(name: str, options: KnowledgeBaseOptions, clock: Clock) -> KnowledgeBase:
    """The collection `name` as configured."""
    client = build_knowledge_base(
        name, options.id, options.region, clock, base_url=options.base_url, profile=options.profile
    )
    return KnowledgeBase(name, client, options, clock)


def retrieval_filter(where: Filter) -> dict[str, Any]:
    """A filter in the words of `Retrieve`. Raises `FilterError` for one that has none there."""
    match where:
        case Among():
            single: list[dict[str, Any]] = [{"in": {"key": where.field, "value": list(where.values)}}]
            lists = [{"listContains": {"key": where.field, "value": value}} for value in where.values]
            return joined("orAll", [*single, *lists])
        case Between():
            return bounded(where)
        case All():
            return joined("andAll", [retrieval_filter(part) for part in where.parts])
        case Any_():
            return joined("orAll", [retrieval_filter(part) for part in where.parts])
        case Not(Among() as part):
            return {"notIn": {"key": part.field, "value": list(part.values)}}
        case _:
            raise FilterError("filter.not: a knowledge base can only be asked for `not` of `in` or `is` with a text")


def _tenants(tenant: str) -> list[str]:
    return [tenant, EVERYBODY] if tenant else [EVERYBODY]


def _groups(groups: Sequence[str]) -> list[str]:
    return [*(group for group in groups if group.strip() and group != EVERYBODY), EVERYBODY]


def _source(location: dict[str, Any]) -> str:
    """Where a document lies: the address in whichever kind of location it has."""
    for kind in location.values():
        if isinstance(kind, dict):
            for value in kind.values():
                if isinstance(value, str):
                    return value
    return ""


def _scored(hit: Hit, score: float) -> Hit:
    return Hit(id=hit.id, document=hit.document, score=score)


def _chosen(hits: list[Hit]) -> list[Hit]:
    if not hits:
        return []
    scores = np.array([hit.score for hit in hits])
    return [hits[index] for index in select(scores, Selection())]
