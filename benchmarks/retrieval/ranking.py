"""Quality of every method on every collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from benchmarks.retrieval.prepare import Prepared, say
from hapenny.retrieval.search.forest import Forest
from hapenny.retrieval.settings import PRESETS
from hapenny.retrieval.tune.metrics import interval, per_query, quality
from hapenny.retrieval.tune.training import examples, fit

METHODS = {
    "bm25": "bm25",
    "vector": "vector",
    "seed_minmax_07": "seed",
    "rrf": "rrf",
    "untrained": "default",
    "default": "default",
    "bm25_alike": "bm25_alike",
    "learned": "learned",
}
DEPTH = 100


def learn(training: Sequence[Prepared]) -> Forest | None:
    """One ranker over every collection that has training queries."""
    parts = []
    for made in training:
        judged = made.judged.get("train")
        if judged:
            retriever = made.retriever(made.settings(PRESETS["default"]))
            parts.append(examples(retriever, judged))
            say(f"{made.name}: {len(parts[-1].gains)} training rows")
    parts = [part for part in parts if len(part.gains)]
    if not parts:
        return None
    forest = fit(parts)
    say(f"forest: {forest.trees} trees, {len(forest.dump())} bytes")
    return forest


def evaluated(made: Prepared) -> str:
    """The split to report: dev, else whatever is not train, else train."""
    splits = list(made.judged)
    return next((s for s in ["dev", *[s for s in splits if s != "train"], "train"] if s in splits), splits[0])


def measure(made: Prepared, forest: Forest | None, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Metrics by method, and the gain of the default over the single legs with its interval."""
    split = evaluated(made)
    judged = made.judged[split]
    out: dict[str, Any] = {}
    each: dict[str, list[float]] = {}
    for method, preset in METHODS.items():
        if method == "learned" and forest is None:
            continue
        # The seed, the single legs and reciprocal ranks are what others ship: they learn nothing. `untrained` is what a
        # collection without judged queries gets; `bm25_alike` is BM25 with all that `default` learns and adds.
        taught = method in ("default", "learned", "bm25_alike")
        retriever = made.retriever(made.settings(PRESETS[preset]) if taught else PRESETS[preset], forest)
        runs = []
        for query in judged:
            ranked = retriever.rank(query.text, query.vector)
            runs.append([document.id for document in made.store.fetch(ranked.rows[:DEPTH].tolist())])
            records.append({"collection": made.name, "method": method, "query": query.text, "top": runs[-1][:20]})
        gains = [query.gains for query in judged]
        out[method] = quality(runs, gains).plain()
        each[method] = [per_query(run, gain)[0] for run, gain in zip(runs, gains, strict=True)]
        say(f"{made.name} {method}: {out[method]}")
    repaired = made.retriever(made.settings(msgspec.structs.replace(PRESETS["default"], repair=True)))
    runs = []
    for query in judged:
        rows = repaired.rank(query.text, query.vector).rows[:DEPTH].tolist()
        runs.append([document.id for document in made.store.fetch(rows)])
    out["default"]["with_style_repair"] = round(quality(runs, [query.gains for query in judged]).ndcg10, 4)
    single = max(("bm25", "vector"), key=lambda name: float(out[name]["ndcg10"]))
    out["untrained"]["behind_best_in_errors"] = _behind(each)
    for other in dict.fromkeys((single, "seed_minmax_07", "bm25_alike", "rrf")):
        gaps = [a - b for a, b in zip(each["default"], each[other], strict=True)]
        low, high = interval(gaps)
        out["default"][f"over_{other}"] = [round(sum(gaps) / max(1, len(gaps)), 4), round(low, 4), round(high, 4)]
    return out


def _behind(each: dict[str, list[float]]) -> float:
    """How far the untrained default is behind the best of both legs and reciprocal ranks, in standard errors of the
    paired difference (below 0: ahead)."""
    best = max(("bm25", "vector", "rrf"), key=lambda name: float(np.mean(each[name])))
    gaps = np.array(each[best]) - np.array(each["untrained"])
    error = float(gaps.std(ddof=1)) / len(gaps) ** 0.5 if len(gaps) > 1 else 0.0
    return round(float(gaps.mean()) / error, 3) if error else 0.0
