"""`python -m benchmarks.scaling --data DIR [--train DIR0] --json [--quick] [--records FILE]`: DIR is the folder of
traces, or one whose sub-folder `traces` holds them. Without `--train` each trace is tuned on its first half and
measured on its second."""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.arguments import parse
from benchmarks.scaling import forecast, foretold, mixed, one_app, planning, quota, simulator
from benchmarks.scaling.traces import folder, requests

SECTIONS = ("simulator", "one_app", "mixed", "forecast", "planner", "quota", "whatif")


def main() -> None:
    """Runs all sections; the last line of standard output is the JSON object."""
    parser = argparse.ArgumentParser(prog="benchmarks.scaling", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--records", type=Path)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections")
    options = parse(parser)
    options.data = folder(options.data)
    options.train = options.train and folder(options.train)
    started = time.monotonic()
    result: dict[str, Any] = {}
    records: list[dict[str, Any]] = []

    def say(name: str, figures: Any) -> None:
        result[name] = figures
        records.append({"section": name, "figures": figures})
        print(f"[{time.monotonic() - started:6.1f} s] {name}: {json.dumps(figures)}", file=sys.stderr, flush=True)

    if "simulator" in options.only:  # before the worker processes start, so that it has a core to itself
        say("simulator", simulator.run(options.data, 1_000 if options.quick else 6_000, 200 if options.quick else 800))
    with ProcessPoolExecutor(2) as pool:
        later: list[tuple[str, Any]] = []
        count = 1_000 if options.quick else 4_000
        found = requests(options.data)
        if "one_app" in options.only:
            later.append(("one_app", pool.submit(one_app.run, options.data, options.train).result))
        if "mixed" in options.only:
            later.append(("mixed", mixed.run(options.data, options.train, pool, 1 if options.quick else 3)))
        if "planner" in options.only:
            later.append(("planner", planning.run(found, options.train, pool)))
        if "quota" in options.only:
            later.append(("quota", quota.run(options.data, pool, count)))
        if "whatif" in options.only:
            say("whatif", foretold.run(60 if options.quick else 240, 15.0 if options.quick else 45.0))
        if "forecast" in options.only:
            say("forecast", forecast.run(options.data))
        for name, collect in later:
            say(name, collect())
    result["seconds"] = round(time.monotonic() - started, 1)
    if options.records:
        options.records.write_text("".join(json.dumps(row) + "\n" for row in records), encoding="utf-8")
    print(json.dumps(result, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
