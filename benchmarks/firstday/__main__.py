"""Runs each customer's week with `safe`, then follows the report's advice step by step and measures what came of it.

One gateway serves all weeks of a customer; a step reloads its configuration, so that what it learnt goes on. What
acts as soon as it is switched on is taken first, one at a time. Then what evidence has to open: such a step is
switched on, and weeks pass until the report says that evidence opened something and that it is looked at next in more
than a week (`gathering` has each, with what it cost). Then comes the measured week. `saved_predicted` is what the
report says on its eve: what was saved since the step began (for the first, since `safe` began), and the gain that it
promises for as much traffic again. `saved_share` is what was then saved, with all that ran beside it. Quality is that
of the step's weeks, those of gathering included, against everything off over the same messages in the same hidden
world, paired by question.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import msgspec

from benchmarks.arguments import parse
from benchmarks.firstday.customers import DAYS, Customer, customers
from benchmarks.firstday.deployment import CARD, Deployment, Ran
from benchmarks.firstday.own_retrieval import compared
from hapenny.config import Config
from hapenny.simulation import loop
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.loop import VirtualClock
from hapenny.simulation.workload.shoppers import Message
from hapenny.studies.paired import compare
from hapenny.studies.player import Record
from hapenny.studies.virtual_run import everything
from hapenny.telemetry.advice import EVIDENCE_SHARE
from hapenny.telemetry.figures import Advice

MAX_QUALITY_LOSS = 0.02
STEPS = 4
WEEKS = 6
"""The longest that a customer is followed."""
GATHERING = 3
"""Weeks after which a step is measured though its evidence has opened nothing, or is still looked at often."""


def changed(config: Config, change: dict[str, object]) -> Config:
    """The configuration after one piece of advice."""
    route = config.routes["default"]
    told = {name: value for name, value in change.items() if name not in ("model", "stages")}
    stages = {**route.stages, **(change.get("stages") or {})}  # type: ignore[dict-item]
    routes = {**config.routes, "default": msgspec.structs.replace(route, stages=stages, **told)}
    return msgspec.structs.replace(config, routes=routes)


def week_off(customer: Customer, messages: list[Message], seed: int = 7) -> list[Record]:
    """The same week with every stage off."""

    async def main(clock: VirtualClock) -> list[Record]:
        async with Deployment(customer, everything("off", CARD), "strong", clock, seed) as off:
            return (await off.week(messages)).records

    return loop.run(main, seed=seed)


class Followed:
    """A customer who does what the report says.

    Args:
        customer: with the messages of all weeks.
        log: told of each week.
        seed: of the gateway's chance and the provider.
    """

    def __init__(self, customer: Customer, log: Any, seed: int = 7) -> None:
        self.customer, self.log, self.seed = customer, log, seed
        self.steps: dict[str, dict[str, object]] = {}
        self._weeks: dict[str, list[Ran]] = {}
        count = len(customer.messages) // round(customer.messages[-1].at / (DAYS * 86_400) + 0.5)
        self._left = [customer.messages[at : at + count] for at in range(0, len(customer.messages), count)]

    def follow(self) -> dict[str, dict[str, object]]:
        """All its steps, from `safe` on."""
        steps = loop.run(self._main, seed=self.seed)
        for name, step in steps.items():
            step.update(self._quality(self._weeks[name]))
            self.log(f"{self.customer.name} {name}: {json.dumps(step)}")
        return steps

    def _quality(self, weeks: list[Ran]) -> dict[str, object]:
        """Beside everything off, over the same messages."""
        quality = compare(
            (one.question, one.right, other.right)
            for week in weeks
            for one, other in zip(week.records, week_off(self.customer, week.messages, self.seed), strict=True)
        )
        return {
            "quality_diff_ci95": [round(quality.low, 4), round(quality.high, 4)],
            "quality_diff": round(quality.difference, 4),
            "max_quality_loss": MAX_QUALITY_LOSS,
        }

    async def _main(self, clock: VirtualClock) -> dict[str, dict[str, object]]:
        config = everything("safe", CARD, max_quality_loss=MAX_QUALITY_LOSS, holdout=0.0)
        async with Deployment(self.customer, config, self.customer.model, clock, self.seed) as gateway:
            last = await self._measured("safe", gateway, [], None, None)
            name = "safe"
            while self._left and len(self.steps) < STEPS:
                at_once, evidenced = _worth(last.advised.steps)
                if at_once:
                    taken, gathering = at_once[:1], list[Ran]()
                    predicted = last.reported + taken[0].saves / last.so_far[1]
                    await gateway.change(changed, taken)
                elif evidenced:
                    taken, gathering, before = evidenced, [], last
                    await gateway.change(changed, taken)
                    while len(self._left) > 1 and len(gathering) < GATHERING and not before.settled:
                        before = await self._week(f"{name}: gathering evidence", gateway)
                        gathering.append(before)
                    predicted = before.reported + before.coming
                else:
                    break
                name = "+".join([name, *(step.name for step in taken)])
                last = await self._measured(name, gateway, gathering, predicted, last)
        return self.steps

    async def _week(self, name: str, gateway: Deployment) -> Ran:
        began = time.perf_counter()
        ran = await gateway.week(self._left.pop(0))
        self.log(f"{self.customer.name} {name}: {ran.saved:.3f} in {time.perf_counter() - began:.0f} s")
        return ran

    async def _measured(
        self, name: str, gateway: Deployment, gathering: list[Ran], predicted: float | None, before: Ran | None
    ) -> Ran:
        """Plays the week of a step and notes it."""
        ran = await self._week(name, gateway)
        weeks = self._weeks[name] = [*gathering, ran]
        self.steps[name] = {
            "saved_share": round(ran.saved, 4),
            "saved_predicted": None if predicted is None else round(predicted, 4),
            "advice": ran.told(),
            "requests": len(ran.records),
            "failed": sum(bool(record.failure) for record in ran.records),
            "step_gain": None if before is None else round(ran.saved - before.saved, 4),
            "gathering": [
                {"saved_share": round(week.saved, 4), "evidence_cost": round(week.evidence, 4)} for week in gathering
            ],
            "evidence_cost": round(sum(week.background for week in weeks) / sum(week.paid for week in weeks), 4),
            "max_evidence_cost": 2 * EVIDENCE_SHARE,
        }
        return ran


def _worth(steps: list[Advice]) -> tuple[list[Advice], list[Advice]]:
    """Advice that surely gains: what acts at once, and what evidence opens; of two ways to a stage the better."""
    seen: set[str] = set()
    at_once: list[Advice] = []
    evidenced: list[Advice] = []
    for step in steps:
        stage = step.name.partition(":")[0]
        if step.low > 0 and stage not in seen:
            seen.add(stage)
            (evidenced if step.after else at_once).append(step)
    return at_once, evidenced


def log(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


def follow(name: str, day: int) -> dict[str, dict[str, object]]:
    """The steps of the customer of that name."""
    [customer] = [each for each in customers(day, weeks=WEEKS) if each.name == name]
    return Followed(customer, log).follow()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.firstday", description=__doc__)
    parser.add_argument("--day", type=int, default=300, help="Messages a day.")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="Processes.")
    options = parse(parser)
    day = 60 if options.quick else options.day
    names = ("rag", "faq", "agent")  # the longest first
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("fork")) as pool:
        retrieval = pool.submit(compared, 60 if options.quick else 200)
        steps = dict(zip(names, pool.map(follow, names, [day] * len(names)), strict=True))
    print(json.dumps({"customer": steps, "own_retrieval": retrieval.result(), "card": LINEUPS[CARD].digest()}))


if __name__ == "__main__":
    main()
