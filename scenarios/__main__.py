"""`python -m scenarios [NAME ...] [--json] [--runbooks]`: plays scenarios, or writes the runbooks made of them."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import traceback
from pathlib import Path

from hapenny.core.clock import RealClock
from scenarios.play import found, play
from scenarios.runbooks import pages

RUNBOOKS = Path(__file__).parent.parent / "docs" / "runbooks"


def main() -> int:
    """The number of scenarios that failed, at most 1."""
    parser = argparse.ArgumentParser(prog="python -m scenarios", description=__doc__)
    parser.add_argument("names", nargs="*", help="scenarios; all of them if left out")
    parser.add_argument("--json", action="store_true", help="one object a scenario")
    parser.add_argument("--runbooks", action="store_true", help="write docs/runbooks")
    options = parser.parse_args()
    modules = found()
    if options.runbooks:
        RUNBOOKS.mkdir(exist_ok=True)
        for name, text in pages(modules).items():
            (RUNBOOKS / name).write_text(text, encoding="utf-8")
        return 0
    unknown = [name for name in options.names if name not in modules]
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)}. There are: {', '.join(modules)}")
    logging.disable(logging.CRITICAL)
    clock, failed = RealClock(), 0
    for name in options.names or modules:
        began = clock.now()
        why = ""
        try:
            play(modules[name])
        except Exception:
            why = traceback.format_exc()
        failed += bool(why)
        seconds = round(clock.now() - began, 2)
        scenario = modules[name].SCENARIO
        told = {"name": name, "skill": scenario.skill, "passed": not why, "seconds": seconds, "why": why}
        if options.json:
            print(json.dumps(told))
        else:
            print(f"{'FAIL' if why else 'pass'}  {scenario.skill}  {scenario.title}  ({seconds} s)")
            if why:
                print(why, file=sys.stderr)
    return min(1, failed)


if __name__ == "__main__":
    sys.exit(main())
