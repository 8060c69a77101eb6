"""`python -m benchmarks.routing --data DIR --json [--train DIR0] [--quick] [--records FILE]`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import parse
from benchmarks.calibrate import calibrate
from benchmarks.routing import data, parameters, promises
from benchmarks.routing.measures import apgr, cpt
from benchmarks.routing.scores import Source, all_scores
from benchmarks.routing.unlike import unlike
from hapenny.routing.intents.features import extract
from hapenny.routing.pareto import dominated
from hapenny.routing.scorer import Reader, fit

EPSILONS = ("0.02", "0.05")
SIZES = (200, 500, 1_000)
KINDS = ("cold", "text", "full")


def label(name: str, weak: str, strong: str) -> str:
    return f"{data.SETS.get(name, name) if name not in ('zeroeval',) else name}:{weak}>{strong}"


def decide_us(source: Source) -> dict[str, float]:
    """Microseconds from the text to the decision over prompts of all sets, and the milliseconds of a fit."""
    pair = max(data.pairs_in(source.tables), key=lambda p: len(source.tables[p[0]].prompts))
    name = pair[0]
    table = source.tables[name]
    few = np.arange(min(1_000, len(table.prompts)))
    began = time.thread_time()
    scorer = fit([table.prompts[i] for i in few], table.score(pair[1])[few], table.score(pair[2])[few], None)
    fit_ms = 1e3 * (time.thread_time() - began)
    reader = Reader(scorer)
    prompts = [p for t in source.tables.values() for p in t.prompts][:: max(1, len(table.prompts) // 3_000)]
    for prompt in prompts[:300]:
        reader.gain(extract(prompt))
    # CPU time of this thread, so that other work on the machine does not count; wall time beside it.
    took, wall = [], []
    for prompt in prompts:
        start, began = time.thread_time_ns(), time.perf_counter_ns()
        reader.gain(extract(prompt))
        took.append(time.thread_time_ns() - start)
        wall.append(time.perf_counter_ns() - began)
    # The same decision again and again, best of many: what an idle core would see.
    middle = sorted(prompts, key=len)[len(prompts) // 2]
    idle = min(_once(reader, middle) for _ in range(2_000))
    return {
        "p50": float(np.quantile(took, 0.5)) / 1e3,
        "p99": float(np.quantile(took, 0.99)) / 1e3,
        "wall_p50": float(np.quantile(wall, 0.5)) / 1e3,
        "wall_p99": float(np.quantile(wall, 0.99)) / 1e3,
        "median_prompt_best": idle / 1e3,
        "fit_1000_rows_ms": fit_ms,
        "calibration_factor": calibrate()["factor"],
    }


def _once(reader: Reader, prompt: str) -> int:
    start = time.perf_counter_ns()
    reader.gain(extract(prompt))
    return time.perf_counter_ns() - start


def run(folder: Path, train: Path | None, quick: bool, records: Path | None) -> dict[str, Any]:
    tables = data.read(folder)
    other = data.read(train) if train else None
    if not data.pairs_in(tables):
        raise SystemExit(f"{folder}: no file with a pair that is measured; wanted one of {', '.join(data.SETS)}")
    here = Source.of(tables, other)
    there = Source.of(other) if other else None
    scores = all_scores(here, there)
    measured: dict[str, dict[str, float]] = {}
    costs80: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for (name, weak, strong), by_kind in scores.items():
        gain = tables[name].score(strong) - tables[name].score(weak)
        measured[label(name, weak, strong)] = {kind: apgr(by_kind[kind], gain) for kind in KINDS}
        for kind in KINDS:
            costs80[kind].append(cpt(by_kind[kind], gain))
        print(label(name, weak, strong), measured[label(name, weak, strong)], file=sys.stderr)
    draws = 100 if quick else 500
    cascades, promised = {}, {}
    for (name, weak, strong), by_kind in scores.items():
        table = tables[name]
        if not {weak, strong} <= set(data.PRICES) or "out_chars" not in table.rows[0]["models"][weak]:
            continue
        loss = np.maximum(table.score(strong) - table.score(weak), 0.0)
        ladder = promises.Ladder(
            label(name, weak, strong), by_kind["full"], loss, table.costs(weak), table.costs(strong), False
        )
        promised[ladder.name] = promises.certificates(ladder, draws, SIZES, EPSILONS, 1)
        print(ladder.name, promised[ladder.name], file=sys.stderr)
    for name, first, second, strong in data.CASCADES:
        if name not in tables or not {first, second, strong} <= set(tables[name].models):
            continue
        table = tables[name]
        key = label(name, f"{first}+{second}", strong)
        cascades[key] = promises.cascade(table, first, second, strong)
        cheaper = cascades[key]["served"]
        same = promises.agreement(table, first, second)
        order = scores.get((name, cheaper, strong)) or scores.get((name, first, strong))
        text = order["full"] if order else np.zeros(len(same))
        ladder = promises.Ladder(
            key,
            text + np.where(same, 0.0, 10.0),
            np.maximum(table.score(strong) - table.score(cheaper), 0.0),
            table.costs(first) + table.costs(second),
            table.costs(strong),
            True,
        )
        promised[key] = promises.certificates(ladder, draws, SIZES, EPSILONS, 2)
        print(key, cascades[key], promised[key], file=sys.stderr)
    drop = []
    for name, table in tables.items():
        priced = [m for m in table.models if m in data.PRICES and "out_chars" in table.rows[0]["models"].get(m, {})]
        found = dominated({m: table.score(m) for m in priced}, {m: float(table.costs(m).mean()) for m in priced})
        drop += [{"set": data.SETS.get(name, name), "model": d.model, "by": d.by, "gap": d.gap} for d in found]
    if records:
        write(records, tables, scores)
    return {
        "apgr": measured,
        "worst": {kind: _worst(measured, kind) for kind in KINDS},
        "unlike": unlike(here, quick),
        "mean": {kind: float(np.mean([m[kind] for m in measured.values()])) for kind in KINDS},
        "cpt80_mean": {kind: float(np.mean(costs80[kind])) for kind in KINDS},
        "parameters": parameters.count(),
        "decide_us": decide_us(here),
        "cascade": cascades,
        "certificate": promised,
        "dominated": drop,
    }


def _worst(measured: dict[str, dict[str, float]], kind: str) -> dict[str, Any]:
    name, figures = min(measured.items(), key=lambda pair: pair[1][kind])
    return {"pair": name, "apgr": figures[kind]}


def write(path: Path, tables: dict[str, data.Table], scores: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    with path.open("w") as out:
        for (name, weak, strong), by_kind in scores.items():
            table = tables[name]
            for i, id in enumerate(table.ids):
                row = {
                    "pair": label(name, weak, strong),
                    "id": id,
                    "weak": float(table.score(weak)[i]),
                    "strong": float(table.score(strong)[i]),
                    **{kind: float(values[i]) for kind, values in by_kind.items()},
                }
                out.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--records", type=Path)
    parser.add_argument("--cache", type=Path, help="accepted for symmetry; not used")
    args = parse(parser)
    print(json.dumps(run(args.data, args.train, args.quick, args.records), indent=None if args.json else 1))


if __name__ == "__main__":
    main()
