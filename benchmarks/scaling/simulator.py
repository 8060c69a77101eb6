"""How fast virtual time is: requests through the production pipeline, and through the bare fleet, a second of processor
time."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.scaling.policies import CARD, case, weight
from benchmarks.scaling.traces import conversation
from hapenny.admission.keys import OPEN
from hapenny.backends.contract import Backend
from hapenny.config import STAGES, Config, load
from hapenny.core.errors import Failure
from hapenny.core.messages import Context, Request
from hapenny.gateway.gateway import Gateway
from hapenny.simulation import loop
from hapenny.simulation.fleet import full_rate
from hapenny.simulation.loop import VirtualClock
from hapenny.simulation.workload.mix import load as load_mix
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Population
from hapenny.simulation.workload.trace import from_csv
from hapenny.studies.arrivals import serve_all
from hapenny.studies.logged import Logged, LoggedProvider, Pace, request
from hapenny.studies.virtual_run import cpu, everything, quiet_collector
from hapenny.studies.virtual_run import run as virtual_run

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
STRONG = "anthropic.claude-3-sonnet-20240229-v1:0"


def config(ledger: str) -> Config:
    """Admission, exact cache, routing, counting, throughput and ledger; nothing else."""
    modes = {spec.name: "off" for spec in STAGES}
    modes |= {"exact": "on", "flights": "on", "tiers": "on", "throughput": "on"}
    text = {
        "backends": {"log": {"kind": "simulated"}},
        "tiers": {"fast": MODEL, "strong": STRONG},
        "routes": {"default": {"stages": modes, "holdout": 0.0, "unproven": "open", "audit_share": 0.0}},
        "stages": {"throughput": {"models": {MODEL: {"quota": {"tokens_per_minute": 100_000_000}}}}},
        "ledger": {"path": ledger, "flush_s": 1.0, "sync_s": 60.0},
    }
    return load(text=json.dumps(text))


def pipeline(data: Path, count: int) -> dict[str, float]:
    """Requests of the trace through the production pipeline in virtual time; a fifth of them come a second time."""
    arrivals = from_csv(conversation(data))[:count]
    rows = []
    for number, each in enumerate(arrivals):
        first = number - number % 5 if number % 5 == 4 else number  # which request this is, of its size
        size = arrivals[first]
        system = min(200, size.input // 2)
        rows.append(
            Logged(
                at=each.at, identity=str(first), system="shop", system_tokens=system,
                input_tokens=size.input - system, output_tokens=size.output, model=MODEL, first_s=0.4,
                rest_s=size.output / 80, max_tokens=1024,
            )
        )  # fmt: skip
    requests = [request(row, "auto") for row in rows]
    asked = {row.identity: row for row in rows}
    done = [0, 0]

    async def main(clock: VirtualClock) -> None:
        with tempfile.TemporaryDirectory() as folder:
            settings = config(str(Path(folder, "ledger.db")))
            provider = LoggedProvider("log", clock, asked, {MODEL: Pace(0.4, 0.0125)})
            backends: dict[str, Backend] = dict.fromkeys(settings.backends, provider)
            async with Gateway(settings, clock=clock, backends=backends) as gateway:

                async def one(asked_for: Request) -> None:
                    exchange = gateway.open(asked_for, Context(), OPEN)
                    try:
                        await gateway.admit(exchange)
                        answer = await gateway.answer(exchange)
                        async for _ in answer:
                            pass
                        done[0] += 1
                    except Failure:
                        done[1] += 1
                    finally:
                        gateway.close(exchange)

                await serve_all(clock, zip((row.at for row in rows), requests, strict=True), one)

    began = cpu()
    with quiet_collector():
        loop.run(main, 7)
    spent = cpu() - began
    return {"per_s": round(len(rows) / spent, 1), "answered": done[0], "failed": done[1]}


def all_on(messages: int) -> float:
    """Requests a second with every stage on and recorded vectors: the reference application's mix before the simulated
    provider. A first run over it records."""
    population = Population(load_mix(None), Shop(), seed=7)
    sent = population.messages(messages, days=0.05)
    config, vectors = everything("balanced", "manga-2024"), dict[str, NDArray[np.float32]]()
    for _ in range(2):
        result = virtual_run(sent, population.shop, config=config, card="manga-2024", vectors=vectors)
    return round(result.requests_a_second, 1)


def fleet(data: Path) -> float:
    """Requests a second through the bare fleet: the conversation trace over servers that are well used."""
    arrivals = from_csv(conversation(data))
    full = full_rate(arrivals, weight, CARD)
    work = sum(map(weight, arrivals)) / arrivals[-1].at
    servers = max(1, round(work / full / 0.8))
    measured = case(arrivals, full, servers)
    measured.run(servers)  # warm
    began = cpu()
    requests = 0
    while cpu() - began < 2.0:
        requests += measured.run(servers).requests
    return round(requests / (cpu() - began))


def run(data: Path, count: int, messages: int) -> dict[str, Any]:
    """The section `simulator`."""
    found = pipeline(data, count)
    return {
        "requests_per_s": found["per_s"],
        "all_on_per_s": all_on(messages),
        "fleet_per_s": fleet(data),
        "answered": found["answered"],
        "failed": found["failed"],
    }
