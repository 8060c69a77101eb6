"""`python -m benchmarks.protection --json [--runs N] [--http N] [--messages M] [--scenes NAME ...] [--workers W]`

A cheap model that serves a third of the traffic turns wrong at half of the run: how many wrong answers until it is
stepped back, and what audits and judges cost of the whole bill; both models begin to say the same in other words:
whether anything steps back; the semantic cache after a change of answers, and after a change of topic: wrong answers in
the next 500 requests. Most runs are in virtual time; some of the first two scenes go over real HTTP, with provider and
gateway in processes of their own, and stand beside the others under `http`. The scenes of one run share what comes
before the change. The defaults take about twenty minutes on two idle cores: 20 runs of each scene, since 18 of
them have to hold, and 4 of each change of the semantic cache, whose figure is the worst of all.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks.arguments import parse
from benchmarks.protection import semantic
from benchmarks.protection.jobs import Job, played
from benchmarks.protection.over_http import WRONG
from benchmarks.protection.scenes import SCENES, Outcome
from hapenny.simulation.workload.mix import load


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.protection")
    parser.add_argument("--runs", type=int, default=20, help="of each scene, in virtual time")
    parser.add_argument("--http", type=int, default=3, help="runs of each of the first two scenes over real HTTP")
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
    runs = arguments.runs if names else 0
    jobs = [Job(tuple(names), seed) for seed in range(1, runs + 1)]
    over_http = [(scene, seed) for seed in range(1, arguments.http + 1) for scene in WRONG if scene in names]
    for place, (scene, seed) in enumerate(over_http):
        # One at a time: each is two processes more, and lasts as long as two others.
        jobs.insert(3 * place, Job(("http", scene), seed))
    if "semantic" in arguments.scenes:
        numbers = range(1, arguments.semantic_runs + 1)
        jobs += [Job(("semantic", change), seed) for change in semantic.CHANGES for seed in numbers]
    with ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn")) as pool:
        calls = [pool.submit(played, mix, messages, arguments.rate, job) for job in jobs]
        results = [(job, call.result()) for job, call in zip(jobs, calls, strict=True)]
    for name in names if runs else ():
        report[name] = told(name, [outcomes[name] for job, outcomes in results if job.names == tuple(names)])
    wrong = {
        change: [count["wrong"] for job, count in results if job.names == ("semantic", change)]
        for change in semantic.CHANGES
    }
    if any(wrong.values()):
        report["semantic_wrong_500"] = max(max(counts) for counts in wrong.values())
        report["semantic_wrong_500_each"] = wrong
    if over_http:
        report["http"] = {
            scene: told(scene, [outcomes[scene] for job, outcomes in results if job.names == ("http", scene)])
            for scene in dict.fromkeys(scene for scene, _ in over_http)
        }
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
