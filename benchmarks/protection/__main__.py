"""`python -m benchmarks.protection --json [--runs N] [--messages M] [--scenes NAME ...]`

A cheap model that serves a third of the traffic turns wrong at half of the run: how many wrong answers until it is
stepped back, and what audits and judges cost of the whole bill; both models begin to say the same in other words:
whether anything steps back; the semantic cache after a change of answers: wrong answers in the next 500 requests.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.arguments import parse
from benchmarks.protection.scenes import SCENES, Outcome, play
from benchmarks.protection.semantic import changed_answers
from hapenny.workload.mix import load


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.protection")
    parser.add_argument("--runs", type=int, default=20, help="of each scene, in virtual time")
    parser.add_argument("--messages", type=int, default=7_000, help="a run; about 10,000 requests")
    parser.add_argument("--scenes", nargs="+", choices=[*SCENES, "semantic"], default=[*SCENES, "semantic"])
    parser.add_argument("--mix")
    arguments = parse(parser)
    if arguments.quick:
        arguments.runs, arguments.messages = 2, 2_000
    mix = load(arguments.mix)
    report: dict[str, Any] = {"runs": arguments.runs, "mix": mix.digest()}
    for scene in arguments.scenes:
        if scene == "semantic":
            wrong = [changed_answers(mix, seed, arguments.messages) for seed in range(1, arguments.runs + 1)]
            report["semantic_wrong_500"] = max(wrong)
            report["semantic_wrong_500_each"] = wrong
            continue
        runs = []
        for seed in range(1, arguments.runs + 1):
            runs.append(play(mix, seed, arguments.messages, SCENES[scene]))
            print(f"{scene} seed {seed}: {runs[-1]}", file=sys.stderr)
        report[scene] = told(scene, runs)
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
