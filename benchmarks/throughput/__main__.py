"""`python -m benchmarks.throughput --data DIR --json [--quick] [--records FILE]`: DIR is the folder of traces."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.arguments import parse
from benchmarks.throughput import faults, quota, server
from benchmarks.throughput.traces import find, read
from hapenny.throughput.concurrency import FixedLimit

SEED = 20_261_120
LOADS = {"1.5x": 1.5, "3x": 3.0}
SERVER_LOADS = {"0.8x": 0.8, "1x": 1.0, "1.5x": 1.5, "2x": 2.0, "outputs_double": 1.0}


def _quota_cell(path: Path, count: int, load: float, window: quota.Window, policy: str) -> dict[str, float]:
    rows = read(path)[:count]
    if policy == "shared4":
        return quota.shared(rows, load, window, SEED)
    if policy == "unknown":
        return quota.unknown(rows, load, window, SEED)
    return quota.compare(rows, load, window, policy, SEED)


def _server_cell(path: Path, count: int, seconds: float, name: str, load: float, kind: str) -> dict[str, float]:
    rows = server.at_rate(read(path)[:count], load, seconds)
    if name == "outputs_double":
        rows = server.doubled(rows)
    if kind.isdigit():
        return server.goodput(rows, lambda _: FixedLimit(int(kind)), SEED)
    return server.goodput(rows, server.KINDS[kind], SEED)


def _capacity(path: Path, count: int, seconds: float) -> float:
    return server.capacity(read(path)[:count], seconds, SEED)


def main() -> None:
    """Runs all sections; the last line of standard output is the JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--records", type=Path)
    options = parse(parser)
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", file=sys.stderr, flush=True)

    path = find(options.data, "azure2023_conv", "azure2023_code", "mooncake_conversation")
    count = 4_000 if options.quick else 20_000
    seconds = 300.0 if options.quick else 900.0
    rows = read(path)[:count]
    say(f"{len(rows)} requests of {path.name}")
    records: list[dict[str, Any]] = []
    # Before the worker processes start, so that it has a core to itself.
    result: dict[str, Any] = {"overhead_us": faults.overhead(5_000 if options.quick else 20_000)}
    say(f"overhead {result['overhead_us']}")
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        capacity = pool.submit(_capacity, path, count, seconds / 2)
        cells = {
            (load, window, policy): pool.submit(_quota_cell, path, count, factor, window, policy)
            for load, factor in LOADS.items()
            for window in quota.WINDOWS
            for policy in (*quota.POLICIES, "shared4", "unknown")
        }
        best = capacity.result()
        say(f"a server's capacity within the SLO: {best:.3f} answers/s")
        kinds = [*server.KINDS, *(str(n) for n in server.FIXED)]
        servers = {
            (name, kind): pool.submit(_server_cell, path, count, seconds, name, load * best, kind)
            for name, load in SERVER_LOADS.items()
            for kind in kinds
        }
        table: dict[str, dict[str, dict[str, Any]]] = {}
        spread: dict[str, list[dict[str, float]]] = {"shared4": [], "unknown": []}
        for (load, window, policy), cell in cells.items():
            figures = cell.result()
            records.append({"section": "quota", "load": load, "window": window, "policy": policy, **figures})
            say(f"{load} {window} {policy}: {figures}")
            if policy in spread:
                spread[policy].append(figures)
            else:
                table.setdefault(load, {}).setdefault(window, {})[policy] = figures
        result["quota"] = table
        for key, policy in (("shared4", "shared4"), ("unknown_quota", "unknown")):
            # One figure each, as the issue names them: the worst of all loads and windows.
            result[key] = {
                "used": min(f["used"] for f in spread[policy]),
                "upstream_429_share": max(f["upstream_429_share"] for f in spread[policy]),
                "shed_with_quota_left": max(f["shed_with_quota_left"] for f in spread[policy]),
                "p99_s": max(f["p99_s"] for f in spread[policy]),
            }
        result["server"] = {}
        for name in SERVER_LOADS:
            found = {kind: servers[name, kind].result() for kind in kinds}
            for kind, figures in found.items():
                records.append({"section": "server", "load": name, "limit_kind": kind, **figures})
            fixed = {kind: f["goodput"] for kind, f in found.items() if kind.isdigit()}
            row: dict[str, Any] = {kind: round(found[kind]["goodput"], 4) for kind in server.KINDS}
            row["best_fixed"] = round(max(fixed.values()), 4)
            row["best_fixed_limit"] = int(max(fixed, key=lambda kind: fixed[kind]))
            row["hapenny_ratio"] = round(row["hapenny"] / row["best_fixed"], 4)
            result["server"][name] = row
            say(f"server {name}: {row}")
    drift = quota.drift(rows, SEED, 2_000 if options.quick else 10_000)
    result["drift_share"] = drift["drift_share"]
    result["drift_level_gap_share"] = drift["level_gap_share"]
    result["outage"] = faults.outage(rows, SEED)
    result["hedge"] = faults.hedging(rows, SEED)
    result["microbatch"] = faults.microbatch(SEED)
    for key in ("drift_share", "outage", "hedge", "microbatch"):
        records.append({"section": key, "figures": result[key]})
        say(f"{key}: {result[key]}")
    result["trace"], result["seed"], result["seconds"] = path.name, SEED, round(time.monotonic() - started, 1)
    if options.records:
        options.records.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
