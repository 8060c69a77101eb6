"""What is measured, and in which order: every system gets the same calls in the same round, one after the other."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.calibrate import calibrate
from benchmarks.overhead.load import fire
from benchmarks.overhead.systems import System, hapenny, installed, launch

SIZES_KB = (0.3, 18.0, 300.0)
"""Bodies beside those of 3 KB."""
CONNECTIONS = (1, 4, 16, 64, 256, 512)
_OWN = ("hapenny", "bare_proxy", "callback_proxy")


async def rounds(direct: System, systems: list[System], *, quick: bool) -> dict[str, Any]:
    """The report of all systems at 3 KB, with streams of 20 and 200 chunks; of our own and the floors other sizes."""
    size, times = (100, 3) if quick else (300, 5)
    everyone = [direct, *systems]
    warm = 100 if quick else 300
    for system in everyone:
        few = max(10, round(warm * system.share))
        await fire(system.url, few, 16, first=10_000_000, headers=system.headers)
        await fire(system.url, max(5, few // 6), 16, first=10_000_000, stream=True, headers=system.headers)
        await fire(system.url, max(5, few // 6), 4, same=True, headers=system.headers)
    own = [system for system in systems if system.name in _OWN]
    ours = [system for system in systems if system.name == "hapenny"]
    kernels = []
    for turn in range(times):
        kernels.append(calibrate(runs=8))
        print(f"round {turn + 1} of {times}", file=sys.stderr)
        for label, requests, connections, how in (
            ("c1", size, 1, {}),
            ("c16", size * 5, 16, {}),
            ("c64", size * 5, 64, {}),
            ("stream_c16", size * 2, 16, {"stream": True}),
            ("stream_200", max(20, size // 3), 16, {"stream": True, "chunks": 200}),
            ("same", size * 5, 16, {"same": True}),
        ):
            for system in everyone:
                await system.shoot(label, requests, connections, **how)
        for kb in SIZES_KB:
            for system in own:
                await system.shoot(f"{kb:g} KB", size // (4 if kb > 100 else 1), 16, kb=kb)
        for system in ours:
            await system.shoot("bedrock_stream", size, 16, stream=True, model="claude")
    report: dict[str, Any] = {"systems": {system.name: figures(system, direct) for system in systems}}
    report["direct_c16_rps"] = direct.rps("c16")
    report["rps_counts"] = direct.rps("c16") >= 4 * max(system.rps("c16") for system in systems)
    report.update(ratios({system.name: system for system in systems}))
    report["calibration"] = {name: round(statistics.median(row[name] for row in kernels), 3) for name in kernels[0]}
    return report


def figures(system: System, direct: System) -> dict[str, Any]:
    """One system's."""
    base, mine, crowd = direct.quantiles("c1"), system.quantiles("c1"), system.quantiles("c64")
    twenty, many = system.cpu_per_1k("stream_c16"), system.cpu_per_1k("stream_200")
    return {
        "c1": {"added_p50_ms": round(mine[0] - base[0], 4), "added_p99_ms": round(mine[1] - base[1], 4)},
        "c16": {"rps": system.rps("c16")},
        "c64": {"rps": system.rps("c64"), "p50_ms": round(crowd[0], 3), "p99_ms": round(crowd[1], 3)},
        "stream_c16": {"rps": system.rps("stream_c16"), "cpu_ms_per_1k": _ms(twenty)},
        "stream_200": {"rps": system.rps("stream_200"), "cpu_ms_per_1k": _ms(many)},
        "chunk_cpu_us": round((many - twenty) / 180 * 1000, 2) if many is not None and twenty is not None else None,
        "cpu_ms_per_1k": _ms(system.cpu_per_1k("c16")),
        "cpu_ms_per_1k_rounds": [
            round(cpu / len(shot.latencies) * 1e6, 1) for shot, cpu in system.shots["c16"] if cpu is not None
        ],
        "exact_hit_cpu_ms_per_1k": _ms(system.cpu_per_1k("same")),
        "cpu_ms_per_1k_by_kb": {
            label.removesuffix(" KB"): _ms(system.cpu_per_1k(label)) for label in system.shots if label.endswith(" KB")
        },
        "bedrock_stream_cpu_ms_per_1k": _ms(system.cpu_per_1k("bedrock_stream")),
        "rss_mb": system.rss_mb,
        "requests": system.serial,
        "ready_s": round(system.ready, 3) if system.ready else None,
        "failed": sum(shot.failed for shots in system.shots.values() for shot, _ in shots),
    }


