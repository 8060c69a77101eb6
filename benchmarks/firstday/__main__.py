"""Runs each customer's week with `safe`, then follows the report's advice step by step and measures what came of it.

A step is the advice with the largest gain of the run before. `saved_predicted` is what was saved before and what the
advice promised on top; `saved_share` what was then saved, all background calls (audits, verdicts) included. Quality is
that of the step against everything off: the same messages and the same hidden world, paired by question.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

import msgspec

from benchmarks.arguments import parse
from benchmarks.firstday.customers import Customer, customers
from hapenny.backends.contract import Backend
from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import Config
from hapenny.gateway.gateway import Gateway
from hapenny.simulation import loop
from hapenny.simulation.cards import DECKS
from hapenny.simulation.loop import VirtualClock
from hapenny.simulation.provider import Limit, SimulatedProvider
from hapenny.studies.paired import compare
from hapenny.studies.player import Player, Record
from hapenny.studies.virtual_run import everything
from hapenny.telemetry.advice import Watched, advise
from hapenny.telemetry.figures import Advice
from hapenny.telemetry.rows import Row
from hapenny.workload.truth import Truth

CARD = "current-2026"
MAX_QUALITY_LOSS = 0.02
STEPS = 4


class Ran(msgspec.Struct):
    """A week: what came of it, what it cost with all that ran beside it, and what is advised."""

    records: list[Record]
    paid: int
    baseline: int
    advice: list[Advice]


def week(customer: Customer, config: Config, model: str, seed: int = 7) -> Ran:
    """One customer's week through a gateway of that configuration, in virtual time."""

    async def main(clock: VirtualClock) -> Ran:
        provider = SimulatedProvider(
            clock, DECKS[CARD], seed=seed, latents=3, truth=Truth(), quotas={"*": Limit()}, chunk=32
        )
        backends: dict[str, Backend] = {name: SimulatedBackend(name, provider) for name in config.backends}
        rows: list[Row] = []
        async with Gateway(config, clock=clock, backends=backends) as gateway:
            gateway.parts.exchanges.observe(lambda exchange, row: rows.append(row))
            player = Player(
                gateway, customer.messages, customer.shop, provider, model=model, shape=customer.shape, label=True
            )
            records = await player.play()
            await gateway.settled()
        watched = [Watched(row.actual or 0, row.would_save) for row in rows if row.would_save and not row.unpriced]
        baseline = sum(row.baseline or 0 for row in rows if not row.background)
        paid = provider.bill.nano
        return Ran(records, paid, baseline, advise(watched, paid)[0])

    return loop.run(main, seed=seed)


def changed(config: Config, change: dict[str, object]) -> Config:
    """The configuration after one piece of advice."""
    route = config.routes["default"]
    told = {name: value for name, value in change.items() if name not in ("model", "stages")}
    stages = {**route.stages, **(change.get("stages") or {})}  # type: ignore[dict-item]
    config.routes["default"] = msgspec.structs.replace(route, stages=stages, **told)
    return config


def follow(customer: Customer, log: Callable[[str], None]) -> dict[str, dict[str, object]]:
    """The customer's steps, from `safe` on."""
    off = week(customer, everything("off", CARD), "strong")
    found: dict[str, dict[str, object]] = {}
    route = {"max_quality_loss": MAX_QUALITY_LOSS, "holdout": 0.0}
    config, model, name, predicted = everything("safe", CARD, **route), customer.model, "safe", None
    before = 0.0
    for _ in range(STEPS):
        began = time.perf_counter()
        ran = week(customer, config, model)
        saved = 1 - ran.paid / ran.baseline if ran.baseline else 0.0
        pairs = zip(ran.records, off.records, strict=True)
        quality = compare((one.question, one.right, other.right) for one, other in pairs)
        found[name] = {
            "saved_share": round(saved, 4),
            "saved_predicted": None if predicted is None else round(predicted, 4),
            "quality_diff_ci95": [round(quality.low, 4), round(quality.high, 4)],
            "quality_diff": round(quality.difference, 4),
            "max_quality_loss": MAX_QUALITY_LOSS,
            "advice": [f"{step.what}: + {step.saves / max(1, ran.baseline):.3f}" for step in ran.advice],
            "requests": len(ran.records),
            "failed": sum(bool(record.failure) for record in ran.records),
            "step_gain": round(saved - before, 4),
        }
        log(f"{customer.name} {name}: {json.dumps(found[name])} in {time.perf_counter() - began:.0f} s")
        taken = next((step for step in ran.advice if step.low > 0), None)
        if taken is None:
            break
        predicted, before = saved + taken.saves / ran.baseline, saved
        config, model = changed(config, taken.change), str(taken.change.get("model") or model)
        name = f"{name}+{taken.name}"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.firstday", description=__doc__)
    parser.add_argument("--day", type=int, default=200, help="Messages a day.")
    options = parse(parser)
    day = 40 if options.quick else options.day

    def log(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    found = {customer.name: follow(customer, log) for customer in customers(day)}
    print(json.dumps({"customer": found, "card": DECKS[CARD].digest()}))


if __name__ == "__main__":
    main()
