"""Finds the chunk size of a collection: how much of the evidence reaches the model at equal tokens sent."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from hapenny.retrieval.analysis import Language
from hapenny.retrieval.chunking import Chunking, chunk, estimate
from hapenny.retrieval.documents import Document, Scores
from hapenny.retrieval.embedded import EmbeddedStore
from hapenny.retrieval.embedding import document_vectors
from hapenny.retrieval.metrics import dcg
from hapenny.retrieval.retriever import Retriever
from hapenny.retrieval.settings import Settings
from hapenny.vectors.embedder import Embedder

SIZES = (64, 128, 256, 512)


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
) -> Sized:
    """Chunks, indexes and searches at one size; chunks are sent best first while the token budget lasts."""
    how = Chunking(size=size, overlap=size // 8)
    pieces = [piece for document in documents for piece in chunk(document, how)]
    store = EmbeddedStore(embedder.dim, language)
    store.upsert(pieces, await document_vectors(embedder, pieces))
    store.commit()
    retriever = Retriever(store, settings)
    made = Sized(size=size, ndcg=[], recall=[], tokens=[], chunks=len(pieces))
    for question in questions:
        found = store.fetch(retriever.rank(question.text, question.vector).rows[:60].tolist())
        gains = [_held(piece, question) for piece in found]
        best = sorted((_held(piece, question) for piece in pieces if _held(piece, question)), reverse=True)
        ideal = dcg(best[:10])
        made.ndcg.append(dcg(gains[:10]) / ideal if ideal else 0.0)
        sent, spent = [], 0
        for piece in found:
            cost = estimate(piece.text)
            if spent + cost <= budget:
                sent.append(piece.text)
                spent += cost
        whole = "\n".join(sent)
        made.recall.append(sum(sentence in whole for sentence in question.sentences) / max(1, len(question.sentences)))
        made.tokens.append(spent)
    return made


def best_size(results: Sequence[Sized], picks: slice = slice(None)) -> Sized:
    """The size with the most evidence at the budget; of equals the larger, which needs fewer rows."""
    return max(results, key=lambda each: (float(np.mean(each.recall[picks])), each.size))


def _held(piece: Document, question: Evidence) -> float:
    return sum(sentence in piece.text for sentence in question.sentences) / max(1, len(question.sentences))
