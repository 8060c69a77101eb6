"""Chunk sizes on long documents made of 20 documents each."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from benchmarks.retrieval.prepare import Prepared, say
from benchmarks.retrieval.ranking import evaluated
from hapenny.retrieval.chunking import sentences
from hapenny.retrieval.documents import Document
from hapenny.retrieval.settings import PRESETS
from hapenny.retrieval.sizing import SIZES, Evidence, best_size, measure_size
from hapenny.vectors.embedder import Embedder

JOINED = 20
BUDGET = 600


def chunks(made: Prepared, by: Embedder, questions: int, distractors: int) -> dict[str, Any]:
    """Every size by evidence recall within 600 tokens; the tuned size is chosen on the other half of the queries."""
    chance = random.Random(31)
    known = {document.id: document for document in made.collection.documents}
    asked: list[Evidence] = []
    wanted: dict[str, Document] = {}
    for query in made.judged[evaluated(made)]:
        relevant = [each for each, gain in query.gains.items() if gain >= 1.0 and each in known]
        if not relevant or len(asked) >= questions:
            continue
        document = known[relevant[0]]
        wanted[document.id] = document
        asked.append(Evidence(query.text, query.vector, tuple(sentences(_body(document)))))
    others = [document for document in made.collection.documents if document.id not in wanted]
    pool = [*wanted.values(), *chance.sample(others, min(distractors, len(others)))]
    chance.shuffle(pool)
    long = [
        Document(id=f"long-{start}", text="\n\n".join(_body(each) for each in pool[start : start + JOINED]))
        for start in range(0, len(pool), JOINED)
    ]
    results = []
    for size in SIZES:
        results.append(
            asyncio.run(
                measure_size(long, asked, size, BUDGET, by, made.store.language, made.settings(PRESETS["default"]))
            )
        )
        say(f"chunks of {size}: {results[-1].chunks} pieces, {results[-1].mean()}")
    out: dict[str, Any] = {str(each.size): _rounded(each.mean()) for each in results}
    # Each half is scored with the size that the other half chose: every question counts once, none chose for itself.
    first, second = best_size(results, slice(1, None, 2)), best_size(results, slice(0, None, 2))
    halves = [first.mean(slice(0, None, 2)), second.mean(slice(1, None, 2))]
    out["tuned"] = _rounded({key: (halves[0][key] + halves[1][key]) / 2 for key in halves[0]}) | {
        "sizes": [first.size, second.size]
    }
    return out


def _body(document: Document) -> str:
    return f"{document.title}. {document.text}"


def _rounded(values: dict[str, float]) -> dict[str, Any]:
    return {key: round(value, 4) for key, value in values.items()}
