"""Filters, compression, deletes and the tuner, on the vectors of the prepared collections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.prepare import Prepared, say
from benchmarks.retrieval.ranking import evaluated
from hapenny.core.clock import RealClock
from hapenny.retrieval.documents import Matrix
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.settings import PRESETS
from hapenny.retrieval.stores.embedded import EmbeddedStore
from hapenny.retrieval.tune.index_shape import Trial, build, choose, exact, measure
from hapenny.retrieval.tune.metrics import quality
from hapenny.vectors.compact import CompactIndex, Mask, Shape
from hapenny.vectors.reduced import ReducedIndex

SELECTIVITIES = ("0.1", "0.01", "0.001")
TARGETS = ("0.9", "0.95", "0.99")
K = 10


def _queries(made: Prepared, at_most: int) -> Matrix:
    return np.stack([query.vector for query in made.judged[evaluated(made)][:at_most]])


def filters(store: EmbeddedStore, vectors: Matrix, queries: Matrix) -> dict[str, Any]:
    """Recall and short lists under random filters and under filters that follow the geometry.

    Correlated: the matches are the documents least like a random anchor query, so they lie where the graph search
    for most queries never looks.
    """
    chance = np.random.default_rng(17)
    out: dict[str, Any] = {}
    index = store.vector_index
    for name in SELECTIVITIES:
        share = float(name)
        kept = max(K, int(share * len(vectors)))
        out[name] = {}
        for kind in ("random", "correlated"):
            recalls, short = [], 0
            for group in range(4):
                mask: Mask = np.zeros(len(vectors), np.bool_)
                if kind == "random":
                    mask[chance.choice(len(vectors), kept, replace=False)] = True
                else:
                    anchor = queries[int(chance.integers(len(queries)))]
                    mask[np.argsort(vectors @ anchor)[:kept]] = True
                matching = np.flatnonzero(mask)
                # Rows of a store start at 1.
                shifted: Mask = np.concatenate([np.zeros(1, np.bool_), mask])
                part = queries[group::4]
                truth = exact(vectors[matching], part, K)
                for query, true in zip(part, truth, strict=True):
                    found = index.search(query, K, shifted).keys - 1
                    short += len(found) < min(K, kept)
                    recalls.append(len(np.intersect1d(found, matching[true])) / len(true))
            out[name][kind] = {"recall": round(float(np.mean(recalls)), 4), "short": short}
        say(f"filter {name}: {out[name]}")
    return out


def compression(prepared: Sequence[Prepared]) -> dict[str, Any]:
    """Memory and hybrid nDCG of 8-bit vectors, recall of fewer dimensions with rescoring."""
    out: dict[str, Any] = {"SQ8": {}, "reduced": {}}
    losses, shares, recalls, reduced_memory = [], [], [], []
    whole = small = 0
    for made in prepared:
        judged = made.judged[evaluated(made)]
        scores = {}
        for kind in ("exact", "sq8"):
            store = made.store
            store.reshape(Shape(kind=kind))
            retriever = Retriever(store, made.settings(PRESETS["default"]), embedder=made.embedder)
            runs = []
            for query in judged:
                rows = retriever.rank(query.text, query.vector).rows[:20].tolist()
                runs.append([document.id for document in store.fetch(rows)])
            scores[kind] = quality(runs, [query.gains for query in judged]).ndcg10
            if kind == "exact":
                full = store.memory()
                whole += full
            else:
                shares.append(store.memory() / full)
                small += store.memory()
        made.store.reshape(Shape(kind="exact"))
        losses.append(scores["exact"] - scores["sq8"])
        out["SQ8"][made.name] = {"ndcg10_loss": round(losses[-1], 4), "memory_share": round(shares[-1], 4)}
        queries = _queries(made, 400)
        truth = exact(made.vectors, queries, K)
        reduced = ReducedIndex(made.vectors.shape[1])
        reduced.add(np.arange(len(made.vectors)), made.vectors)
        found = [reduced.search(query, K).keys for query in queries]
        recalls.append(_recall(found, truth))
        reduced_memory.append(reduced.memory() / made.vectors.nbytes)
        out["reduced"][made.name] = {"recall": round(recalls[-1], 4), "memory_share": round(reduced_memory[-1], 4)}
    out["SQ8"] |= {"ndcg10_loss": round(float(np.max(losses)), 4), "memory_share": round(small / max(1, whole), 4)}
    out["reduced"] |= {"recall": round(min(recalls), 4), "memory_share": round(max(reduced_memory), 4)}
    say(f"compression: {out}")
    return out


def deletes(vectors: Matrix, queries: Matrix) -> dict[str, Any]:
    """Half of a graph removed: recall over the rest before and after compaction, ghosts, memory."""
    index = CompactIndex(vectors.shape[1], Shape())
    index.add(np.arange(len(vectors)), vectors)
    before = index.memory()
    gone = np.random.default_rng(23).permutation(len(vectors))[: len(vectors) // 2]
    rest = np.setdiff1d(np.arange(len(vectors)), gone)
    index.remove(gone)
    truth = rest[exact(vectors[rest], queries, K)]
    removed = set(gone.tolist())
    out: dict[str, Any] = {}
    ghosts = 0
    for stage in ("masked", "compacted"):
        if stage == "compacted":
            index.compact()
        found = [index.search(query, K).keys for query in queries]
        ghosts += sum(len(removed.intersection(keys.tolist())) for keys in found)
        out[f"recall_{stage}"] = round(_recall(found, truth), 4)
    out["recall"] = min(out["recall_masked"], out["recall_compacted"])
    out["ghosts"] = ghosts
    out["memory_share"] = round(index.memory() / before, 4)
    say(f"deletes: {out}")
    return out


def _pooled(one: Trial, n: int, other: Trial, m: int) -> float:
    """The lower bound of a setting's recall over the queries of two trials."""
    recall = (n * one.recall + m * other.recall) / (n + m)
    below = ((n * (one.recall - one.lower)) ** 2 + (m * (other.recall - other.lower)) ** 2) ** 0.5 / (n + m)
    return float(recall - below)


