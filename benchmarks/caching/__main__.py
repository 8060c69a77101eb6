"""python -m benchmarks.caching --data DIR --json [--quick] [--records FILE] [--cache DIR] [--train DIR0]

`--train` is accepted and changes nothing: the cache learns from its own stream alone and ships no fitted weights.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.arguments import parse
from benchmarks.cached_embedder import CachedEmbedder
from benchmarks.caching import cases, data, eviction, http, prefix, rivals, speed, turns
from benchmarks.caching.replay import Run, replay
from hapenny.caching.semantic.decider import Promise
from hapenny.core.clock import RealClock
from hapenny.vectors import Embedder, HashedEmbedder
from hapenny.vectors.minilm import MiniLM
from hapenny.vectors.weights import ModelMissing, find_model

DELTAS = ("0.005", "0.01", "0.02", "0.05")
NOISY = ("0.01", "0.02")
THRESHOLDS = ("0.70", "0.80", "0.85", "0.90", "0.95")
NOISE = 0.05


def runs(quick: bool) -> dict[tuple[str, str], Callable[[data.Stream, list[dict[str, Any]] | None], Run]]:
    """Every replay of a stream, by section and DELTA or THRESHOLD."""
    out: dict[tuple[str, str], Callable[[data.Stream, list[dict[str, Any]] | None], Run]] = {}

    def ours(section: str, delta: str, wrong_hits: float | None, noise: float) -> None:
        promise = Promise(max_error=float(delta), max_wrong_hits=wrong_hits)
        out[section, delta] = lambda stream, records: replay(
            stream, promise, noise=noise, records=records, tag=f"{section}:{delta}"
        )

    for delta in NOISY if quick else DELTAS:
        ours("semantic", delta, None, 0.0)
        ours("semantic_both_limits", delta, 0.05, 0.0)
        out["vcache", delta] = lambda stream, records, d=float(delta): rivals.per_entry(stream, d)  # type: ignore[misc]
    for delta in NOISY:
        ours("judge_noise_5pct", delta, None, NOISE)
        out["rivals_noise_5pct", delta] = lambda stream, records, d=float(delta): rivals.per_entry(  # type: ignore[misc]
            stream, d, noise=NOISE
        )
    for threshold in THRESHOLDS:
        out["static", threshold] = lambda stream, records, t=float(threshold): rivals.static(stream, t)  # type: ignore[misc]
    return out


def job(order: tuple[data.Stream, bool, bool]) -> tuple[str, dict[tuple[str, str], Run], list[dict[str, Any]]]:
    """All replays of one order of one set, in a process of its own."""
    stream, quick, keep = order
    records: list[dict[str, Any]] | None = [] if keep else None
    began = time.perf_counter()
    done = {name: run(stream, records) for name, run in runs(quick).items()}
    print(f"{stream.name} order {stream.order}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return stream.name, done, records or []


def figures(found: list[Run]) -> dict[str, float]:
    """Means over the orders, and the worst order's error."""
    hits, wrong = sum(run.hits for run in found), sum(run.wrong for run in found)
    return {
        "hit": round(sum(run.hit for run in found) / len(found), 4),
        "err": round(sum(run.err for run in found) / len(found), 5),
        "worst_order_err": round(max(run.err for run in found), 5),
        "wrong_per_hit": round(wrong / hits, 4) if hits else 0.0,
        "labels_used": round(sum(run.labels for run in found) / len(found)),
        "labels_per_hit": round(sum(run.labels for run in found) / hits, 3) if hits else 0.0,
    }


def _ratios(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Our hits over vCache's by set and DELTA, where it has any."""
    return {
        name: {
            delta: round(ours[name][delta]["hit"] / rival["hit"], 3)
            for delta, rival in by_delta.items()
            if rival["hit"] and delta in ours.get(name, {})
        }
        for name, by_delta in theirs.items()
    }


def say(text: str) -> None:
    """Progress."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def embedder(cache: str | None) -> tuple[Embedder, Embedder]:
    """The local model (hashed features where it is not installed), with and without a vector cache."""
    fresh: Embedder
    try:
        find_model()
        fresh = MiniLM(RealClock())
    except ModelMissing as missing:
        print(f"{missing}; using hashed features", file=sys.stderr)
        fresh = HashedEmbedder(384)
    return (CachedEmbedder(fresh, Path(cache)) if cache else fresh), fresh


async def prepare(found: dict[str, list[dict[str, Any]]], quick: bool, model: Embedder) -> list[data.Stream]:
    """Every order of every labelled set, largest sets first."""
    sets = [questions for name, rows in found.items() if (questions := data.questions(name, rows, quick))]
    sets.sort(key=lambda questions: -len(questions.texts))
    streams = []
    for questions in sets:
        began = time.perf_counter()
        await model.embed(questions.texts)
        print(f"{questions.name}: vectors {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        streams += [await data.stream(questions, order, model) for order in range(1 if quick else data.ORDERS)]
    return streams


def main() -> None:
    """Prints one JSON object as the last line."""
    parser = argparse.ArgumentParser(prog="benchmarks.caching", description=__doc__)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--records", type=Path)
    parser.add_argument("--cache")
    parser.add_argument("--train", type=Path)
    options = parse(parser)
    found = {name: rows for name, path in data.files(options.data).items() if (rows := data.rows(path))}
    model, fresh = embedder(options.cache)
    out: dict[str, Any] = {
        "semantic": {},
        "semantic_both_limits": {},
        "rivals": {},
        "rivals_noise_5pct": {},
        "judge_noise_5pct": {},
        "embedder": fresh.name,
    }
    streams = asyncio.run(prepare(found, options.quick, model))
    if streams:
        out.update(asyncio.run(speed.measure(streams[0], model, fresh)))
        say("speed done")
    jobs = [(stream, options.quick, options.records is not None) for stream in streams]
    gathered: dict[tuple[str, str, str], list[Run]] = {}
    records: list[dict[str, Any]] = []
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for name, done, kept in pool.imap_unordered(job, jobs):
            records += kept
            for (section, key), run in done.items():
                gathered.setdefault((section, name, key), []).append(run)
    for (section, name, key), group in sorted(gathered.items()):
        if section in ("static", "vcache"):
            place = out["rivals"].setdefault(name, {}).setdefault(section, {})
            shown = ("hit", "err", "worst_order_err", "wrong_per_hit", "labels_per_hit")
            place[key] = {figure: value for figure, value in figures(group).items() if figure in shown}
        else:
            out[section].setdefault(name, {})[key] = figures(group)
    exact_labels = {name: rivals_of.get("vcache", {}) for name, rivals_of in out["rivals"].items()}
    out["hits_against_vcache"] = _ratios(out["semantic"], exact_labels)
    out["hits_against_vcache_noise_5pct"] = _ratios(out["judge_noise_5pct"], out["rivals_noise_5pct"])
    for rows in found.values():
        if "state" in rows[0]:
            out["multi_turn"] = turns.measure(rows)
            say("multi_turn done")
        elif "hash_ids" in rows[0]:
            out["prefix"] = prefix.measure(rows, options.quick)
            say("prefix done")
    out["prefix_cases"] = cases.measure(options.quick)
    say("prefix_cases done")
    out["eviction"] = eviction.measure(found, options.quick)
    say("eviction done")
    out["exact_hit_ms"] = asyncio.run(http.measure())
    if options.records is not None:
        options.records.write_text("".join(json.dumps(record) + "\n" for record in records))
    print(json.dumps(out))


if __name__ == "__main__":
    main()
