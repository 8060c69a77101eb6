"""How fast this machine is now, against the idle core on which bars in milliseconds were stated.

`python -m benchmarks.calibrate --json` times a fixed kernel of the kind of work a gateway does (JSON, hashing, dicts,
small objects). A bar in milliseconds holds when figure <= bar x factor.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import time

from benchmarks.arguments import parse

STATED_MS = 5.5
"""The kernel on an idle core of the kind of machine the bars were stated for: the fastest of 400 runs there, CPython
3.11, November 2026."""


def kernel() -> int:
    """Fixed work: about five milliseconds on an idle core."""
    total = 0
    message = {"role": "user", "content": "What does it cost to cross the bridge? " * 8}
    for number in range(480):
        body = {"model": "auto", "messages": [message, {"role": "assistant", "content": str(number)}], "n": number}
        text = json.dumps(body)
        total += len(json.loads(text)["messages"])
        total += hashlib.blake2b(text.encode(), digest_size=32).digest()[0] & 1
        parts = {f"{key}-{number}": value for key, value in body.items()}
        total += sum(len(key) for key in sorted(parts))
        total += len([each for each in range(120) if each % 3])
    return total


def calibrate(runs: int = 60) -> dict[str, float]:
    """Median and fastest kernel time now in ms of CPU, and the factor by which bars in milliseconds grow."""
    times = []
    for _ in range(runs):
        began = time.thread_time()
        kernel()
        times.append((time.thread_time() - began) * 1000)
    now = statistics.median(times)
    return {
        "kernel_ms": round(now, 3),
        "fastest_ms": round(min(times), 3),
        "stated_ms": STATED_MS,
        "factor": round(max(1.0, now / STATED_MS), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.calibrate")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=60)
    arguments = parse(parser)
    print(json.dumps(calibrate(arguments.runs)))


if __name__ == "__main__":
    main()
