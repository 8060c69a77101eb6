"""Finds the chunk size of a collection: how much of the evidence reaches the model, and how many tokens that takes.

Theory of operation: a sample of the documents is cut, indexed and searched at every size; for each question the best
passages are taken as they would be sent, at most five and within a budget of tokens, and it is counted which sentences
of evidence are among them. Questions are given, or made of the documents: a sentence is asked for with half of its
telling words, so that neither leg finds it word for word. The size with the most evidence wins; of sizes that are no
worse by one standard error, the one that sends the fewest tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from hapenny.retrieval.analysis import Language
from hapenny.retrieval.chunking import Chunking, chunk, estimate, sentences
from hapenny.retrieval.documents import Document, Scores
from hapenny.retrieval.ingest.document_vectors import document_vectors
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.settings import Settings
from hapenny.retrieval.stores.embedded import EmbeddedStore
from hapenny.retrieval.tune.metrics import dcg
from hapenny.vectors.embedder import Embedder

SIZES = (64, 128, 256, 512)
BUDGET = 600
"""Tokens that are sent for a question while sizes are compared."""
_SAMPLE_TOKENS = 20_000
_QUESTIONS = 60
_LEAST_QUESTIONS = 10
_SENT = 5


class Evidence(msgspec.Struct, frozen=True):
    """A question, its vector, and the sentences that answer it."""

    text: str
    vector: Scores
    sentences: tuple[str, ...]


class _Asked(msgspec.Struct):
    query: str
    evidence: list[str]


async def read_evidence(data: bytes, embedder: Embedder) -> list[Evidence]:
    """Questions of a file's content: JSON lines with `query` and `evidence`, sentences that answer it, word for word.

    Raises:
        msgspec.DecodeError: for a line that is not one.
    """
    rows = [msgspec.json.decode(line, type=_Asked) for line in data.splitlines() if line.strip()]
    vectors = await embedder.embed([row.query for row in rows])
    return [Evidence(row.query, vector, tuple(row.evidence)) for row, vector in zip(rows, vectors, strict=True)]


class Sized(msgspec.Struct, frozen=True, kw_only=True):
    """One size as measured, a value a query. `tokens` are those sent within the budget."""

    size: int
    ndcg: list[float]
    recall: list[float]
    tokens: list[int]
    chunks: int

    def mean(self, picks: slice = slice(None)) -> dict[str, float]:
        """Means over a part of the queries."""
        return {
            "ndcg10": float(np.mean(self.ndcg[picks] or [0.0])),
            "evidence_recall": float(np.mean(self.recall[picks] or [0.0])),
            "tokens_sent": float(np.mean(self.tokens[picks] or [0])),
        }


async def measure_size(
    documents: Sequence[Document],
    questions: Sequence[Evidence],
    size: int,
    budget: int,
    embedder: Embedder,
    language: Language,
    settings: Settings | None = None,
    most: int = 60,
) -> Sized:
    """Chunks, indexes and searches at one size; of the best `most` chunks as many are sent as the budget holds."""
    how = Chunking(size=size, overlap=size // 8)
    pieces = [piece for document in documents for piece in chunk(document, how)]
    store = EmbeddedStore(embedder.dim, language)
    store.upsert(pieces, await document_vectors(embedder, pieces))
    store.commit()
    retriever = Retriever(store, settings, embedder=embedder.name)
    made = Sized(size=size, ndcg=[], recall=[], tokens=[], chunks=len(pieces))
    for question in questions:
        ranked_pieces = store.fetch(retriever.rank(question.text, question.vector).rows[:60].tolist())
        gains = [_held(piece, question) for piece in ranked_pieces]
        best = sorted((_held(piece, question) for piece in pieces if _held(piece, question)), reverse=True)
        ideal = dcg(best[:10])
        made.ndcg.append(dcg(gains[:10]) / ideal if ideal else 0.0)
        sent, spent = [], 0
        for piece in ranked_pieces[:most]:
            cost = estimate(piece.text)
            if spent + cost <= budget:
                sent.append(piece.text)
                spent += cost
        whole = "\n".join(sent)
        made.recall.append(sum(sentence in whole for sentence in question.sentences) / max(1, len(question.sentences)))
        made.tokens.append(spent)
    return made


async def choose_size(
    documents: Sequence[Document],
    embedder: Embedder,
    language: Language,
    questions: Sequence[Evidence] = (),
    progress: Callable[[str], None] | None = None,
) -> list[Sized]:
    """Every size as measured on a sample of the documents, the chosen one first. Empty where sizes make no difference:
    no document is longer than the smallest, or too few of them give questions."""
    sample = _sample(documents)
    asked = list(questions) or await _generated(sample, embedder)
    if len(asked) < _LEAST_QUESTIONS:
        return []
    measured = []
    for size in SIZES:
        measured.append(await measure_size(sample, asked, size, BUDGET, embedder, language, most=_SENT))
        if progress is not None:
            mean = measured[-1].mean()
            progress(
                f"chunks of {size}: {mean['evidence_recall']:.0%} of the evidence in {mean['tokens_sent']:.0f} tokens"
            )
    best = best_size(measured)
    error = float(np.std(best.recall)) / len(best.recall) ** 0.5
    enough = [each for each in measured if np.mean(each.recall) >= np.mean(best.recall) - error]
    chosen = min(enough, key=lambda each: (float(np.mean(each.tokens)), -each.size))
    return [chosen, *[each for each in measured if each is not chosen]]


def _sample(documents: Sequence[Document]) -> list[Document]:
    """Documents that can be cut, spread over the collection, up to 20,000 tokens."""
    long = [document for document in documents if estimate(document.text[:2000]) > SIZES[0]]
    kept: list[Document] = []
    tokens = 0
    step = max(1, len(long) // 200)
    for document in long[::step]:
        cost = estimate(document.text[: 8 * _SAMPLE_TOKENS])
        if kept and tokens + cost > _SAMPLE_TOKENS:
            continue
        kept.append(document)
        tokens += cost
    return kept


async def _generated(documents: Sequence[Document], embedder: Embedder) -> list[Evidence]:
    """A question for sentences of the documents: every second of its longer words."""
    pairs: list[tuple[str, str]] = []
    share = max(1, -(-_QUESTIONS // max(1, len(documents))))
    for document in documents:
        whole = [
            sentence for sentence in sentences(document.text) if 40 <= len(sentence) <= 400 and "|" not in sentence
        ]
        for sentence in whole[:: max(1, len(whole) // share)][:share]:
            telling = [word for word in sentence.split() if len(word) > 3] or list(sentence)
            pairs.append((("" if len(telling) == len(sentence) else " ").join(telling[::2]), sentence))
    pairs = pairs[:: max(1, len(pairs) // _QUESTIONS)][:_QUESTIONS]
    if not pairs:
        return []
    vectors = await embedder.embed([question for question, _ in pairs])
    return [Evidence(question, vector, (answer,)) for (question, answer), vector in zip(pairs, vectors, strict=True)]


def best_size(results: Sequence[Sized], picks: slice = slice(None)) -> Sized:
    """The size with the most evidence at the budget; of equals the larger, which needs fewer rows."""
    return max(results, key=lambda each: (float(np.mean(each.recall[picks])), each.size))


def _held(piece: Document, question: Evidence) -> float:
    return sum(sentence in piece.text for sentence in question.sentences) / max(1, len(question.sentences))
