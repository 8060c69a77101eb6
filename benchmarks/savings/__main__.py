"""`python -m benchmarks.savings --data DIR --json [--requests N] [--seeds S] [--messages M] [--learning L] [--quick]`

Money, invoice and latency: one run of each card over sockets; a simulated provider, the gateway and the clients are
processes of their own. Arrivals are those of azure2023_conv, compressed 4x; simulated latencies are not compressed; all
figures are wall-clock milliseconds, quotas are ample. Beside it a share of the requests goes to a second provider
directly, on the strong model: the baseline's latency. Quality, frontier and captured: the shop's mix through the same
pipeline in virtual time (`quality`), S seeds a card, by processes of the lowest priority, which fill what the run over
sockets leaves idle. On top stands manga-2024, under `cards` both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.arguments import parse
from benchmarks.savings import quality
from benchmarks.savings.clients import ACCESS_KEY, Clients, Seen, streamed
from benchmarks.savings.traffic import Item, arrivals, build
from benchmarks.second_invoice import second_invoice
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.workload.mix import Mix
from hapenny.simulation.workload.mix import load as load_mix
from hapenny.telemetry.summary import summarise

CONFIG = """
server: {{port: 0}}
backends:
  bedrock: {{kind: bedrock, region: us-east-1, base_url: "{provider}", api_key: simulated}}
tiers:
{tiers}
routes:
  default: {{baseline: strong, preset: balanced, max_quality_loss: 0.01}}
keys:
  - {{key: "{key}", tenant: benchmark, sigv4_access_key: {access_key}}}
