"""What-if against what then really happens: a workload over sockets with everything off is the log; three
configurations are foretold from it, and then run over sockets with the same workload before the simulated Bedrock."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.savings.__main__ import launch
from hapenny.config import STAGES, load
from hapenny.core.clock import RealClock
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.workload.mix import load as load_mix
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Message, Population
from hapenny.studies.driver import drive
from hapenny.studies.traffic_log import read
from hapenny.studies.whatif import replay
from hapenny.telemetry.schema import open_ledger
from hapenny.telemetry.summary import summarise

CARD = "current-2026"
CONFIGS: dict[str, dict[str, Any]] = {
    "exact": {"stages": {"exact": "on", "flights": "on"}, "cache_any_temperature": True},
    "prefix": {"stages": {"prefix": "on"}},
    "exact_and_prefix": {
        "stages": {"exact": "on", "flights": "on", "prefix": "on", "throughput": "on"}, "cache_any_temperature": True,
    },
}  # fmt: skip


def _config(provider: str, ledger: Path, route: dict[str, Any], key: str) -> dict[str, Any]:
    lineup = LINEUPS[CARD]
    modes = {spec.name: "off" for spec in STAGES} | route.get("stages", {})
    return {
        "server": {"port": 0},
        "backends": {
            "bedrock": {"kind": "bedrock", "region": "us-east-1", "base_url": provider, "api_key": "simulated"}
        },
        "tiers": lineup.tiers(),
        "routes": {"default": {"baseline": "strong", **route, "stages": modes, "holdout": 0.0}},
        "keys": [{"key": key, "tenant": "benchmark"}],
        "ledger": {"path": str(ledger)},
    }


def _run(folder: Path, name: str, route: dict[str, Any], messages: list[Message], shop: Shop, seconds: float) -> Path:
    """The workload over sockets under one configuration; returns the ledger."""
    python = [sys.executable, "-m", "hapenny"]
    ample = ["--rpm", "1000000000", "--tpm", "1000000000"]
    provider, address = launch([*python, "simulate", "--port", "0", "--card", CARD, *ample])
    try:
        ledger, file, key = folder / f"{name}.db", folder / f"{name}.yaml", secrets.token_hex(16)
        file.write_text(json.dumps(_config(address, ledger, route, key)))
        gateway, url = launch([*python, "serve", "-c", str(file)])
        try:
            asyncio.run(drive(url, messages, shop, RealClock(), seconds=seconds, model="strong", key=key))
        finally:
            gateway.send_signal(signal.SIGTERM)
            gateway.wait(60)
    finally:
        provider.terminate()
        provider.wait(30)
    return ledger


def _whole_p95(ledger: Path) -> float:
    connection = open_ledger(str(ledger), read_only=True)
    try:
        times = [each for (each,) in connection.execute("SELECT e2e FROM requests WHERE e2e IS NOT NULL")]
    finally:
        connection.close()
    return float(np.percentile(times, 95)) if times else 0.0


def run(count: int, seconds: float) -> dict[str, Any]:
    """The section `whatif`."""
    population = Population(load_mix(None), Shop(), seed=11)
    messages, shop = population.messages(count, days=0.02), population.shop
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = read(_run(folder, "log", {}, messages, shop, seconds))
        for config, route in CONFIGS.items():
            key = secrets.token_hex(16)
            foretold = replay(log, load(text=json.dumps(_config("http://127.0.0.1:9", folder / "none.db", route, key))))
            ledger = _run(folder, config, route, messages, shop, seconds)
            books = summarise(str(ledger))
            shown, p95 = books.saved_share, _whole_p95(ledger)
            result[config] = {
                "saved_diff": round(abs(foretold.saved_share.low - shown), 4),
                "p95_ratio": round(foretold.whole_p95_s / p95, 4) if p95 else 0.0,
                "saved_foretold": round(foretold.saved_share.low, 4),
                "saved_shown": round(shown, 4),
                "p95_foretold_s": round(foretold.whole_p95_s, 3),
                "p95_shown_s": round(p95, 3),
                "requests": foretold.requests,
            }
    return result
