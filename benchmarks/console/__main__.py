"""The console over a ledger of a million rows: writing it, every query its pages ask, every page in a browser.

`python -m benchmarks.console --json [--rows 1000000] [--quick] [--ledger FILE]`; no data needed; fixed seed. The ledger
is made by the ledger's own writer (some two minutes on an idle core) unless `--ledger` names one that
is there; a copy is never made of it, and nothing is written to it. Times are the median of five. Pages are
timed in headless Chromium, from navigation to the end of load, where one is installed (else `browser` is null). Beside
each stands the processor time it took here (`*_cpu_ms`): on a machine that others use too, that is what to look at.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.arguments import parse
from benchmarks.calibrate import calibrate
from benchmarks.console import browser
from benchmarks.console.made_ledger import fill
from hapenny.config import load
from hapenny.console.budgeted import budgeted
from hapenny.console.live import Live
from hapenny.console.site import Console
from hapenny.console.sitemap import PAGES
from hapenny.core.clock import RealClock
from hapenny.telemetry import sampled, searched
from hapenny.telemetry.conditions import condition
from hapenny.telemetry.figures import Scope
from hapenny.telemetry.holdout import against_totals
from hapenny.telemetry.rolled import Rolled

QUERY_MS, PAGE_MS, ROWS_PER_S = 300.0, 400.0, 5_000
UNTIL = 1_796_000_000.0
RUNS = 5


def questions(rolled: Rolled) -> dict[str, Callable[[Scope], Any]]:
    """Every question that a page asks of the ledger."""
    connection = rolled.connection
    found: dict[str, Callable[[Scope], Any]] = {
        "totals": rolled.totals,
        "course": rolled.course,
        "savings": rolled.savings,
        "baselines": rolled.baselines,
        "calls": rolled.calls,
        "layers": lambda scope: rolled.counts(scope, "layer"),
        "certificates": lambda scope: rolled.counts(scope, "certificate"),
        "slowest": lambda scope: searched.by_number(connection, rolled.peaks(scope, "slow", 100), scope),
        "spending": lambda scope: sampled.spending(connection, scope),
        "budget": lambda scope: budgeted(connection, scope),
        "evidence": lambda scope: sampled.evidence(connection, scope),
        "scores": lambda scope: sampled.scores(connection, scope),
        "holdout": lambda scope: against_totals(connection, *condition(scope), [(1, 1, 1, 0)], (0, 0.0)),
        "search": lambda scope: searched.search(connection, scope, searched.Wanted()),
        "search_failed": lambda scope: searched.search(connection, scope, searched.Wanted(outcome="failed")),
        "search_rare": lambda scope: searched.search(connection, scope, searched.Wanted(slower=500.0)),
    }
    for by in ("tenant", "key", "feature", "model", "route"):
        found[f"by_{by}"] = lambda scope, by=by: rolled.groups(scope, by)  # type: ignore[misc]
    return found


Table = dict[str, dict[str, float]]


def ask(path: str) -> tuple[Table, Table]:
    """Milliseconds of each question over each range, by the clock and of the processor."""
    rolled = Rolled(path)
    times: Table = {}
    spent: Table = {}
    with rolled.look():
        last = rolled.last or UNTIL
        scopes = {
            "all": Scope(),
            "day": Scope(since=last - 86_400),
            "week": Scope(since=last - 7 * 86_400),
            "tenant": Scope(tenant="tenant-03"),
            "feature": Scope(feature="search"),
            "narrow": Scope(feature="search", model="claude-haiku", route="chat"),
        }
        for name, question in questions(rolled).items():
            times[name], spent[name] = {}, {}
            for label, scope in scopes.items():
                taken, used = [], []
                for _ in range(RUNS):
                    rolled.forget()
                    began, cpu = time.perf_counter(), time.thread_time()
                    question(scope)
                    taken.append((time.perf_counter() - began) * 1e3)
                    used.append((time.thread_time() - cpu) * 1e3)
                times[name][label] = round(statistics.median(taken), 1)
                spent[name][label] = round(statistics.median(used), 1)
            print(name, times[name], file=sys.stderr)
    rolled.close()
    return times, spent


class Then(RealClock):
    """A clock at the end of the ledger's month."""

    def __init__(self, until: float) -> None:
        super().__init__()
        self._until = until

    def wall(self) -> float:
        return self._until


