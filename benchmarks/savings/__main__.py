"""`python -m benchmarks.savings --data DIR --json [--requests N] [--quick] [--records FILE]`

A simulated provider, the gateway and the clients are processes of their own and speak over sockets. Arrivals are those
of azure2023_conv, compressed 4x; simulated latencies are not compressed; all figures are wall-clock milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.arguments import parse
from benchmarks.savings.clients import ACCESS_KEY, Clients, Seen, streamed
from benchmarks.savings.traffic import Item, arrivals, build
from benchmarks.second_invoice import second_invoice
from hapenny.telemetry.summary import summarise

CONFIG = """
server: {{port: 0}}
backends:
  bedrock: {{kind: bedrock, region: us-east-1, base_url: "{provider}", api_key: simulated}}
tiers:
  fast: anthropic.claude-3-haiku-20240307-v1:0
  balanced: anthropic.claude-3-5-haiku-20241022-v1:0
  strong: anthropic.claude-3-sonnet-20240229-v1:0
  max: anthropic.claude-3-opus-20240229-v1:0
routes:
  default: {{baseline: strong, preset: balanced}}
keys:
  - {{key: "{key}", tenant: benchmark, sigv4_access_key: {access_key}}}
ledger: {{path: "{ledger}"}}
"""


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


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.savings")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="200 requests")
    parser.add_argument("--requests", type=int, default=2100)
    parser.add_argument("--records", type=Path)
    parser.add_argument("--compress", type=float, default=4.0)
    arguments = parse(parser)
    requests = 200 if arguments.quick else arguments.requests
    items = build(arguments.data, requests)
    times = arrivals(arguments.data, len(items), arguments.compress)
    folder = tempfile.TemporaryDirectory()
    python = [sys.executable, "-m", "hapenny"]
    provider, provider_url = launch([*python, "simulate", "--port", "0", "--card", "manga-2024"])
    try:
        key = secrets.token_hex(16)
        ledger = Path(folder.name, "ledger.db")
        config = Path(folder.name, "hapenny.yaml")
        config.write_text(CONFIG.format(provider=provider_url, key=key, access_key=ACCESS_KEY, ledger=ledger))
        gateway, url = launch([*python, "serve", "-c", str(config)])
        try:
            seen = asyncio.run(drive(url, key, items, times, "auto"))
        finally:
            gateway.send_signal(signal.SIGTERM)
            gateway.wait(60)
        bill = fetch(f"{provider_url}/simulate/bill")
        calls = fetch(f"{provider_url}/simulate/calls")["calls"]
        card = fetch(f"{provider_url}/simulate/card")
    finally:
        provider.terminate()
        provider.wait(30)
    books = summarise(str(ledger))
    errors = [each.error for each in seen if each.error]
    for error in sorted(set(errors))[:5]:
        print(f"error: {error} ({errors.count(error)}x)", file=sys.stderr)
    good = [each for each in seen if not each.error]
    if arguments.records:
        with arguments.records.open("w") as lines:
            for number, each in enumerate(seen):
                record = {"source": items[number].source, "client": number % 3, **each._asdict()}
                lines.write(json.dumps(record) + "\n")
    report = {
        "requests": len(seen),
        "errors": len(errors),
        "baseline_usd": books.baseline / 1e9,
        "actual_usd": books.actual / 1e9,
        "saved_share": round(books.saved_share, 4),
        "by_technique": {each.name: each.saved / 1e9 for each in books.techniques},
        "ttft_p50_ms": quantile([each.first for each in good], 0.50),
        "ttft_p95_ms": quantile([each.first for each in good], 0.95),
        "ttft_streamed_p95_ms": quantile([each.first for n, each in enumerate(seen) if streamed(n)], 0.95),
        "e2e_p95_ms": quantile([each.whole for each in good], 0.95),
        "e2e_p95_up_to_100_tokens_ms": quantile([each.whole for each in good if each.tokens <= 100], 0.95),
        "exchange_rows": books.exchange_rows,
        "background_rows": books.background_rows,
        "identity_violations": books.identity_violations,
        "provider_invoice_usd": bill["nano"] / 1e9,
        "invoice_diff_nano": abs(bill["nano"] - books.actual),
        "second_invoice": second_invoice(calls, str(ledger)),
        "estimate_error_share": round(books.estimate_error_share, 5),
        "unpriced_rows": books.unpriced_rows,
        "card": card["digest"],
        "sources": {name: sum(item.source == name for item in items) for name in sorted({i.source for i in items})},
    }
    folder.cleanup()
    print("\n".join(card["lines"]), file=sys.stderr)
    print(json.dumps(report, indent=None if arguments.json else 2))


if __name__ == "__main__":
    main()
