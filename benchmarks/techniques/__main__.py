"""`python -m benchmarks.techniques --json [--only NAME] [--workload NAME] [--messages N] [--learn N]`

Each technique alone, live: simulated provider, gateway and application are processes that speak over sockets; all other
stages are off, options are those that are shipped. The same messages run with the technique off and on. `saved` is of
the provider's own bill for the measured messages, audits and judges included; quality is graded by the workload's
truth, the interval is over distinct questions. `ttft_ratio` is of the medians; `write_read` are the provider's tokens
written to its prompt cache for each one read from it. The prompt cache is tried on models that have one, and once
behind Bedrock's prompt router (`ROUTER`). `--unproven` lets what is closed until evidence act at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.arguments import parse
from benchmarks.techniques.workloads import KINDS, Workload, build
from hapenny.config import STAGES
from hapenny.core.clock import RealClock
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.workload import truth_file
from hapenny.studies.driver import Seen, drive
from hapenny.studies.paired import compare
from hapenny.telemetry.figures import Scope
from hapenny.telemetry.summary import summarise

TECHNIQUES: dict[str, tuple[str, ...]] = {
    "exact": ("faq", "mix"),
    "flights": ("faq", "mix"),
    "semantic": ("faq", "mix"),
    "templates": ("agent", "mix"),
    "tiers": ("faq", "passages", "agent", "mix"),
    "cascade": ("passages", "mix"),
    "structure": ("agent", "mix"),
    "window": ("long_chat", "mix"),
    "prune": ("passages", "documents", "mix"),
    "brevity": ("passages", "mix"),
    "answer_size": ("passages", "mix"),
    "parameters": ("mix",),
    "prose": ("wordy", "handbook", "mix"),
    "prefix": ("document_qa", "code_assistant", "agentic_search", "long_chat", "handbook", "passages", "mix"),
    "throughput": ("scarce", "mix"),
}
"""Technique -> the workloads it is for, and the mix."""
CARDS = {"prefix": "current-2026"}
"""Where the card's own models could not show a technique: Claude 3 has no prompt cache."""
ROUTER = "arn:aws:bedrock:us-east-1:000000000000:default-prompt-router/anthropic.claude:1"
BEHIND_ROUTER = {"prefix": ("document_qa", "passages")}
"""Technique -> workloads that are also asked of Bedrock's prompt router, under `WORKLOAD@router`."""
ROUTED = ("tiers", "cascade")
"""Techniques that choose the model: they are asked for `auto`, whose baseline is the strong model."""
ALSO = {"cascade": "cascade: {intents: ['*']}"}
"""What a technique cannot do anything without: the operator's word where it may act."""
_ENOUGH = 1_000_000_000
CONFIG = """
server: {{port: 0}}
backends:
  bedrock: {{kind: bedrock, region: us-east-1, base_url: "{provider}", api_key: simulated}}
tiers: {tiers}
routes:
  default: {{baseline: strong, preset: safe, holdout: 0, stages: {stages}, unproven: {unproven}}}
stages: {{{also}}}
ledger: {{path: "{ledger}", flush_s: 0.25}}
"""


class Run(msgspec.Struct):
    """One run: what the customer saw, what the provider billed, what the books say."""

    seen: list[Seen]
    nano: int
    touched: float
    """Share of requests (a tool's result is one more) that it acted on."""
    estimate_error_share: float
    identity_violations: int
    written: int
    read: int
    """Tokens written to the provider's prompt cache, and read from it."""


def launch(command: list[str]) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "hapenny", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if command[0] == "simulate" else None,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if "http" not in line:
        raise SystemExit(f"{command[:2]} did not start")
    return process, line.split()[-1]


def bill(url: str) -> int:
    with urllib.request.urlopen(f"{url}/simulate/bill") as answer:
        return int(json.load(answer)["nano"])


def cached(url: str, since: float) -> tuple[int, int]:
    """Tokens written to the provider's prompt cache and read from it, as its own record of calls has them."""
    with urllib.request.urlopen(f"{url}/simulate/calls") as answer:
        calls = [call for call in json.load(answer)["calls"] if call["at"] >= since]
    return sum(call["cache_write"] + call["cache_write_1h"] for call in calls), sum(
        call["cache_read"] for call in calls
    )


