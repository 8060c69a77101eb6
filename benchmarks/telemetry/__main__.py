"""`python -m benchmarks.telemetry --json [--quick] [--turns N] [--requests N]`

What telemetry costs: gateways that differ in it alone serve the same calls before the same mock provider, in turns, in
an order that changes from turn to turn. `nothing` keeps no ledger; `books` keeps it with its roll-ups; `sampled` adds
spans (one request in a hundred, and each slow, failed or costly one), GenAI metrics and EMF; `everything` has a span
of every request. Metrics for Prometheus are kept by all, and read from each once a turn.

A share is of requests a second, in pairs of one turn: 1 - (requests/s with / without), at 16 connections, which keep
the process busy; its interval (95 %) is over the turns. `cpu_share` is the same of the processor time of the gateway's
process for each request: on a machine that others use too it is the steadier of both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.arguments import parse
from benchmarks.overhead.load import fire
from benchmarks.overhead.rounds import environment_of
from benchmarks.overhead.systems import CONFIG, PRICES, System, launch

LIMIT = 0.03
CONNECTIONS = 16
_Z = 1.96
KINDS: dict[str, str] = {
    "nothing": "ledger: null\n",
    "books": "",
    "sampled": "traces: {{endpoint: '{sink}/v1/traces', metrics: '{sink}/v1/metrics', sample: 0.01}}\n"
    "emf: {{path: '{folder}/emf'}}\n",
    "everything": "traces: {{endpoint: '{sink}/v1/traces', metrics: '{sink}/v1/metrics', sample: 1.0}}\n"
    "emf: {{path: '{folder}/emf'}}\n",
}


def configured(kind: str, folder: Path, mock: int, sink: int) -> Path:
    """The file of a gateway with so much telemetry."""
    prices = folder / "prices.yaml"
    prices.write_text(PRICES)
    text = CONFIG.format(port=mock, prices=prices, ledger=folder / "ledger.db")
    if kind == "nothing":
        text = "\n".join(line for line in text.splitlines() if not line.startswith("ledger:")) + "\n"
    file = folder / "hapenny.yaml"
    file.write_text(text + KINDS[kind].format(sink=f"http://127.0.0.1:{sink}", folder=folder))
    return file


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All turns; the report."""
    processes: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory(prefix="hapenny-telemetry-", ignore_cleanup_errors=True) as place:
        here = environment_of(Path(place))
        try:
            mock, mock_port, _ = launch([sys.executable, "-m", "benchmarks.overhead.mock"], here)
            processes.append(mock)
            sink, sink_port, _ = launch([sys.executable, "-m", "benchmarks.telemetry.sink"], here)
            processes.append(sink)
            systems = []
            for kind in KINDS:
                folder = Path(place, kind)
                folder.mkdir()
                file = configured(kind, folder, mock_port, sink_port)
                process, port, ready = launch([sys.executable, "-m", "hapenny", "serve", "-c", str(file)], here)
                processes.append(process)
                systems.append(System(kind, f"http://127.0.0.1:{port}", process.pid, ready))
            return await turns(systems, arguments.turns, arguments.requests)
        finally:
            for process in reversed(processes):  # gateways before what they report to
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(10)


async def turns(systems: list[System], times: int, requests: int) -> dict[str, Any]:
    """The same calls to each, turn by turn."""
    dice = random.Random(18)
    for system in systems:
        await fire(system.url, max(200, requests // 4), CONNECTIONS, first=50_000_000)
    for turn in range(times):
        for system in dice.sample(systems, len(systems)):
            await scrape(system.url)
            for label, how in (("call", {}), ("stream", {"stream": True})):
                share = 1 if label == "call" else 2
                await system.shoot(label, requests // share, CONNECTIONS, **how)
            await asyncio.sleep(1.2)  # what is written in batches is written before the next one is measured
        print(f"turn {turn + 1} of {times}", file=sys.stderr)
    plain = systems[0]
    report: dict[str, Any] = {"turns": times, "requests_a_turn": requests, "limit": LIMIT, "systems": {}}
    for system in systems:
        told: dict[str, Any] = {"failed": sum(s.failed for each in system.shots.values() for s, _ in each)}
        for label in system.shots:
            told[label] = {"rps": system.rps(label), "cpu_ms_per_1k": round(1e3 * (system.cpu_per_1k(label) or 0), 1)}
            if system is not plain:
                pairs = list(zip(system.shots[label], plain.shots[label], strict=True))
                told[label]["share"] = interval([1 - ours.rps / theirs.rps for (ours, _), (theirs, _) in pairs])
                told[label]["cpu_share"] = interval(
                    [
                        (mine / len(ours.latencies)) / (other / len(theirs.latencies)) - 1
                        for (ours, mine), (theirs, other) in pairs
                        if mine and other
                    ]
                )
        report["systems"][system.name] = told
    for kind in ("books", "sampled", "everything"):
        report[f"{kind}_share"] = report["systems"][kind]["call"]["share"]["median"]
        report[f"{kind}_cpu_share"] = report["systems"][kind]["call"]["cpu_share"]["median"]
    report["holds"] = max(report["everything_share"], report["everything_cpu_share"]) <= LIMIT
    report["sampled_holds"] = max(report["sampled_share"], report["sampled_cpu_share"]) <= LIMIT
    return report


def interval(values: list[float]) -> dict[str, float]:
    """Median, and the mean with its 95 % interval."""
    mean = statistics.fmean(values)
    error = _Z * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return {
        "median": round(statistics.median(values), 4), "mean": round(mean, 4), "low": round(mean - error, 4),
        "high": round(mean + error, 4),
    }  # fmt: skip


async def scrape(url: str) -> None:
    """Reads the metrics as Prometheus does."""
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        await answer.read()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.telemetry")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="4 turns of 400 requests")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--requests", type=int, default=1_500)
    parser.add_argument("--data", help="not needed; taken so that all benchmarks are called alike")
    arguments = parse(parser)
    if arguments.quick:
        arguments.turns, arguments.requests = 4, 400
    report = uvloop.run(measure(arguments))
    print(json.dumps(report, indent=None if arguments.json else 2))


if __name__ == "__main__":
    main()
