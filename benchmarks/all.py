"""`python -m benchmarks.all --data DIR [--quick]`: every benchmark, one after the other, its last line kept.

DIR is the folder that holds caching/, tokens/, routing/, retrieval/ and traces/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

# Name -> the folder below DIR it wants; "" is DIR itself, None is no data at all.
WANTS: dict[str, str | None] = {
    "calibrate": None,
    "overhead": None,
    "savings": "",
    "caching": "caching",
    "tokens": "tokens",
    "routing": "routing",
    "experiments": None,
    "retrieval": "retrieval",
    "throughput": "traces",
    "batch": None,
    "guardrails": None,
    "console": None,
    "telemetry": None,
    "latency": "",
    "techniques": "",
    "protection": None,
    "firstday": None,
    "mangaassist": None,
    "scaling": "traces",
    "scaleout": None,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.all")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", choices=list(WANTS), help="may be repeated")
    arguments = parser.parse_args()
    failed = []
    for name, folder in WANTS.items():
        if arguments.only and name not in arguments.only:
            continue
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
        if folder is not None:
            command += ["--data", str(arguments.data / folder)]
        if arguments.quick and name != "calibrate":
            command.append("--quick")
        began = time.perf_counter()
        print(f"== {name}", file=sys.stderr)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        lines = done.stdout.strip().splitlines()
        if done.returncode or not lines:
            failed.append(name)
            continue
        print(json.dumps({"benchmark": name, "seconds": round(time.perf_counter() - began), **json.loads(lines[-1])}))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
