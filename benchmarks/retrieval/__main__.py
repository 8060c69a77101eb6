"""`python -m benchmarks.retrieval --data DIR --json [--train DIR0] [--quick] [--records FILE] [--cache DIR]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import parse
from benchmarks.retrieval import chunks, indexes, live, ranking, rewriting, speed
from benchmarks.retrieval.corpora import find
from benchmarks.retrieval.outside import floors
from benchmarks.retrieval.prepare import Prepared, embedder, prepare, say
from benchmarks.retrieval.steps import steps
from hapenny.retrieval.search.forest import Forest

PARTS = (
    "quality",
    "floor",
    "speed",
    "rivals",
    "filters",
    "compression",
    "pgvector",
    "tuner",
    "deletes",
    "chunk",
    "text",
)


def main() -> None:
    """Runs the parts that the data allows and prints one JSON object as the last line."""
    arguments = _arguments()
    data = Path(arguments.data)
    parts = set(arguments.only.split(",")) if arguments.only else set(PARTS)
    by = embedder(Path(arguments.cache) if arguments.cache else None)
    limit = 25 if arguments.quick else 0
    prepared = [made for folder in find(data) if (made := prepare(folder, by, limit)) is not None]
    if arguments.train:
        training = [made for folder in find(Path(arguments.train)) if (made := prepare(folder, by)) is not None]
        learnt = {made.name: made.noise for made in training}
        for made in prepared:
            made.noise = learnt.get(made.name, ())
    else:
        training = prepared
    out: dict[str, Any] = {}
    records: list[dict[str, Any]] = []
    forest: Forest | None = None
    if "quality" in parts and prepared:
        forest = ranking.learn(training)
        out["quality"] = {made.name: ranking.measure(made, forest, records) for made in prepared}
        out["summary"] = _summary(out["quality"])
    if "floor" in parts and prepared:
        out["floor"] = floors(prepared, by)
    if prepared:
        _indexes(out, parts, prepared, arguments, by)
    if "text" in parts:
        _texts(out, data)
        out["steps"] = steps()
    if arguments.records:
        with open(arguments.records, "w", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
    if arguments.json:
        print(json.dumps(out))
    else:
        json.dump(out, sys.stdout, indent=2)
        print()


def _indexes(
    out: dict[str, Any], parts: set[str], prepared: list[Prepared], arguments: argparse.Namespace, by: Any
) -> None:
    quick = arguments.quick
    main = max(prepared, key=lambda made: len(made.collection.documents))
    if "speed" in parts:
        out["speed"] = {"10k": speed.small(main)}
    if "rivals" in parts:
        out["rivals"] = speed.rivals(main, Path(arguments.rivals), 5 if quick else 15)
    if "compression" in parts:
        out["compression"] = indexes.compression(prepared)
    if "tuner" in parts:
        out["tuner"] = indexes.tuned(main, quick)
    if "pgvector" in parts:
        out["pgvector"] = live.pgvector(main, 50 if quick else 300)
    if "chunk" in parts:
        out["chunk"] = chunks.chunks(main, by, 20 if quick else 120, 100 if quick else 1000)
    if parts & {"speed", "filters", "deletes"}:
        count = 5_000 if quick else 100_000
        figures, store, moved, queries = speed.large(prepared, count)
        if "speed" in parts:
            out["speed"]["100k"] = figures
        few = queries[: 60 if quick else 200]
        if "filters" in parts:
            out["filters"] = indexes.filters(store, moved, few)
        if "deletes" in parts:
            vectors = np.concatenate([made.vectors for made in prepared])
            out["deletes"] = indexes.deletes(vectors, few)


def _texts(out: dict[str, Any], data: Path) -> None:
    found: list[tuple[str, str, Callable[[Path], dict[str, Any]]]] = [
        ("rewrite", "cast*/items*.jsonl.gz", rewriting.rewrites),
        ("decompose", "strategyqa*/items*.jsonl.gz", rewriting.decompositions),
    ]
    for name, pattern, measure in found:
        paths = sorted(data.glob(pattern))
        if paths:
            out[name] = measure(paths[0])


def _summary(quality: dict[str, Any]) -> dict[str, float]:
    """Mean gain of the default over the better single leg, over the seed's fusion and over BM25 with the same noise
    words and rules; and how far the untrained default is behind the best of both legs and reciprocal ranks where it is
    furthest, in standard errors."""
    single, seed, alike, behind = [], [], [], []
    for methods in quality.values():
        default = methods["default"]["ndcg10"]
        single.append(default - max(methods["bm25"]["ndcg10"], methods["vector"]["ndcg10"]))
        seed.append(default - methods["seed_minmax_07"]["ndcg10"])
        alike.append(default - methods["bm25_alike"]["ndcg10"])
        behind.append(methods["untrained"]["behind_best_in_errors"])
    out = {
        "over_single": round(float(np.mean(single)), 4),
        "over_seed": round(float(np.mean(seed)), 4),
        "over_bm25_alike": round(float(np.mean(alike)), 4),
        "untrained_behind_best_in_errors": max(behind),
    }
    say(f"summary: {out}")
    return out


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.retrieval", description=__doc__)
    parser.add_argument("--data", required=True, help="folder with collections")
    parser.add_argument("--train", help="folder whose queries_train are learnt from instead of --data's")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--quick", action="store_true", help="a slice")
    parser.add_argument("--records", help="file for one line per decision")
    parser.add_argument("--cache", help="folder of cached vectors")
    parser.add_argument("--only", help=f"parts, comma-separated: {', '.join(PARTS)}")
    parser.add_argument("--rivals", default=".venv-rivals/bin/python", help="the rivals' Python (make rivals)")
    return parse(parser)


if __name__ == "__main__":
    main()
