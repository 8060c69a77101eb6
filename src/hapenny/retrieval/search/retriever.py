"""Searches one collection: both legs, fusion, scoring, the learned ranker. Blocking; no I/O but the store's."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from hapenny.retrieval.documents import Hit, Rows, Scores
from hapenny.retrieval.filters import Filter
from hapenny.retrieval.query.register import Lexicon, Vocabulary
from hapenny.retrieval.query.spelling import repair
from hapenny.retrieval.search.floor import Floor
from hapenny.retrieval.search.forest import Forest, Table
from hapenny.retrieval.search.fusion import Candidates, fuse, gather, matched, order
from hapenny.retrieval.search.ranker_features import Profiles, table
from hapenny.retrieval.search.rarest_term_boost import OFF, held
from hapenny.retrieval.search.scoring import Popularity, Scoring, bonuses, year_fields
from hapenny.retrieval.settings import Settings
from hapenny.retrieval.stores.contract import Store
from hapenny.retrieval.stores.lexical import Terms
from hapenny.vectors.languages import knows

LOOKED_AT = 20
"""Rows of which it is known how much speaks for them; what stands behind never leaves."""
_LOOKED_UP = 64
"""Terms of a sentence that are looked up."""
_SAMPLED, _READ = 200, 2_000
"""Documents whose length is measured, and characters of each that are read."""
LEARNED_DEPTH = 60
"""How many of the fused list the learned ranker orders again."""


class Ranked(msgspec.Struct, frozen=True):
    """Rows best first with everything that made their scores; arrays are aligned with `rows`."""

    rows: Rows
    scores: NDArray[np.float64]
    fused: NDArray[np.float64]
    candidates: Candidates
    added: dict[str, NDArray[np.float64]]
    learned: NDArray[np.float64] | None = None
    alpha: float = 0.0
    evidence: NDArray[np.float64] | None = None
    """How much speaks for a row's answering the question at all (`floor.Floor`), of the first rows; NaN further down.
    None where no floor was measured."""

    def __len__(self) -> int:
        return len(self.rows)


class Retriever:
    """One store with its settings and, if there is one, a learned ranker."""

    def __init__(
        self,
        store: Store,
        settings: Settings | None = None,
        forest: Forest | None = None,
        *,
        embedder: str = "",
        floor: Floor | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        """`embedder`: name of the one that made the vectors; `floor`: what was measured of the collection's limits;
        `vocabulary`: its words as documents write them."""
        self.store = store
        self.settings = settings or Settings()
        self.forest = forest
        self.floor = floor
        self.lexicon = Lexicon(store.analyser.language, self._holds, vocabulary)
        self._embedder = embedder
        self._noise = frozenset(self.settings.noise)
        self._profiles = Profiles(store)
        self._length = (0, float("inf"))
        """Documents when their length was measured, and their median length in words."""

    def _fitted(self, settings: Settings) -> Settings:
        """The settings as they suit this collection: less of the vectors where their embedder does not know its
        language; else how long its documents are."""
        if knows(self._embedder, self.store.analyser.language):
            return settings.of_length(self._words()) if settings.fusion.alpha > 0.0 else settings
        return msgspec.structs.replace(settings, fusion=settings.weighted(self.store.alike()))

    def _words(self) -> float:
        """Median length of the documents, words; of a sample, taken anew when the collection grew by a tenth."""
        count = self.store.count()
        measured, words = self._length
        if not measured or abs(count - measured) > 0.1 * measured:
            documents = self.store.fetch(self.store.sample(_SAMPLED))
            # What bears a title is asked for by its name, and there each word tells.
            lengths = [
                float("inf") if document.title else len(self.store.analyser.words(document.text[:_READ]))
                for document in documents
            ]
            words = float(sorted(lengths)[len(lengths) // 2]) if lengths else float("inf")
            self._length = count, words
        return words

    def years(self) -> tuple[str, ...]:
        """The numeric fields that hold years."""
        return year_fields(self.store.number_fields(), self.store.quantiles)

    def changed(self) -> None:
        """Rows were compacted or replaced: forgets what was analysed."""
        self._profiles.clear()
        self._length = (0, float("inf"))

    def terms(self, text: str) -> Terms:
        """The lexical query of a text: without noise words, in the collection's vocabulary."""
        style = self.settings.style
        if style:
            text = " ".join(style.get(word.lower(), word) for word in text.split())
        if self.settings.repair:
            words = self.store.analyser.words(text)
            text = " ".join(
                part for word in words for part in ([word] if word in self._noise else repair(word, self._frequency))
            )
        return Terms.of(text, self.store.analyser, self._noise)

    def about(self, sentence: str) -> bool:
        """Whether the collection knows a word of a sentence (Vietnamese: a pair of syllables)."""
        stems = self.store.analyser.stems(sentence)
        telling = [stem for stem in stems if "_" in stem] if self.store.analyser.language == "vi" else stems
        return any(self.store.frequency(stem) for stem in dict.fromkeys(telling[:_LOOKED_UP]))

    def _holds(self, text: str) -> bool:
        """Whether every index term of a text stands in the collection."""
        stems = self.store.analyser.stems(text)
        return bool(stems) and all(self.store.frequency(stem) for stem in stems[:_LOOKED_UP])

    def _frequency(self, word: str) -> int:
        stems = self.store.analyser.stems(word)
        return min((self.store.frequency(stem) for stem in stems), default=1)

    def rank(
        self,
        text: str,
        vector: Scores,
        where: Filter | None = None,
        *,
        tenant: str = "",
        settings: Settings | None = None,
    ) -> Ranked:
        """All candidates of both legs, best first."""
        settings = self._fitted(settings or self.settings)
        terms = self.terms(text)
        candidates, ideal = self._candidates(terms, vector, where, settings)
        how = settings.fusion
        fused = fuse(candidates, how, ideal)
        store = self.store
        added = bonuses(
            settings.scoring.of(tenant),
            lambda name: store.numbers(name, candidates.rows),
            store.quantiles,
            question=text,
            matched=matched(candidates, how, ideal),
            years=self.years,
        )
        scores = np.sum([fused, *added.values()], axis=0) if added else fused
        best = order(candidates.rows, scores)
        evidence: NDArray[np.float64] | None = None
        closer = settings.closer if len(best) > 1 else OFF
        if (closer.head and closer.rarest) or self.floor is not None:
            head = best[: max(closer.head, LOOKED_AT)]
            look = held(store, terms.stems, candidates.rows[head])
            if self.floor is not None:
                evidence = np.full(len(scores), np.nan)
                evidence[head] = self.floor.evidence(candidates.cosine[head], look.coverage)
            if closer.head and closer.rarest:
                added["rarest"] = np.zeros(len(scores))
                added["rarest"][head[: closer.head]] = closer.rarest * look.rarest[: closer.head]
                scores = scores + added["rarest"]
                best = order(candidates.rows, scores)
        learned: NDArray[np.float64] | None = None
        if settings.rerank == "learned" and self.forest is not None and len(best) > 1:
            head = best[:LEARNED_DEPTH]
            part = _take(candidates, head)
            learned = np.full(len(best), np.nan)
            learned[head] = self.forest.score(self._table(text, terms, part, scores[head], ideal))
            best = np.concatenate([head[order(part.rows, learned[head])], best[LEARNED_DEPTH:]])
        return Ranked(
            candidates.rows[best],
            scores[best],
            fused[best],
            _take(candidates, best),
            {name: values[best] for name, values in added.items()},
            learned[best] if learned is not None else None,
            how.alpha,
            evidence[best] if evidence is not None else None,
        )

    def looking(self, floor: Floor | None) -> Retriever:
        """The same without rules and learned order, measuring evidence against `floor` if there is one."""
        settings = msgspec.structs.replace(self.settings, scoring=Scoring(rules=()), rerank="none")
        return Retriever(self.store, settings, embedder=self._embedder, floor=floor)

    def looks(self, text: str, vector: Scores, best: int) -> tuple[Scores, NDArray[np.float64]]:
        """Cosines of the best rows for a text, and the share of its weight that they hold."""
        terms = self.terms(text)
        ranked = self.rank(text, vector)
        rows = ranked.rows[:best]
        return ranked.candidates.cosine[:best], held(self.store, terms.stems, rows).coverage

    def examples(self, text: str, vector: Scores) -> tuple[Rows, Table]:
        """Candidates in fused order and their features: what the ranker is trained on."""
        terms = self.terms(text)
        plain = msgspec.structs.replace(self.settings, rerank="none")
        ranked = self.rank(text, vector, settings=plain)
        part = _take(ranked.candidates, np.arange(min(len(ranked), LEARNED_DEPTH)))
        ideal = self.store.ideal(terms, self.settings.boosts)
        scores = ranked.scores[:LEARNED_DEPTH]
        return part.rows, self._table(text, terms, part, scores, ideal)

    def _table(
        self, text: str, terms: Terms, candidates: Candidates, scores: NDArray[np.float64], ideal: float
    ) -> Table:
        rules = self.settings.scoring.rules
        prior = next((rule.fields for rule in rules if isinstance(rule, Popularity)), ())
        return table(text, terms, candidates, scores, ideal, self.store, self._profiles, prior, self.years())

    def hits(self, ranked: Ranked, chosen: Sequence[int]) -> list[Hit]:
        """Documents of positions in a ranked list, each with its explanation."""
        documents = self.store.fetch([int(ranked.rows[i]) for i in chosen])
        return [
            Hit(id=document.id, score=float(ranked.scores[i]), document=document, explain=explain(ranked, i))
            for i, document in zip(chosen, documents, strict=True)
        ]

    def _candidates(
        self, terms: Terms, vector: Scores, where: Filter | None, settings: Settings
    ) -> tuple[Candidates, float]:
        how, store = settings.fusion, self.store
        lexical = store.lexical(terms, how.lexical, settings.boosts, where)
        candidates = gather(lexical, store.vector(vector, how.vector, where))
        missing = np.isnan(candidates.cosine)
        if how.method in ("comparable", "vector") and missing.any():
            # Not by BLAS: for so little work its threads only wait for each other.
            stored = store.vectors(candidates.rows[missing])
            candidates.cosine[missing] = np.einsum("ij,j->i", stored, np.asarray(vector, np.float32))
        return candidates, store.ideal(terms, settings.boosts)


def explain(ranked: Ranked, at: int) -> dict[str, object]:
    """Why a row stands where it stands: raw leg scores and ranks, the fused score, what rules and the ranker gave."""
    candidates = ranked.candidates
    out: dict[str, object] = {
        "bm25": _number(candidates.lexical[at]),
        "bm25_rank": int(candidates.lexical_rank[at]) + 1 or None,
        "cosine": _number(candidates.cosine[at]),
        "cosine_rank": int(candidates.vector_rank[at]) + 1 or None,
        "alpha": round(ranked.alpha, 4),
        "fused": _number(ranked.fused[at]),
        "added": {name: _number(values[at]) for name, values in ranked.added.items()},
    }
    if ranked.evidence is not None:
        out["evidence"] = _number(ranked.evidence[at])
    if ranked.learned is not None:
        out["learned"] = _number(ranked.learned[at])
    return out


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 5)


def _take(candidates: Candidates, at: NDArray[np.int64]) -> Candidates:
    return Candidates(
        candidates.rows[at],
        candidates.lexical[at],
        candidates.cosine[at],
        candidates.lexical_rank[at],
        candidates.vector_rank[at],
    )