ledger: {{path: "{ledger}"}}
"""


AMPLE = 1_000_000_000
"""Calls and tokens a minute. Before compressed arrivals a card's own quotas would refuse the baseline itself; what they
do is measured by `benchmarks.throughput`."""


def launch(command: list[str]) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if "http" not in line:
        raise SystemExit(f"{command[2:4]} did not start")
    return process, line.split()[-1]


def fetch(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


async def drive(url: str, key: str, items: list[Item], times: list[float], model: str) -> list[Seen]:
    clients = Clients(url, key)
    start = time.perf_counter()
    done = 0

    async def one(number: int) -> Seen:
        nonlocal done
        await asyncio.sleep(max(0.0, start + times[number] - time.perf_counter()))
        seen = await clients.send(number, items[number], model)
        done += 1
        if done % 100 == 0:
            print(f"{done} of {len(items)} answered, {time.perf_counter() - start:.0f} s", file=sys.stderr)
        return seen

    seen = await asyncio.gather(*[one(number) for number in range(len(items))])
    await clients.close()
    return list(seen)


def quantile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * q))] * 1000, 1) if ordered else 0.0


def live(card: str, items: list[Item], times: list[float], records: Path | None) -> dict[str, Any]:
    """One run over sockets: what clients noticed, what it cost, whether the books agree with two invoices."""
    folder = tempfile.TemporaryDirectory()
    python = [sys.executable, "-m", "hapenny"]
    simulate = [*python, "simulate", "--port", "0", "--card", card, "--rpm", str(AMPLE), "--tpm", str(AMPLE)]
    provider, provider_url = launch(simulate)
    direct, direct_url = launch(simulate)
    try:
        key = secrets.token_hex(16)
        ledger = Path(folder.name, "ledger.db")
        config = Path(folder.name, "hapenny.yaml")
        lineup = LINEUPS[card]
        models = lineup.tiers()
        tiers = "\n".join(f"  {tier}: {model}" for tier, model in models.items())
        config.write_text(
            CONFIG.format(provider=provider_url, key=key, access_key=ACCESS_KEY, ledger=ledger, tiers=tiers)
        )
        gateway, url = launch([*python, "serve", "-c", str(config)])
        try:
            seen, beside = asyncio.run(both(url, direct_url, key, items, times, models["strong"]))
        finally:
            gateway.send_signal(signal.SIGTERM)
            gateway.wait(60)
        bill = fetch(f"{provider_url}/simulate/bill")
        calls = fetch(f"{provider_url}/simulate/calls")["calls"]
        told = fetch(f"{provider_url}/simulate/card")
    finally:
        for process in (provider, direct):
            process.terminate()
            process.wait(30)
    books = summarise(str(ledger))
    errors = [each.error for each in seen if each.error]
    for where, run in (("gateway", seen), ("provider, directly", beside)):
        counts = Counter(each.error for each in run if each.error)
        for error, count in counts.most_common(5):
            print(f"error: {where}: {error} ({count}x)", file=sys.stderr)
    good = [each for each in seen if not each.error]
    if records:
        with records.open("a") as lines:
            for number, each in enumerate(seen):
                record = {"card": card, "source": items[number].source, "client": number % 3, **each._asdict()}
                lines.write(json.dumps(record) + "\n")
    plain = [each for each in beside if not each.error]
    report = {
        "requests": len(seen),
        "errors": len(errors),
        "quotas": "ample",
        "baseline_usd": books.baseline / 1e9,
        "actual_usd": books.actual / 1e9,
        "saved_share": round(books.saved_share, 4),
        "by_technique": {each.name: each.saved / 1e9 for each in books.techniques},
        "ttft_p50_ms": quantile([each.first for each in good], 0.50),
        "ttft_p95_ms": quantile([each.first for each in good], 0.95),
        "ttft_streamed_p95_ms": quantile(
            [each.first for n, each in enumerate(seen) if streamed(n) and not each.error], 0.95
        ),
        "e2e_p95_ms": quantile([each.whole for each in good], 0.95),
        "e2e_p95_up_to_100_tokens_ms": quantile([each.whole for each in good if each.tokens <= 100], 0.95),
        "baseline_latency": {
            "requests": len(plain),
            "errors": len(beside) - len(plain),
            "ttft_p50_ms": quantile([each.first for each in plain], 0.50),
            "ttft_p95_ms": quantile([each.first for each in plain], 0.95),
            "e2e_p95_ms": quantile([each.whole for each in plain], 0.95),
        },
        "exchange_rows": books.exchange_rows,
        "background_rows": books.background_rows,
        "identity_violations": books.identity_violations,
        "provider_invoice_usd": bill["nano"] / 1e9,
        "invoice_diff_nano": abs(bill["nano"] - books.actual),
        "second_invoice": second_invoice(calls, str(ledger)),
        "estimate_error_share": round(books.estimate_error_share, 5),
        "unpriced_rows": books.unpriced_rows,
        "card": told["digest"],
        "sources": {name: sum(item.source == name for item in items) for name in sorted({i.source for i in items})},
    }
    folder.cleanup()
    print("\n".join(told["lines"]), file=sys.stderr)
    return report


async def both(
    url: str, direct: str, key: str, items: list[Item], times: list[float], strong: str
) -> tuple[list[Seen], list[Seen]]:
    """All requests through the gateway, and every tenth of them to the provider itself."""
    places = range(0, len(items), 10)
    gateway = drive(url, key, items, times, "auto")
    plain = drive(direct, key, [items[place] for place in places], [times[place] for place in places], strong)
    seen, beside = await asyncio.gather(gateway, plain)
    return seen, beside


def play(pool: ProcessPoolExecutor, mix: Mix, arguments: argparse.Namespace) -> dict[str, list[Future[quality.Seed]]]:
    """All seeds of all cards, as many at once as there are workers: each hangs on its number alone. What one worker
    plays next to each other is the same seed on each card, whose questions are the same."""
    played: dict[str, list[Future[quality.Seed]]] = {card: [] for card in arguments.cards}
    for first in range(1, arguments.seeds + 1, arguments.workers):
        for card in arguments.cards:
            for number in range(first, min(first + arguments.workers, arguments.seeds + 1)):
                played[card].append(
                    pool.submit(quality.play, card, mix, number, arguments.messages, arguments.learning)
                )
    return played


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.savings")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="200 requests over sockets, one seed of 300 after 600")
    parser.add_argument("--requests", type=int, default=2100, help="over sockets, each card")
    parser.add_argument("--seeds", type=int, default=4, help="in virtual time, each card; 10 take about half an hour")
    parser.add_argument("--messages", type=int, default=5000, help="that are measured in each seed")
    parser.add_argument("--learning", type=int, default=10_000, help="on other questions, before them")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="seeds played at once")
    parser.add_argument("--cards", nargs="+", default=["manga-2024", "current-2026"], choices=sorted(LINEUPS))
    parser.add_argument("--mix", help="a mix file; without one the reference application's")
    parser.add_argument("--records", type=Path)
    parser.add_argument("--compress", type=float, default=4.0)
    arguments = parse(parser)
    if arguments.quick:
        arguments.requests, arguments.seeds, arguments.messages, arguments.learning = 200, 1, 300, 600
    mix = load_mix(arguments.mix)
    items = build(arguments.data, arguments.requests) if arguments.requests else []
    times = arrivals(arguments.data, len(items), arguments.compress) if items else []
    if arguments.records:
        arguments.records.write_text("")
    cards: dict[str, dict[str, Any]] = {}
    with ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn"), quality.aside) as pool:
        played = play(pool, mix, arguments)
        for card in arguments.cards:
            cards[card] = live(card, items, times, arguments.records) if items else {}
        for card in arguments.cards:
            if played[card]:
                cards[card] |= quality.report([each.result() for each in played[card]])
    top = cards.get("manga-2024") or next(iter(cards.values()))
    report = {**top, "mix": mix.digest(), "cards": cards}
    print(json.dumps(report, indent=None if arguments.json else 2))


if __name__ == "__main__":
    main()