def visit(path: str, until: float) -> tuple[Table, Table, Table] | None:
    """Milliseconds of each page over each range in a browser: the median, the first visit, and what that first one took
    of the processor here; None without a browser."""
    program = browser.found()
    if program is None:
        return None
    clock = Then(until)
    config = load(text=f"backends: {{simulated: {{kind: simulated}}}}\nledger: {{path: {json.dumps(path)}}}\n")
    console = Console(config, clock, live=Live("", "", clock))
    port = console.listen("127.0.0.1", 0)
    thread = threading.Thread(target=console.run)
    thread.start()
    times: Table = {}
    first: Table = {}
    spent: Table = {}
    try:
        with browser.Browser(program) as tab:
            tab.size(1280)
            tab.open(f"http://127.0.0.1:{port}/labels")  # the browser itself is warm
            for page in PAGES:
                times[page.view], first[page.view], spent[page.view] = {}, {}, {}
                for label in ("24h", "7d", "all") if page.ranged else ("24h",):
                    url = f"http://127.0.0.1:{port}{page.path}?range={label}"
                    cpu = time.process_time()
                    taken = [tab.open(url)]
                    spent[page.view][label] = round((time.process_time() - cpu) * 1e3, 1)
                    taken += [tab.open(url) for _ in range(RUNS - 1)]
                    times[page.view][label] = round(statistics.median(taken), 1)
                    first[page.view][label] = round(taken[0], 1)
                print(page.path, times[page.view], file=sys.stderr)
    finally:
        console.stop()
        thread.join()
    return times, first, spent


def worst(table: Table, limit: float) -> dict[str, Any]:
    """The largest of a table, where it is, and what it may be."""
    ms, name, label = max((ms, name, label) for name, each in table.items() for label, ms in each.items())
    return {"ms": ms, "name": name, "range": label, "limit_ms": limit}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.console")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="50,000 rows")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ledger", help="a ledger that is there, instead of a made one")
    arguments = parse(parser)
    count = 50_000 if arguments.quick else arguments.rows
    with tempfile.TemporaryDirectory(prefix="hapenny-console-") as folder:
        path = arguments.ledger or str(Path(folder) / "ledger.db")
        written: dict[str, float] = {} if arguments.ledger else fill(path, count, UNTIL)
        rolled = Rolled(path)
        with rolled.look():
            until = (rolled.last or UNTIL) + 1.0
            (rows,) = rolled.connection.execute("SELECT count(*) FROM requests").fetchone()
        rolled.close()
        (asked, asked_cpu), visited = ask(path), visit(path, until)
    pages, first, first_cpu = visited if visited is not None else (None, None, None)
    factor = calibrate()["factor"]
    slowest, drawn = worst(asked, QUERY_MS), worst(pages, PAGE_MS) if pages else None
    result = {
        "rows": rows,
        "write": written,
        "queries_ms": asked,
        "pages_ms": pages,
        "pages_first_visit_ms": first,
        "queries_cpu_ms": asked_cpu,
        "pages_first_visit_cpu_ms": first_cpu,
        "worst_query": slowest,
        "worst_query_cpu": worst(asked_cpu, QUERY_MS),
        "worst_page": drawn,
        "worst_first_visit": worst(first, PAGE_MS) if first else None,
        "worst_first_visit_cpu": worst(first_cpu, PAGE_MS) if first_cpu else None,
        "factor": factor,
        "holds": {
            "queries": slowest["ms"] <= QUERY_MS * factor,
            "pages": None if drawn is None else drawn["ms"] <= PAGE_MS * factor,
            "write": None if not written else written["rows_per_cpu_s"] >= ROWS_PER_S,
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