def tuned(made: Prepared, quick: bool) -> dict[str, Any]:
    """Chosen on one set of queries, checked on another.

    "The grid's best" is the least latency among settings whose bound reaches the target over all queries of both sets:
    a setting that is above the target on some queries by luck of the draw keeps no promise. Its latency, and that of
    the setting that was chosen, is the lower of the two measurements.
    """
    queries = _queries(made, 1200)
    first = [query.vector for query in made.judged.get("train", [])[: 200 if quick else 1000]]
    known, fresh = (np.stack(first), queries[: 200 if quick else 600]) if first else (queries[::2], queries[1::2])
    clock = RealClock()
    built = build(made.vectors, clock, progress=say)
    grid = measure(made.vectors, known, clock, k=K, built=built)
    check = measure(made.vectors, fresh, clock, k=K, built=built)
    out: dict[str, Any] = {}
    for name in TARGETS:
        target = float(name)
        chosen = choose(target, grid, len(known)).chosen
        seen = next(trial for trial in check if trial.shape == chosen.shape)
        both = [
            (_pooled(a, len(known), b, len(fresh)), min(a.p50_ms, b.p50_ms)) for a, b in zip(grid, check, strict=True)
        ]
        took = min(chosen.p50_ms, seen.p50_ms)
        able = [p50 for bound, p50 in both if bound >= target] or [took]
        out[name] = {
            "recall": round(seen.recall, 4),
            "promised": round(chosen.recall, 4),
            "p50_vs_best": round(took / min(able), 3),
            "p50_ms": round(seen.p50_ms, 3),
            "shape": msgspec.to_builtins(chosen.shape),
            "memory": chosen.memory,
            "build_s": round(chosen.build, 2),
        }
    say(f"tuner: {out}")
    return out


def _recall(found: Sequence[NDArray[np.int64]], truth: NDArray[np.int64]) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, truth, strict=True)]))
