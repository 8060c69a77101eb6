"""A named collection as the gateway uses it: prepares, embeds, searches the parts, reranks, selects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

import msgspec
import numpy as np

from hapenny.core.clock import Clock
from hapenny.retrieval.documents import Hit, Matrix, Scores
from hapenny.retrieval.filters import All, Filter, seen_by
from hapenny.retrieval.ingest.duplicates import wording
from hapenny.retrieval.options import Remote
from hapenny.retrieval.query import Query, prepare
from hapenny.retrieval.query.keywords import keywords
from hapenny.retrieval.query.stated_filter import stated_filter
from hapenny.retrieval.search.haste import Haste
from hapenny.retrieval.search.reach import Reach
from hapenny.retrieval.search.retriever import Ranked, Retriever
from hapenny.retrieval.search.selection import select

Embed: TypeAlias = Callable[[Sequence[str]], Awaitable[Matrix]]
Rerank: TypeAlias = Callable[[str, Sequence[str]], Awaitable[Sequence[float]]]
Rewrite: TypeAlias = Callable[[str, Sequence[str], str], Awaitable[str]]
"""(question, earlier user turns, last answer) -> the question as it stands alone."""


_READ_AT_ONCE = 1_000
"""Characters of a question and its history that are read on the loop."""


class SearchResult(msgspec.Struct, kw_only=True):
    """What a search found. `seconds` by step; `reranked`: remote scores ordered it."""

    query: Query
    hits: list[Hit]
    keywords: list[str] = []
    reranked: bool = False
    rewritten: bool = False
    candidates: int = 0
    seconds: dict[str, float] = {}
    listed: list[Hit] = []
    """The best of the ranked list, whether they leave or not: as many as were asked for."""
    vector: Scores | None = None
    """The question's unit vector; of several parts, their mean."""


Sentences: TypeAlias = Callable[[str], tuple[list[str], Matrix] | None]
"""A chunk's sentences and their unit vectors, shape (n, d), by its id; None where none were kept. May block."""


class Searchable(Protocol):
    """What a collection can do, wherever its documents lie."""

    name: str
    embedder: str
    remote: Remote

    async def refresh(self) -> list[str] | None:
        """Takes in what changed: the documents, [] for nothing, None for any of them."""

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
        """See `Collection.search`."""

    async def sentence_vectors(self, hits: Sequence[Hit]) -> dict[str, tuple[list[str], Matrix]]:
        """Sentences of hits and their unit vectors, by the hit's id, where they are kept."""