def run(workload: Workload, technique: str, card: str, rate: float, model: str, unproven: str = "closed") -> Run:
    """One run with a technique on ("": none), `rate` messages a second."""
    lineup = LINEUPS[card]
    tiers = lineup.tiers()
    modes = {spec.name: "on" if spec.name == technique else "off" for spec in STAGES}
    with tempfile.TemporaryDirectory() as folder:
        truth, ledger, config = Path(folder, "truth"), Path(folder, "ledger.db"), Path(folder, "hapenny.yaml")
        truth_file.save(truth, ((each.text, each.follows, each.item) for each in workload.all))
        rpm = _ENOUGH if workload.quota is None else round(workload.quota * rate * 60)
        quota = ["--rpm", str(rpm), "--tpm", str(_ENOUGH)]
        provider, provider_url = launch(["simulate", "--port", "0", "--card", card, "--truth", str(truth), *quota])
        try:
            config.write_text(
                CONFIG.format(
                    provider=provider_url, tiers=json.dumps(tiers), stages=json.dumps(modes),
                    also=ALSO.get(technique, ""), ledger=ledger, unproven=unproven,
                )
            )  # fmt: skip
            gateway, url = launch(["serve", "-c", str(config)])
            try:
                clock = RealClock()

                def play(messages: tuple[Any, ...]) -> list[Seen]:
                    seconds = len(messages) / rate
                    return asyncio.run(drive(url, messages, workload.shop, clock, seconds=seconds, model=model))

                if workload.learn:
                    play(workload.learn)
                before, since = bill(provider_url), clock.wall()
                seen = play(workload.measured)
            finally:
                gateway.send_signal(signal.SIGTERM)
                gateway.wait(60)
            nano = bill(provider_url) - before
            written, read = cached(provider_url, since)
        finally:
            provider.terminate()
            provider.wait(30)
        books = summarise(str(ledger), Scope(since=since))
        return Run(
            seen, nano,
            next((each.requests for each in books.techniques if each.name == technique), 0) / books.exchange_rows,
            books.estimate_error_share, books.identity_violations, written, read,
        )  # fmt: skip


def p95(seen: list[Seen]) -> float:
    whole = sorted(each.whole for each in seen if each.whole is not None)
    return whole[min(len(whole) - 1, int(len(whole) * 0.95))] if whole else float("inf")


def median(seen: list[Seen]) -> float:
    first = sorted(each.first for each in seen if each.first is not None)
    return first[len(first) // 2] if first else float("inf")


def report(workload: Workload, off: Run, on: Run) -> dict[str, Any]:
    """A technique's row."""

    def right(seen: Seen, place: int) -> bool:
        return not seen.error and workload.measured[place].item.grade(seen.text)

    quality = compare(
        (message.item.id, right(on.seen[place], place), right(off.seen[place], place))
        for place, message in enumerate(workload.measured)
    )
    return {
        "saved": round(1 - on.nano / off.nano, 4),
        "quality_diff_ci95": [round(quality.low, 4), round(quality.high, 4)],
        "quality": {"on": round(quality.ours, 4), "off": round(quality.baseline, 4), "distinct": quality.distinct},
        "p95_ratio": round(p95(on.seen) / p95(off.seen), 3),
        "ttft_ratio": round(median(on.seen) / median(off.seen), 3),
        "write_read": round(on.written / on.read, 4) if on.read else None,
        "touched": round(on.touched, 4),
        "estimate_error_share": round(on.estimate_error_share, 5),
        "errors": {"on": sum(bool(each.error) for each in on.seen), "off": sum(bool(each.error) for each in off.seen)},
        "identity_violations": on.identity_violations,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.techniques", description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(TECHNIQUES), help="may be repeated")
    parser.add_argument("--workload", action="append", choices=sorted(KINDS), help="may be repeated")
    parser.add_argument("--messages", type=int, default=400, help="that are measured")
    parser.add_argument("--learn", type=int, default=400, help="that are sent before")
    parser.add_argument("--rate", type=float, default=20.0, help="messages a second")
    parser.add_argument("--card", choices=sorted(LINEUPS), help="of all; else manga-2024, or as `CARDS` has it")
    parser.add_argument("--unproven", action="store_true", help="what is closed until evidence acts at once")
    parser.add_argument("--mix", help="a mix file; without one the reference application's")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parse(parser)
    count, learn = (80, 40) if arguments.quick else (arguments.messages, arguments.learn)
    plan: dict[tuple[str, str, str], list[str]] = {}
    for technique, names in TECHNIQUES.items():
        if technique not in (arguments.only or TECHNIQUES):
            continue
        card = arguments.card or CARDS.get(technique, "manga-2024")
        for name in names:
            if name not in (arguments.workload or KINDS):
                continue
            plan.setdefault((name, card, ""), []).append(technique)
            if name in BEHIND_ROUTER.get(technique, ()):
                plan.setdefault((name, card, ROUTER), []).append(technique)
    unproven = "open" if arguments.unproven else "closed"
    rows: dict[str, dict[str, Any]] = {}
    for (name, card, router), techniques in plan.items():
        workload = build(name, learn, count, arguments.seed, arguments.mix)
        strong = router or LINEUPS[card].baseline
        off = run(workload, "", card, arguments.rate, strong)
        for technique in techniques:
            model = "auto" if technique in ROUTED else strong
            on = run(workload, technique, card, arguments.rate, model, unproven)
            shown = f"{name}@router" if router else name
            row = rows.setdefault(technique, {})[shown] = {**report(workload, off, on), "card": card}
            print(f"{technique} on {shown}: {json.dumps(row)}", file=sys.stderr, flush=True)
    ordered = {technique: rows[technique] for technique in TECHNIQUES if technique in rows}
    print(json.dumps(ordered, indent=None if arguments.json else 2))


if __name__ == "__main__":
    main()
