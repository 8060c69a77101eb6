"""Retrieval as a stage: finds passages for the last question and puts them before it, numbered for citation.

They go behind the last cache point of the last user turn, so the provider's cached prefix stays as it was.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import msgspec
import numpy as np

from hapenny.core.answer import Answer
from hapenny.core.answer_facts import Citation
from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Context, Request
from hapenny.core.notes import Note
from hapenny.core.passages import BASELINE_PASSAGES, STORED_SENTENCES, BaselinePassages, StoredSentences, beside
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.retrieval.documents import Document, Hit
from hapenny.retrieval.filters import All, Filter, FilterError, parse
from hapenny.retrieval.options import RETRIEVAL_STAGE, RetrievalOptions
from hapenny.retrieval.search.collection import Searchable, SearchResult
from hapenny.retrieval.search.haste import Haste
from hapenny.retrieval.search.model_steps import Helpers, helpers
from hapenny.retrieval.stores.lexical import spelt

NOBODY = Helpers()
FILTER_HEADER = "x-hapenny-filter"
"""A request's own filter; it stands in the context's headers, and so in the cache key."""


class Retrieved(Decision, kw_only=True):
    """Which passages would be sent; their text stays on the exchange."""

    ids: list[str]
    scores: list[float]
    candidates: int
    reranked: bool
    seconds: dict[str, float]

    def tell(self, result: SearchResult) -> None:
        """Says what was found."""
        self.ids = [hit.id for hit in result.hits]
        self.scores = [round(hit.score, 5) for hit in result.hits]
        self.candidates, self.reranked, self.seconds = result.candidates, result.reranked, result.seconds
        self.reason = "+".join(result.query.steps) or "as asked"


_SEARCHED: Note[tuple[SearchResult, str, Ask, dict[str, Any]]] = Note("retrieval.searched")
"""What was found, the question, how models are asked, and vectors of texts embedded so far."""


AHEAD: Note[tuple[Request, asyncio.Future[Retrieved | None]]] = Note("retrieval.ahead")
"""A search that began beside the look-up of a cache, and for which request."""


class RetrievalStage(Stage, spec=RETRIEVAL_STAGE):
    """`collections` by name; `rewriter` is the target of the fast tier, if it may help with references; `reranks`:
    the deployment has a reranking model."""

    def __init__(
        self,
        collections: Mapping[str, Searchable],
        options: RetrievalOptions,
        rewriter: Target | None = None,
        *,
        reranks: bool = False,
        public: bool = False,
        acts: bool = True,
    ) -> None:
        """`public`: answers are shared among tenants, so only documents that everyone may see are searched; `acts`: not
        only watches, so that a search in haste changes an answer."""
        self._acts = acts
        self._public = public
        self._rerank_s: float | None = None
        """Seconds that reranking takes, as measured."""
        self._collections = collections
        self._options = options
        self._reranks = reranks
        self._rewriter = rewriter
        self._filter: Filter | None = parse(options.filter) if options.filter is not None else None

    async def decide(self, exchange: Exchange, ask: Ask) -> Retrieved | None:
        """Searches for the last user turn, or takes the search that began before the caches were asked."""
        begun = exchange.stage_notes.get(AHEAD)
        if begun is not None:
            request, task = begun
            if request is exchange.request:
                return await task
            task.cancel()  # something changed the question meanwhile
        return await self.look(exchange, ask)

    async def look(self, exchange: Exchange, ask: Ask) -> Retrieved | None:
        """Searches. Nothing to do without a question or without anything found."""
        collection = self._collections.get(self._options.collection)
        request = exchange.request
        if collection is None or not request.messages or request.messages[-1].role != "user":
            return None
        question = request.messages[-1].text.strip()
        if not question:
            return None
        vectors: dict[str, Any] = {}
        result = await self._search(collection, question, exchange, ask, vectors)
        if not result.hits and not result.listed and not self._options.remote:
            return None
        exchange.stage_notes[_SEARCHED] = (result, question, ask, vectors)
        decision = Retrieved(ids=[], scores=[], candidates=0, reranked=False, seconds={})
        decision.tell(result)
        return decision

    async def apply(self, decision: Retrieved, exchange: Exchange, onward: Onward) -> Answer:
        """Puts the passages into the last user turn and tells later readers what was cited."""
        result, question, ask, vectors = exchange.stage_notes[_SEARCHED]
        collection = self._collections[self._options.collection]
        if self._options.remote:  # only now may helpers be paid; without their help the same search ends the same
            help = helpers(ask, exchange, self._options.rerank_model, self._rewriter, reranks=self._reranks)
            result = await self._search(collection, question, exchange, ask, vectors, help)
            decision.tell(result)
        self._compare(exchange, result)
        if not result.hits:
            return await onward(exchange)
        exchange.answer.citations = citations(result.hits)
        exchange.answer.evidence = evidence(result.hits)
        exchange.answer.tags = (*exchange.answer.tags, f"collection:{collection.name}")
        stored = await collection.sentence_vectors(result.hits)
        if stored and result.vector is not None:
            exchange.stage_notes[STORED_SENTENCES] = StoredSentences(stored, result.vector)
        exchange.request = beside(exchange.request, rendered(result.hits, self._options.instruction))
        return await onward(exchange)

    def _compare(self, exchange: Exchange, result: SearchResult) -> None:
        """Leaves for the books what the application would have sent: as many of the best passages as it is said to
        send, or else those that were chosen."""
        stated = self._options.baseline_passages
        passages = result.hits if stated is None else result.listed
        if passages and exchange.request.messages:
            text = rendered(passages, self._options.instruction)
            same = [hit.id for hit in passages] == [hit.id for hit in result.hits]
            exchange.stage_notes[BASELINE_PASSAGES] = BaselinePassages(text, len(exchange.steps), same)

    async def _search(
        self,
        collection: Searchable,
        question: str,
        exchange: Exchange,
        ask: Ask,
        vectors: dict[str, Any],
        help: Helpers = NOBODY,
    ) -> SearchResult:
        """`vectors`: of texts embedded before, by text."""
        options, context = self._options, exchange.context
        users = [message.text for message in exchange.request.messages[:-1] if message.role == "user"]
        answers = [message.text for message in exchange.request.messages if message.role == "assistant"]

        async def embed(texts: Sequence[str]) -> Any:
            new = [text for text in dict.fromkeys(texts) if text not in vectors]
            if new:
                rows = await ask.embed(exchange, new, technique=self.name, model=collection.embedder or None)
                vectors.update(zip(new, rows, strict=True))
            return np.stack([vectors[text] for text in texts])

        result = await collection.search(
            question,
            embed,
            history=users,
            answer=answers[-1] if answers else "",
            where=self._where(context),
            tenant="" if self._public else context.tenant,
            groups=() if self._public else context.groups,
            stated=options.stated_filters,
            rerank=help.rerank,
            rewrite=help.rewrite,
            until=min(exchange.limits.begin_by, exchange.clock.now() + options.seconds),
            haste=Haste.of(exchange, lambda: self._rerank_s or collection.remote.seconds) if self._acts else None,
            listed=(options.baseline_passages or 0) if self._acts else 0,
        )
        taken = result.seconds.get("rerank")
        if taken is not None:
            self._rerank_s = taken if self._rerank_s is None else 0.8 * self._rerank_s + 0.2 * taken
        return result

    def _where(self, context: Context) -> Filter | None:
        """The configured filter, and what the request adds to it."""
        text = context.headers.get(FILTER_HEADER)
        if not text:
            return self._filter
        try:
            own = parse(msgspec.json.decode(text))
        except (FilterError, msgspec.DecodeError, RecursionError) as error:
            fix = '{"field": "year", "gte": 2000}'
            raise Failure(
                "invalid_request", f"the filter cannot be read: {error}", field=FILTER_HEADER, fix=fix
            ) from None
        return own if self._filter is None else All((self._filter, own))


def citations(hits: Sequence[Hit]) -> tuple[Citation, ...]:
    """What the numbers in the answer stand for."""
    return tuple(
        Citation(
            number=number,
            id=hit.document.parent or hit.id,
            chunk=hit.id,
            title=hit.document.title,
            source=hit.document.source,
            score=round(hit.score, 5),
        )
        for number, hit in enumerate(hits, 1)
    )


def evidence(hits: Sequence[Hit]) -> tuple[tuple[str, str], ...]:
    """What an answer rests on: (id, version) of each document, the version being a hash of the passages shown of it."""
    shown: dict[str, list[Any]] = {}
    for hit in hits:
        shown.setdefault(hit.document.parent or hit.id, []).append((hit.document.title, passage(hit.document)))
    return tuple(
        (id, hashlib.blake2b(msgspec.msgpack.encode(sorted(passages)), digest_size=8).hexdigest())
        for id, passages in sorted(shown.items())
    )


def rendered(hits: Sequence[Hit], instruction: str) -> str:
    """Passages as numbered sources; their text is escaped, so that a document cannot close its own element."""
    parts = [
        f'<source number="{number}" title={quoteattr(hit.document.title)}>\n{escape(passage(hit.document))}\n</source>'
        for number, hit in enumerate(hits, 1)
    ]
    return "<sources>\n" + "\n".join(parts) + f"\n</sources>\n{instruction}"


def passage(document: Document) -> str:
    """The text of a document with the numbers that stand beside it: they are no part of the text of rows."""
    numbers = "; ".join(f"{name}: {spelt(value)}" for name, value in document.numbers.items())
    return f"{document.text}\n{numbers}" if numbers else document.text
