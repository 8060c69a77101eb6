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
from hapenny.retrieval.tune.chunk_size import SIZES, Evidence, best_size, measure_size
from hapenny.vectors.embedder import Embedder

JOINED = 20
BUDGET = 600


def chunks(made: Prepared, by: Embedder, questions: int, distractors: int) -> dict[str, Any]:
    """Every size by evidence recall within 600 tokens; the tuned size is chosen on other questions.

    Those are the training queries; without any, each half of the questions is scored with the other half's choice.
    """
    chance = random.Random(31)
    wanted: dict[str, Document] = {}
    asked = _questions(made, evaluated(made), questions, wanted)
    tuning = _questions(made, "train", questions, wanted) if "train" in made.judged else []
    others = [document for document in made.collection.documents if document.id not in wanted]
    pool = [*wanted.values(), *chance.sample(others, min(distractors, len(others)))]
    chance.shuffle(pool)
    long = [
        Document(id=f"long-{start}", text="\n\n".join(_body(each) for each in pool[start : start + JOINED]))
        for start in range(0, len(pool), JOINED)
    ]
    results = []
    settings = made.settings(PRESETS["default"])
    for size in SIZES:
        both = [*asked, *tuning]
        results.append(asyncio.run(measure_size(long, both, size, BUDGET, by, made.store.language, settings)))
        say(f"chunks of {size}: {results[-1].chunks} pieces, {results[-1].mean(slice(0, len(asked)))}")
    test, train = slice(0, len(asked)), slice(len(asked), None)
    out: dict[str, Any] = {str(each.size): _rounded(each.mean(test)) for each in results}
    if tuning:
        best = best_size(results, train)
        out["tuned"] = _rounded(best.mean(test)) | {"sizes": [best.size]}
        return out
    first, second = best_size(results, slice(1, None, 2)), best_size(results, slice(0, None, 2))
    halves = [first.mean(slice(0, None, 2)), second.mean(slice(1, None, 2))]
    out["tuned"] = _rounded({key: (halves[0][key] + halves[1][key]) / 2 for key in halves[0]}) | {
        "sizes": [first.size, second.size]
    }
    return out


def _questions(made: Prepared, split: str, most: int, wanted: dict[str, Document]) -> list[Evidence]:
    """Queries of a split with the sentences of their first relevant document, which is noted in `wanted`."""
    known = {document.id: document for document in made.collection.documents}
    asked: list[Evidence] = []
    for query in made.judged[split]:
        relevant = [each for each, gain in query.gains.items() if gain >= 1.0 and each in known]
        if relevant and len(asked) < most:
            document = known[relevant[0]]
            wanted[document.id] = document
            asked.append(Evidence(query.text, query.vector, tuple(sentences(_body(document)))))
    return asked


def _body(document: Document) -> str:
    return f"{document.title}. {document.text}"


def _rounded(values: dict[str, float]) -> dict[str, Any]:
    return {key: round(value, 4) for key, value in values.items()}