class Collection:
    """One retriever with its embedder. `embedder` names the model its vectors came from; `sentences` gives the
    sentence vectors that were kept when the chunks were indexed."""

    def __init__(
        self,
        name: str,
        retriever: Retriever,
        clock: Clock,
        *,
        embedder: str = "",
        remote: Remote | None = None,
        sentences: Sentences | None = None,
        changes: Callable[[], list[str] | None] | None = None,
    ) -> None:
        """`changes`: ids of sources that another process changed since it was last asked; None: anything may be."""
        self._changes = changes
        self.name = name
        self._reach = Reach(name, clock, far=getattr(retriever.store, "far", False))
        self.retriever = retriever
        self.embedder = embedder
        self.remote = remote or Remote()
        self._clock = clock
        self._sentences = sentences

    async def refresh(self) -> list[str] | None:
        """Takes over what another process indexed: the ids of sources that changed; None: anything may have."""
        changes, store = self._changes, self.retriever.store
        if changes is None:
            return []

        def look() -> list[str] | None:
            # First what changed, then the rows: they are at least as new, so no change is told too early.
            new_scores = changes()
            if new_scores is None or new_scores:
                store.refresh()
            return new_scores

        return await self._reach.ask(look)

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
        """The hits that leave, best first. Only documents that the tenant and its groups may see are considered.

        `until` (`clock.now()` seconds) bounds the remote steps; without time left they are skipped. `stated`: whether
        bounds that the question states filter as well; they do not where nothing would be left. `haste`: what is left
        out where the answer has a deadline. `listed`: how many of the ranked list are returned beside those that leave.

        Raises:
            ConnectionError: the store is on another host and does not answer in time.
        """
        clock, seconds = self._clock, dict[str, float]()
        started = clock.now()
        query = await self._prepared(question, history, answer)
        rewritten = False
        unsure = query.unsure and rewrite is not None and until - clock.now() > self.remote.rewrite_seconds
        expands = len(query.parts) > 1 or unsure
        if expands and haste is not None and haste.narrow(self.remote.rewrite_seconds if unsure else 0.0):
            query = msgspec.structs.replace(query, parts=query.parts[:1], steps=(*query.steps, "narrowed"))
            unsure = False
        if unsure and rewrite is not None:
            text = await self._bounded(rewrite(query.text, history, answer), until)
            if text:
                query, rewritten = await self._prepared(text), True
        seconds["query"] = clock.now() - started
        mark = clock.now()
        vectors = await embed(query.parts)
        seconds["embed"] = clock.now() - mark
        visible = seen_by(tenant, groups)
        scope = visible if where is None else All((where, visible))
        if stated and (bounds := await self._reach.ask(lambda: self._stated(query.text, scope))) is not None:
            scope = All((bounds, scope))
            query = msgspec.structs.replace(query, steps=(*query.steps, "filtered"))
        try:
            hits, candidates, reranked, ranked = await self._best(
                query, vectors, scope, tenant, k, rerank, until, seconds, haste, listed
            )
        except (ValueError, LookupError):  # rows that another process has replaced since the last look
            await self._reach.ask(self.retriever.store.refresh)
            hits, candidates, reranked, ranked = await self._best(
                query, vectors, scope, tenant, k, rerank, until, seconds, haste, listed
            )
        return SearchResult(
            query=query,
            hits=hits,
            keywords=await self._keywords(query.text),
            reranked=reranked,
            rewritten=rewritten,
            candidates=candidates,
            seconds=seconds,
            listed=ranked,
            vector=_mean(vectors),
        )

    async def _keywords(self, text: str) -> list[str]:
        store = self.retriever.store
        if not self._reach.far:
            return keywords(text, store)
        return await self._reach.ask(lambda: keywords(text, store))

    def _stated(self, text: str, scope: Filter) -> Filter | None:
        store = self.retriever.store
        bounds = stated_filter(text, store.number_fields(), self.retriever.years())
        return bounds if bounds is not None and store.count(All((bounds, scope))) else None

    async def _prepared(self, question: str, history: Sequence[str] = (), answer: str = "") -> Query:
        """The prepared question; long texts are read off the loop, short ones cost a fraction of a millisecond."""
        retriever = self.retriever

        def work() -> Query:
            return prepare(question, history, answer, knows=retriever.about, lexicon=retriever.lexicon)

        if not self._reach.far and len(question) + sum(map(len, history)) <= _READ_AT_ONCE:
            return work()
        return await self._reach.ask(work)

    async def _best(
        self,
        query: Query,
        vectors: Matrix,
        scope: Filter,
        tenant: str,
        k: int | None,
        rerank: Rerank | None,
        until: float,
        seconds: dict[str, float],
        haste: Haste | None,
        listed: int,
    ) -> tuple[list[Hit], int, bool, list[Hit]]:
        """The hits that leave, how many candidates there were, whether a model ordered them, and the best `listed`."""
        clock = self._clock
        mark = clock.now()
        lists = await asyncio.gather(
            *(self._ranked(part, vector, scope, tenant) for part, vector in zip(query.parts, vectors, strict=True))
        )
        seconds["search"] = clock.now() - mark
        how = self.retriever.settings.selection
        picked = _merged(lists)
        scores = np.array([lists[n].scores[at] for n, at in picked])
        reranked = False
        enough = self._enough(lists, picked)
        # Where nothing would leave nobody is paid to order it; where something does, the paid model knows better.
        answerable = k is not None or how.floor != "measured" or enough is None or any(enough)
        if rerank is not None and answerable and self._unclear(scores, k or how.most) and self._time(until):
            mark, depth = clock.now(), self.remote.depth
            if haste is not None:
                depth = haste.depth(depth)
            if depth:
                picked, scores, reranked = await self._remote(query.text, lists, picked, scores, rerank, until, depth)
                seconds["rerank"] = clock.now() - mark
            enough = None if reranked else enough
        mark = clock.now()
        hits = await self._reach.ask(lambda: self._hits(lists, picked, scores, k, enough))
        best = min(listed, len(picked))
        ranked = await self._reach.ask(lambda: self._made(lists, picked, scores, range(best))) if best else []
        seconds["select"] = clock.now() - mark
        return hits, len(picked), reranked, ranked

    async def sentence_vectors(self, hits: Sequence[Hit]) -> dict[str, tuple[list[str], Matrix]]:
        """The hits' texts with their sentences and their unit vectors, where they were kept."""
        look = self._sentences
        if look is None:
            return {}

        def new_scores() -> dict[str, tuple[list[str], Matrix]]:
            kept = ((hit.document.text.strip("\n"), look(hit.id)) for hit in hits)
            return {text: each for text, each in kept if each is not None and len(each[0])}

        return await self._clock.work("sentences", 1, new_scores)

    async def _ranked(self, text: str, vector: Scores, where: Filter, tenant: str) -> Ranked:
        return await self._reach.ask(lambda: self.retriever.rank(text, vector, where, tenant=tenant))

    def _time(self, until: float) -> bool:
        return until - self._clock.now() > self.remote.seconds

    def _unclear(self, scores: np.ndarray[tuple[int], np.dtype[np.float64]], k: int) -> bool:
        if len(scores) < 2:
            return False
        last = scores[min(k, len(scores)) - 1]
        return bool(scores[0] - last < self.remote.margin * abs(scores[0]))

    async def _bounded(self, work: Awaitable[str], until: float) -> str:
        try:
            async with asyncio.timeout(min(self.remote.rewrite_seconds, until - self._clock.now())):
                return await work
        except Exception:
            # A rewrite is a help, never a condition: the rule's text is searched instead.
            return ""

    async def _remote(
        self,
        text: str,
        lists: Sequence[Ranked],
        picked: list[tuple[int, int]],
        scores: np.ndarray[tuple[int], np.dtype[np.float64]],
        rerank: Rerank,
        until: float,
        depth: int,
    ) -> tuple[list[tuple[int, int]], np.ndarray[tuple[int], np.dtype[np.float64]], bool]:
        head = picked[:depth]
        store = self.retriever.store
        rows = [int(lists[n].rows[at]) for n, at in head]
        documents = await self._reach.ask(lambda: store.fetch(rows))
        texts = [document.searchable()[: self.remote.characters] for document in documents]
        try:
            async with asyncio.timeout(min(self.remote.seconds, until - self._clock.now())):
                new_scores = np.asarray(await rerank(text, texts), np.float64)
        except Exception:
            return picked, scores, False
        if new_scores.shape != (len(head),):
            return picked, scores, False
        order = np.argsort(-new_scores, kind="stable")
        # The rest keeps its order behind the head; only order matters from here on.
        rest = np.minimum(scores[len(head) :], 0.0) + new_scores.min(initial=0.0) - 1.0
        return [head[i] for i in order] + picked[len(head) :], np.concatenate([new_scores[order], rest]), True

    def _hits(
        self,
        lists: Sequence[Ranked],
        picked: list[tuple[int, int]],
        scores: np.ndarray[tuple[int], np.dtype[np.float64]],
        k: int | None,
        enough: Sequence[bool] | None,
    ) -> list[Hit]:
        store = self.retriever.store
        rows = np.array([lists[n].rows[at] for n, at in picked], np.int64)
        chosen = select(
            scores,
            self.retriever.settings.selection,
            vectors=lambda at: store.vectors(rows[list(at)]),
            parents=lambda at: [document.parent for document in store.fetch(rows[list(at)].tolist())],
            keep=k,
            enough=enough,
            wordings=lambda at: [wording(document) for document in store.fetch(rows[list(at)].tolist())],
        )
        return self._made(lists, picked, scores, chosen)

    def _made(
        self,
        lists: Sequence[Ranked],
        picked: list[tuple[int, int]],
        scores: np.ndarray[tuple[int], np.dtype[np.float64]],
        chosen: Sequence[int],
    ) -> list[Hit]:
        made: list[Hit] = []
        for position in chosen:
            n, at = picked[position]
            made += self.retriever.hits(lists[n], [at])
            made[-1].score = float(scores[position])
            if len(lists) > 1:
                made[-1].explain["part"] = n
        return made

    def _enough(self, lists: Sequence[Ranked], picked: list[tuple[int, int]]) -> list[bool] | None:
        """Whether each hit is over the measured floor; None where none was measured."""
        floor = self.retriever.floor
        if floor is None:
            return None
        known = [ranked.evidence for ranked in lists]
        return [bool((evidence := known[n]) is None or evidence[at] >= floor.least) for n, at in picked]


def _mean(vectors: Matrix) -> Scores:
    mean = np.asarray(vectors, np.float32).mean(axis=0)
    unit: Scores = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return unit


def _merged(lists: Sequence[Ranked]) -> list[tuple[int, int]]:
    """(list, position) of each row once, best score first; the best of every part is among the first."""
    if len(lists) == 1:
        return [(0, at) for at in range(len(lists[0]))]
    best: dict[int, tuple[float, int, int]] = {}
    for n, ranked in enumerate(lists):
        for at, (row, score) in enumerate(zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True)):
            if row not in best or score > best[row][0]:
                best[row] = (score, n, at)
    # A part without its best hit in the answer was searched for nothing.
    leaders = {int(ranked.rows[0]) for ranked in lists[1:] if len(ranked)}
    order = sorted(best, key=lambda row: (row not in leaders, -best[row][0], row))
    return [(best[row][1], best[row][2]) for row in order]
