"""`python -m benchmarks.overhead --json [--url URL --pid PID --name NAME] [--quick]`

Direct calls and calls through each system are interleaved in rounds; CPU is that of the system's own process (and its
children). Without a pid, process figures of a foreign system are null.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import uvloop

from benchmarks.arguments import parse
from benchmarks.calibrate import calibrate
from benchmarks.overhead.load import Shot, fire

CONFIG = """
server: {{port: 0}}
backends: {{mock: {{kind: openai, base_url: "http://127.0.0.1:{port}/v1", api_key: key}}}}
models: {{mock-model: {{id: mock-model, backend: mock}}}}
tiers: {{strong: mock-model}}
prices: {prices}
ledger: {{path: {ledger}}}
"""
PRICES = """
models:
  - {id: mock-model, provider: mock, prices: {input: 3, output: 15}}
"""


class System:
    """A gateway under test."""

    def __init__(self, name: str, url: str, pid: int | None, ready: float | None) -> None:
        self.name, self.url, self.ready = name, url, ready
        self.process = psutil.Process(pid) if pid else None
        self.serial = 0
        self.shots: dict[str, list[tuple[Shot, float | None]]] = {}

    def cpu(self) -> float | None:
        if self.process is None:
            return None
        family = [self.process, *self.process.children(recursive=True)]
        return sum(sum(each.cpu_times()[:2]) for each in family)

    async def shoot(self, label: str, requests: int, concurrency: int, **how: Any) -> Shot:
        before = self.cpu()
        shot = await fire(self.url, requests, concurrency, first=self.serial, **how)
        self.serial += requests
        after = self.cpu()
        used = after - before if after is not None and before is not None else None
        self.shots.setdefault(label, []).append((shot, used))
        return shot

    def cpu_per_1k(self, label: str) -> float | None:
        used = [cpu / len(shot.latencies) * 1000 for shot, cpu in self.shots[label] if cpu is not None]
        return round(statistics.median(used), 4) if used else None

    def rps(self, label: str) -> float:
        return round(statistics.median(shot.rps for shot, _ in self.shots[label]), 1)


def installed(folder: str) -> dict[str, str]:
    """The environment of a process whose modules are there as bytecode, as pip leaves them: written to `folder` by the
    first process that imports them, wherever else this machine keeps its own."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": folder}


def launch(command: list[str], environment: dict[str, str]) -> tuple[subprocess.Popen[str], int, float]:
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    return process, int(line.rsplit(":", 1)[-1]), time.perf_counter() - began


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    processes: list[subprocess.Popen[str]] = []
    folder = tempfile.TemporaryDirectory()
    try:
        here = installed(str(Path(folder.name, "bytecode")))
        mock, mock_port, _ = launch([sys.executable, "-m", "benchmarks.overhead.mock"], here)
        processes.append(mock)
        direct = System("direct", f"http://127.0.0.1:{mock_port}", None, None)
        systems = []
        if arguments.url:
            systems.append(System(arguments.name, arguments.url, arguments.pid, None))
        else:
            prices = Path(folder.name, "prices.yaml")
            prices.write_text(PRICES)
            config = Path(folder.name, "hapenny.yaml")
            config.write_text(CONFIG.format(port=mock_port, prices=prices, ledger=Path(folder.name, "ledger.db")))
            serve = [sys.executable, "-m", "hapenny", "serve", "-c", str(config)]
            first, _, _ = launch(serve, here)  # writes the bytecode, and the ledger's tables
            first.terminate()
            first.wait(10)
            ours, port, ready = launch(serve, here)
            processes.append(ours)
            systems.append(System("hapenny", f"http://127.0.0.1:{port}", ours.pid, ready))
        bare, port, ready = launch([sys.executable, "-m", "benchmarks.overhead.bare", str(mock_port)], here)
        processes.append(bare)
        systems.append(System("bare_proxy", f"http://127.0.0.1:{port}", bare.pid, ready))
        return await rounds(direct, systems, quick=arguments.quick)
    finally:
        for process in processes:
            process.terminate()
            process.wait(10)
        folder.cleanup()


