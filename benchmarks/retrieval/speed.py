"""Latency of hybrid top-5, alone and beside peers."""

from __future__ import annotations

import gc
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.retrieval.prepare import Prepared, say
from benchmarks.retrieval.ranking import evaluated
from hapenny.core.clock import RealClock
from hapenny.retrieval.documents import Matrix
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.settings import PRESETS
from hapenny.retrieval.stores.embedded import EmbeddedStore
from hapenny.retrieval.tune.index_shape import exact
from hapenny.retrieval.tune.metrics import quality
from hapenny.retrieval.tune.training import Judged
from hapenny.vectors.embedder import unit
from hapenny.vectors.minilm import MiniLM

PEERS = ("txtai", "lancedb", "llamaindex", "haystack")
K = 5
TURN = 10
"""Queries of one turn beside a peer: both feel the same moments of the machine."""


def latencies(
    retriever: Retriever, judged: Sequence[Judged], rounds: int = 2, warm: int = 20
) -> tuple[list[float], list[float]]:
    """Milliseconds of rank + documents of the best five after a warm-up: on the clock, and of this process's CPU."""
    for query in judged[:warm]:
        ranked = retriever.rank(query.text, query.vector)
        retriever.hits(ranked, range(min(K, len(ranked))))
    gc.collect()
    gc.freeze()
    spent, busy = [], []
    for _ in range(rounds):
        for query in judged:
            started, working = time.perf_counter(), time.process_time()
            ranked = retriever.rank(query.text, query.vector)
            retriever.hits(ranked, range(min(K, len(ranked))))
            spent.append((time.perf_counter() - started) * 1e3)
            busy.append((time.process_time() - working) * 1e3)
    gc.unfreeze()
    return spent, busy


def quantiles(spent: Sequence[float], busy: Sequence[float] = ()) -> dict[str, float]:
    """p50 and p99, and the median CPU time, which a busy machine changes less."""
    out = {"p50_ms": round(float(np.median(spent)), 3), "p99_ms": round(float(np.percentile(spent, 99)), 3)}
    return out | ({"cpu_p50_ms": round(float(np.median(busy)), 3)} if len(busy) else {})


def small(made: Prepared) -> dict[str, Any]:
    """The collection as it is; with the learned ranker's features and local embedding apart."""
    judged = made.judged[evaluated(made)][:400]
    retriever = made.retriever(made.settings(PRESETS["default"]))
    out: dict[str, Any] = {"documents": len(made.collection.documents)} | quantiles(*latencies(retriever, judged))
    model = MiniLM(RealClock())
    model.encode(["warm"])
    spent = []
    for query in judged[:200]:
        started = time.perf_counter()
        ranked = retriever.rank(query.text, model.encode([query.text])[0])
        retriever.hits(ranked, range(min(K, len(ranked))))
        spent.append((time.perf_counter() - started) * 1e3)
    out["with_embedding"] = quantiles(spent)
    say(f"10k: {out}")
    return out


def large(prepared: Sequence[Prepared], count: int) -> tuple[dict[str, Any], EmbeddedStore, Matrix, Matrix]:
    """`count` resampled documents with perturbed vectors: for speed only. Returns the store for the index tests."""
    chance = np.random.default_rng(29)
    documents = [document for made in prepared for document in made.collection.documents]
    vectors = np.concatenate([made.vectors for made in prepared])
    picks = chance.integers(0, len(documents), count)
    length = _noise(vectors)
    noise = chance.normal(size=(count, vectors.shape[1])).astype(np.float32) * (length / vectors.shape[1] ** 0.5)
    moved = unit(vectors[picks] + noise)
    store = EmbeddedStore(vectors.shape[1], "en")
    started = time.perf_counter()
    for start in range(0, count, 10_000):
        part = range(start, min(count, start + 10_000))
        renamed = [msgspec.structs.replace(documents[picks[i]], id=str(i)) for i in part]
        store.upsert(renamed, moved[part.start : part.stop])
    store.commit()
    built = time.perf_counter() - started
    judged = [query for made in prepared for query in made.judged[evaluated(made)][:200]]
    judged = [judged[i] for i in chance.permutation(len(judged))]
    queries = np.stack([query.vector for query in judged])
    truth = exact(moved, queries, 10) + 1
    found = [store.vector(query, 10).rows for query in queries]
    recall = float(np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, truth, strict=True)]))
    retriever = Retriever(store, PRESETS["default"])
    out: dict[str, Any] = {"documents": count} | quantiles(*latencies(retriever, judged))
    out |= {"vector_recall": round(recall, 4), "build_s": round(built, 1), "index": store.shape.kind}
    say(f"100k: {out}")
    return out, store, moved, queries


