"""`python -m benchmarks.latency --data DIR --json [--messages N] [--learning N] [--rate R] [--card NAME] [--mix FILE]`

Whole answers, first words and each step of the latency budget on the mix, before a simulated Bedrock with a heavy tail.
On top the provider has the times of the reference budget (the models of `--gantt-card` brought to them), under `card`
those of a card. Requests
go through the server's own code in virtual time in which the processor time of this thread passes as well: what the
gateway computes counts, what else the machine does not. DIR is not needed: the mix and its shop are the reference
application's; it is taken so that all benchmarks are called alike.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.arguments import parse
from benchmarks.latency import parts, settings
from hapenny.simulation.cards import DECKS


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.latency")
    parser.add_argument("--data", type=Path, help="taken by all benchmarks, not needed by this one")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="300 messages after 150")
    parser.add_argument("--messages", type=int, default=2400, help="that are measured in each setting")
    parser.add_argument("--learning", type=int, default=600, help="before them")
    parser.add_argument("--rate", type=float, default=10.0, help="messages a second")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--card", default="manga-2024", choices=sorted(DECKS))
    parser.add_argument("--gantt-card", default="current-2026", choices=sorted(DECKS), help="whose times are brought")
    parser.add_argument("--mix", help="a mix file; without one the reference application's")
    parser.add_argument("--only", action="append", choices=parts.PARTS, help="may be repeated")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    arguments = parse(parser)
    if arguments.quick:
        arguments.messages, arguments.learning = 300, 150
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "shop")
        played = settings.traffic(arguments.mix, arguments.learning, arguments.messages, arguments.rate, arguments.seed)
        settings.index(folder, played)
        decks = settings.decks(arguments.card, arguments.gantt_card, played, arguments.seed)
        wanted = [part for part in parts.PARTS if part in (arguments.only or parts.PARTS)]
        whats = [(setting, part) for part in wanted for setting in decks if (setting, part) != ("gantt", "fastest")]
        one = functools.partial(parts.play, arguments=arguments, folder=folder, decks=decks)
        if arguments.workers == 1:
            outcomes = [one(what) for what in whats]
        else:
            with ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn")) as pool:
                outcomes = list(pool.map(one, whats))
    found: dict[str, dict[str, Any]] = {"gantt": {}, "card": {}}
    for (setting, _), figures in zip(whats, outcomes, strict=True):
        found[setting] |= figures
    report = {**found["gantt"], "card": found["card"], "cards": {name: deck.name for name, deck in decks.items()}}
    print(json.dumps(report, indent=None if arguments.json else 2))


if __name__ == "__main__":
    main()
