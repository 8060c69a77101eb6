"""`python -m benchmarks.overhead --json [--url URL --pid PID --name NAME] [--quick] [--full] [--calls]`

Direct calls and calls through each system are interleaved in rounds; CPU is that of the system's own process (and its
children). Beside hapenny stand a bare proxy (uvicorn and aiohttp), the floor of the interpreter (plain callbacks), and
what `make rivals` has installed: nginx, Envoy, smg, Portkey, LiteLLM, each with a tenth of the calls. Without a pid,
process figures of a foreign system are null. The top level and `systems.NAME` are bodies of 3 KB; `--full` adds the
matrix of sizes and connections, and takes its time.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.arguments import parse
from benchmarks.overhead.rounds import environment_of, matrix, profile, rounds
from benchmarks.overhead.systems import System, hapenny, installed, launch, rivals, start_rival


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    processes: list[subprocess.Popen[Any]] = []
    folder = tempfile.TemporaryDirectory()
    place = Path(folder.name)
    try:
        here = environment_of(place)
        mock, mock_port, _ = launch([sys.executable, "-m", "benchmarks.overhead.mock"], here)
        processes.append(mock)
        direct = System("direct", f"http://127.0.0.1:{mock_port}", None, None)
        systems: list[System] = []
        missing: dict[str, str] = {}
        if arguments.url:
            systems.append(System(arguments.name, arguments.url, arguments.pid, None))
        else:
            serve = hapenny(place, mock_port, here)
            first, _, _ = launch(serve, here)  # writes the bytecode, and the ledger's tables
            first.terminate()
            first.wait(10)
            ours, port, ready = launch(serve, here)
            processes.append(ours)
            systems.append(System("hapenny", f"http://127.0.0.1:{port}", ours.pid, ready))
        for name, module in (("bare_proxy", "bare"), ("callback_proxy", "callback")):
            proxy, port, ready = launch([sys.executable, "-m", f"benchmarks.overhead.{module}", str(mock_port)], here)
            processes.append(proxy)
            systems.append(System(name, f"http://127.0.0.1:{port}", proxy.pid, ready))
        for name, (port, rival) in rivals(place, mock_port).items():
            started = await start_rival(name, port, rival, place / f"{name}.log")
            if isinstance(started, str):
                missing[name] = started
                print(f"{name}: {started}", file=sys.stderr)
                continue
            processes.append(started[0])
            systems.append(started[1])
        report = await rounds(direct, systems, quick=arguments.quick)
        report["distributions"] = distributions()
        report["import_s"] = import_time()
        report["not_started"] = missing
        if not arguments.url:
            sampled = await profile(mock_port, here, quick=arguments.quick)
            report["cpu_by_room"], report["cpu_by_function"] = sampled["rooms"], sampled["functions"]
            if arguments.full:
                report["matrix"] = await matrix(system for system in systems if system.share == 1.0)
        return report
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
        folder.cleanup()


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
    parser.add_argument("--full", action="store_true", help="the matrix of sizes and connections, too")
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