async def rounds(direct: System, systems: list[System], *, quick: bool) -> dict[str, Any]:
    size, times = (150, 3) if quick else (600, 7)
    everyone = [direct, *systems]
    for system in everyone:  # warm up
        await fire(system.url, 300, 16, first=10_000_000)
        await fire(system.url, 50, 16, first=10_000_000, stream=True)
        await fire(system.url, 50, 4, same=True)
    kernels = []
    for turn in range(times):
        kernels.append(calibrate(runs=8))
        print(f"round {turn + 1} of {times}", file=sys.stderr)
        for system in everyone:
            await system.shoot("c1", size, 1)
        for system in everyone:
            await system.shoot("c16", size * 4, 16)
        for system in everyone:
            await system.shoot("c64", size * 4, 64)
        for system in everyone:
            await system.shoot("stream_c16", size * 2, 16, stream=True)
        for system in everyone:
            await system.shoot("same", size * 4, 16, same=True)
    failed = {s.name: sum(shot.failed for shots in s.shots.values() for shot, _ in shots) for s in everyone}
    base = _quantiles(direct, "c1")
    report: dict[str, Any] = {"systems": {}}
    for system in systems:
        mine = _quantiles(system, "c1")
        report["systems"][system.name] = {
            "c1": {"added_p50_ms": round(mine[0] - base[0], 4), "added_p99_ms": round(mine[1] - base[1], 4)},
            "c16": {"rps": system.rps("c16")},
            "c64": {"rps": system.rps("c64")},
            "stream_c16": {
                "rps": system.rps("stream_c16"),
                "cpu_ms_per_1k": _ms(system.cpu_per_1k("stream_c16")),
            },
            "cpu_ms_per_1k": _ms(system.cpu_per_1k("c16")),
            "exact_hit_cpu_ms_per_1k": _ms(system.cpu_per_1k("same")),
            "rss_mb": round(system.process.memory_info().rss / 1e6, 1) if system.process else None,
            "ready_s": round(system.ready, 3) if system.ready else None,
            "failed": failed[system.name],
        }
    report["direct_c16_rps"] = direct.rps("c16")
    fastest = max(system.rps("c16") for system in systems)
    report["rps_counts"] = direct.rps("c16") >= 4 * fastest
    by_name = {system.name: system for system in systems}
    if "hapenny" in by_name and "bare_proxy" in by_name:
        ours, bare = by_name["hapenny"].cpu_per_1k("c16"), by_name["bare_proxy"].cpu_per_1k("c16")
        report["cpu_ratio_to_bare_proxy"] = round(ours / bare, 3) if ours and bare else None
        for label, name in (("same", "exact_hit"), ("stream_c16", "stream")):
            ours, bare = by_name["hapenny"].cpu_per_1k(label), by_name["bare_proxy"].cpu_per_1k(label)
            report[f"{name}_cpu_ratio_to_bare_proxy"] = round(ours / bare, 3) if ours and bare else None
    report["calibration"] = _median(kernels)
    report["distributions"] = distributions()
    report["import_s"] = import_time()
    return report


def _quantiles(system: System, label: str) -> tuple[float, float]:
    rows = [sorted(shot.latencies) for shot, _ in system.shots[label]]
    middle = statistics.median(row[len(row) // 2] for row in rows)
    late = statistics.median(row[int(len(row) * 0.99)] for row in rows)
    return middle, late


def _median(rows: list[dict[str, float]]) -> dict[str, float]:
    """The machine's factor over the run (`benchmarks.calibrate`): a bar in ms holds when figure <= bar x it."""
    return {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}


def _ms(seconds: float | None) -> float | None:
    return round(seconds * 1000, 1) if seconds is not None else None


def distributions() -> int:
    """Distributions of a core install, hapenny included: the closure of its requirements without extras."""
    from packaging.requirements import Requirement

    seen: set[str] = set()
    queue = ["hapenny"]
    while queue:
        name = queue.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                queue.append(requirement.name)
    return len(seen)


def import_time() -> float:
    """Median seconds to import all that `serve` loads, in a fresh interpreter over that of an empty one, with bytecode
    as an installation has it."""
    code = "import hapenny.cli.serve, hapenny.backends.openai, hapenny.backends.bedrock, hapenny.backends.anthropic"
    times = []
    with tempfile.TemporaryDirectory() as folder:
        environment = installed(folder)
        for turn in range(8):
            pair = []
            for each in ("pass", code):
                began = time.perf_counter()
                subprocess.run([sys.executable, "-c", each], check=True, env=environment)
                pair.append(time.perf_counter() - began)
            if turn:  # the first one writes the bytecode
                times.append(pair[1] - pair[0])
    return round(statistics.median(times), 3)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.overhead")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--url")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--name", default="other")
    parser.add_argument("--data", help="not needed; taken so that all benchmarks are called alike")
    parser.add_argument("--calls", action="store_true", help="only count the functions that a request runs, by room")
    parser.add_argument("--functions", action="store_true", help="with --calls: name each function")
    arguments = parse(parser)
    if arguments.calls:
        from benchmarks.overhead.calls import count

        report = asyncio.run(count(functions=arguments.functions))
        print(json.dumps(report, indent=None if arguments.json else 2))
        return
    report = uvloop.run(measure(arguments))
    print(json.dumps(report, indent=None if arguments.json else 2))


if __name__ == "__main__":
    main()