def ratios(systems: dict[str, System]) -> dict[str, Any]:
    """hapenny's CPU as a share of others', each in the round of its own: medians."""
    ours = systems.get("hapenny")
    if ours is None:
        return {}
    report: dict[str, Any] = {}
    for name, other in systems.items():
        if other is not ours:
            report[f"cpu_ratio_to_{name}"] = _ratio(ours, other, "c16", "c16")
    bare = systems.get("bare_proxy")
    if bare is not None:
        report["exact_hit_cpu_ratio_to_bare_proxy"] = _ratio(ours, bare, "same", "c16")
        report["stream_cpu_ratio_to_bare_proxy"] = _ratio(ours, bare, "stream_c16", "stream_c16")
        for kb in SIZES_KB:
            report[f"cpu_ratio_to_bare_proxy_{kb:g}_kb"] = _ratio(ours, bare, f"{kb:g} KB", f"{kb:g} KB")
        chunks = [
            (many - few) / (bare_many - bare_few)
            for many, few, bare_many, bare_few in zip(
                _each(ours, "stream_200"), _each(ours, "stream_c16"), _each(bare, "stream_200"),
                _each(bare, "stream_c16"), strict=True,
            )
            if bare_many > bare_few
        ]  # fmt: skip
        report["chunk_cpu_ratio_to_bare_proxy"] = round(statistics.median(chunks), 3) if chunks else None
        report["p99_c64_ratio_to_bare_proxy"] = round(ours.quantiles("c64")[1] / bare.quantiles("c64")[1], 3)
    return report


def _each(system: System, label: str) -> list[float]:
    return [cpu / len(shot.latencies) for shot, cpu in system.shots.get(label, ()) if cpu is not None]


def _ratio(one: System, other: System, label: str, others: str) -> float | None:
    pairs = [a / b for a, b in zip(_each(one, label), _each(other, others), strict=False) if b]
    return round(statistics.median(pairs), 3) if pairs else None


def _ms(seconds: float | None) -> float | None:
    return round(seconds * 1000, 1) if seconds is not None else None


async def profile(mock: int, environment: dict[str, str], *, quick: bool) -> dict[str, Any]:
    """CPU of a request by room: samples of a hapenny of its own at 16 connections."""
    with tempfile.TemporaryDirectory() as place:
        folder, file = Path(place), Path(place, "samples.json")
        runner = ["-m", "benchmarks.overhead.sampled", str(file)]
        process, port, _ = launch(hapenny(folder, mock, environment, runner), environment)
        try:
            url = f"http://127.0.0.1:{port}"
            await fire(url, 300, 16, first=20_000_000)
            os.kill(process.pid, signal.SIGUSR1)
            await fire(url, 1_000 if quick else 4_000, 16)
            os.kill(process.pid, signal.SIGUSR1)
            for _ in range(100):
                if file.exists():
                    break
                await asyncio.sleep(0.05)
            report: dict[str, Any] = json.loads(file.read_text())
            return report
        finally:
            process.terminate()
            process.wait(10)


async def matrix(systems: Iterable[System]) -> list[dict[str, Any]]:
    """How CPU and latency grow with connections and bodies."""
    cells: list[dict[str, Any]] = []
    for kb in (0.3, 3.0, 18.0, 300.0):
        for connections in CONNECTIONS:
            for system in systems:
                label = f"matrix {kb:g} {connections}"
                for _ in range(3):
                    await system.shoot(label, max(3 * connections, 120 if kb > 100 else 600), connections, kb=kb)
                middle, late = system.quantiles(label)
                cells.append(
                    {
                        "system": system.name, "kb": kb, "connections": connections, "rps": system.rps(label),
                        "p50_ms": round(middle, 3), "p99_ms": round(late, 3),
                        "cpu_ms_per_1k": _ms(system.cpu_per_1k(label)),
                    }
                )  # fmt: skip
            print(f"{kb:g} KB at {connections} connections", file=sys.stderr)
    return cells


def environment_of(folder: Path) -> dict[str, str]:
    """That of all processes of ours."""
    return installed(str(folder / "bytecode"))
