"""`python -m benchmarks.mangaassist --json [--mix FILE] [--draws N] [--quick]`

The whole mix through MangaAssist in virtual time: everything off against all on, over draws of the hidden world and of
the shoppers, each after a learning period on other questions (the operator's own test of the tiers, then traffic). Half
of the draws run at the latency budget's speeds (`gantt`, on top), half at the card's rates (`at_card_rates`); money and
quality are of all. One draw of the steps in the seed's order and of all but one, small draws of changed mixes, and the
release day's rush. The full study is `hapenny proof`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from benchmarks.arguments import parse
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.workload.mix import load
from mangaassist_proof.draws import CHANGES, QUICK, Size, burst, draw, in_real_time, sensitivity, steps, world_of
from mangaassist_proof.report import SEED_PIE, SEED_TABLE, figures, latency, not_reached, rush, short, stepped

TOP, OTHER = "manga-2024", "current-2026"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.mangaassist", description=__doc__)
    parser.add_argument("--mix", help="a mix file; without one the reference application's")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="two draws of 250 messages, no changed mixes")
    parser.add_argument("--draws", type=int, default=20, help="of the hidden world, on manga-2024")
    parser.add_argument("--other-draws", type=int, default=3, help="on current-2026")
    parser.add_argument("--messages", type=int, default=1_500, help="that are measured in each draw")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parse(parser)
    size, small = Size(messages=options.messages), Size(messages=600, tested=900, lived=0)
    if options.quick:
        options.draws, options.other_draws = 2, 1
        size = QUICK
    mix = load(options.mix)

    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:

        def go(job: Callable[..., Any], *arguments: Any) -> Future[Any]:
            return pool.submit(job, *arguments)

        one_of_each = go(steps, TOP, mix, 1, size)
        draws = [go(draw, TOP, world_of(number), mix, number, size) for number in range(1, options.draws + 1)]
        others = [go(draw, OTHER, world_of(number), mix, number, size) for number in range(1, options.other_draws + 1)]
        crowd = go(burst, TOP, mix, 1)
        names = [] if options.quick else list(CHANGES)
        changes = {name: go(sensitivity, TOP, mix, 1, small, name) for name in names}
        a_day = mix.traffic.messages_per_day
        report: dict[str, Any] = figures([each.result() for each in draws], a_day)
        report |= stepped(one_of_each.result()[0], a_day)
        report["burst"] = rush(crowd.result())
        report["sensitivity"] = {name: short(figures([each.result()], a_day)) for name, each in changes.items()}
        card = {"name": TOP, "digest": LINEUPS[TOP].digest()}
        other = figures([each.result() for each in others], a_day) if others else {}
    report["latency_budget"] = latency(in_real_time(TOP, mix, 1))  # last, when nothing else takes the cores
    report["card"] = card
    report["cards"] = {OTHER: other | {"card": {"name": OTHER, "digest": LINEUPS[OTHER].digest()}}} if other else {}
    report["mix"] = {"name": mix.name, "digest": mix.digest(), "assumed_share": round(mix.assumed(), 3)}
    report["seed"] = {"table": SEED_TABLE, "pie": SEED_PIE, "saved_share": 0.7858}
    report["not_reached"] = not_reached(report)
    print(json.dumps(report, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