def _noise(vectors: Matrix) -> float:
    """Length of the noise that puts a copy as near to its original as a document's real nearest neighbour is."""
    sample = vectors[:: max(1, len(vectors) // 500)]
    near = sample @ vectors.T
    near[near > 0.999] = -1.0
    cosine = float(np.clip(np.median(near.max(axis=1)), 0.3, 0.95))
    return float((1.0 / cosine - 1.0) ** 0.5)


def rivals(made: Prepared, python: Path, seconds: float) -> dict[str, Any]:
    """Every installed peer on this collection, taking turns with ours on the same few queries."""
    if not python.exists():
        say("rivals: no environment; run `make rivals`")
        return {}
    judged = made.judged[evaluated(made)][:400]
    texts = [document.searchable() for document in made.collection.documents]
    retriever = made.retriever(made.settings(PRESETS["default"]))
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        arrays, strings = Path(folder) / "vectors.npz", Path(folder) / "texts.json"
        np.savez(arrays, vectors=made.vectors, queries=np.stack([query.vector for query in judged]))
        held = {"texts": texts, "queries": [query.text for query in judged]}
        strings.write_text(json.dumps(held), encoding="utf-8")
        for name in PEERS:
            command = [str(python), str(Path(__file__).with_name("peers.py")), name, str(arrays), str(strings)]
            out[name] = _beside(command, made, retriever, judged, seconds)
            say(f"{name}: {out[name]}")
    return out


def _beside(
    command: Sequence[str], made: Prepared, retriever: Retriever, judged: Sequence[Judged], seconds: float
) -> dict[str, Any]:
    """One peer's process and ours in turns of a few queries, for `seconds` of searching in all."""
    ids = [document.id for document in made.collection.documents]
    theirs: dict[str, list[Any]] = {"ms": [], "cpu_ms": [], "tops": []}
    mine: list[float] = []
    working: list[float] = []
    with tempfile.TemporaryFile("w+") as errors:
        peer = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1
        )
        assert peer.stdin is not None
        assert peer.stdout is not None
        with peer:
            line = peer.stdout.readline()
            while line and line.strip() != "ready":
                line = peer.stdout.readline()
            latencies(retriever, judged[:3], 1)
            limit = time.perf_counter() + seconds
            for start in range(0, len(judged), TURN):
                part = judged[start : start + TURN]
                spent, busy = latencies(retriever, part, 1, warm=0)
                mine, working = mine + spent, working + busy
                told = _turn(peer, start, start + len(part)) if line else None
                if told is None:
                    break
                for key, values in theirs.items():
                    values.extend(told[key])
                if time.perf_counter() > limit:
                    break
            peer.stdin.close()
        if not theirs["ms"]:
            errors.seek(0)
            return {"error": errors.read().strip().splitlines()[-1:] or ["no output"]}
    count = len(theirs["ms"])
    gains = [query.gains for query in judged[:count]]
    runs = [[ids[i] for i in top] for top in theirs["tops"]]
    # Rows of a store start at 1.
    ours = [[ids[row - 1] for row in retriever.rank(q.text, q.vector).rows[:10]] for q in judged[:count]]
    return {
        **quantiles(theirs["ms"], theirs["cpu_ms"]),
        "ndcg10": round(quality(runs, gains).ndcg10, 4),
        "hapenny_p50_ms": round(float(np.median(mine)), 3),
        "hapenny_ndcg10": round(quality(ours, gains).ndcg10, 4),
        "hapenny_cpu_p50_ms": round(float(np.median(working)), 3),
        "times_slower": round(float(np.median(theirs["ms"]) / np.median(mine)), 1),
        "times_slower_cpu": round(float(np.median(theirs["cpu_ms"]) / np.median(working)), 1),
        "queries": count,
    }


def _turn(peer: subprocess.Popen[str], first: int, last: int) -> dict[str, list[Any]] | None:
    """The peer's searches of some queries; None if it is gone."""
    assert peer.stdin is not None
    assert peer.stdout is not None
    try:
        peer.stdin.write(f"{first} {last}\n")
        peer.stdin.flush()
    except BrokenPipeError:
        return None
    for line in peer.stdout:
        if line.startswith("{"):
            found: dict[str, list[Any]] = json.loads(line)
            return found
    return None
