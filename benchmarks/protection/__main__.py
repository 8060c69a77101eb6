"""`python -m benchmarks.protection --json [--runs N] [--http N] [--messages M] [--scenes NAME ...] [--workers W]`

A cheap model that serves a third of the traffic turns wrong at half of the run: how many wrong answers until it is
stepped back, and what audits and judges cost of the whole bill; both models begin to say the same in other words:
whether anything steps back; the semantic cache after a change of answers, and after a change of topic: wrong answers in
the next 500 requests. Most runs are in virtual time; some of the first scene go over real HTTP, with provider and
gateway in processes of their own, and stand beside the others under `http`.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from benchmarks.arguments import parse
from benchmarks.protection import over_http, scenes, semantic
from benchmarks.protection.scenes import SCENES, Outcome
from hapenny.workload.mix import load

T = TypeVar("T")
_OVER_HTTP = "wrong30"


def each(one: Callable[[tuple[str, int]], T], jobs: Sequence[tuple[str, int]], workers: int) -> list[T]:
    """All jobs, as many at once as there are workers."""
    if min(workers, len(jobs)) <= 1:
        return [one(job) for job in jobs]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(one, jobs))


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.protection")
    parser.add_argument("--runs", type=int, default=20, help="of each scene, in virtual time")
    parser.add_argument("--http", type=int, default=3, help="runs of the first scene over real HTTP")
    parser.add_argument("--rate", type=float, default=60.0, help="messages a second over real HTTP")
    parser.add_argument("--semantic-runs", type=int, default=4, help="of each change, in virtual time")
    parser.add_argument("--messages", type=int, default=7_700, help="a run; about 10,000 requests")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="runs played at once")
    parser.add_argument("--scenes", nargs="+", choices=[*SCENES, "semantic"], default=[*SCENES, "semantic"])
    parser.add_argument("--mix")
    arguments = parse(parser)
    if arguments.quick:
        arguments.runs, arguments.http, arguments.semantic_runs, arguments.messages = 2, 0, 1, 2_000
    mix, messages = load(arguments.mix), arguments.messages
    report: dict[str, Any] = {"runs": arguments.runs, "mix": mix.digest()}
    names = [name for name in arguments.scenes if name != "semantic"]
    jobs = [(name, seed) for name in names for seed in range(1, arguments.runs + 1)]
    outcomes = each(functools.partial(scenes.one, mix, messages), jobs, arguments.workers)
    for name in names:
        report[name] = told(name, [outcome for job, outcome in zip(jobs, outcomes, strict=True) if job[0] == name])
    if "semantic" in arguments.scenes:
        jobs = [(change, seed) for change in semantic.CHANGES for seed in range(1, arguments.semantic_runs + 1)]
        wrong = each(functools.partial(semantic.one, mix, messages), jobs, arguments.workers)
        report["semantic_wrong_500"] = max(wrong)
        report["semantic_wrong_500_each"] = {
            change: [count for job, count in zip(jobs, wrong, strict=True) if job[0] == change]
            for change in semantic.CHANGES
        }
    if arguments.http and _OVER_HTTP in names:
        lived = [over_http.play(mix, seed, messages, arguments.rate) for seed in range(1, arguments.http + 1)]
        report["http"] = {_OVER_HTTP: told(_OVER_HTTP, lived)}
    print(json.dumps(report, indent=None if arguments.json else 2))


def told(scene: str, runs: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of a scene."""
    figures: dict[str, Any] = {
        "audit_share": round(max(each.audit_share for each in runs), 4),
        "routed_share": round(sum(each.routed_share for each in runs) / len(runs), 3),
        "suspensions": [each.suspensions for each in runs],
    }
    if scene == "same_facts":
        return figures | {f"stepbacks_of_{len(runs)}": sum(each.stepbacks > 0 for each in runs)}
    ordered = sorted(runs, key=lambda each: (not each.stepped_back, each.wrong))
    kept = max(1, round(0.9 * len(runs)))
    worst = ordered[kept - 1]
    return figures | {
        f"worst_of_{kept}": worst.wrong if worst.stepped_back else None,  # never stepped back: no number bounds it
        "wrong": [each.wrong for each in runs],
        "stepped_back": sum(each.stepped_back for each in runs),
        "requests_until": [each.after for each in runs],
    }


if __name__ == "__main__":
    main()
