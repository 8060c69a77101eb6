"""`python -m benchmarks.batch --json [--data DIR] [--quick] [--records FILE]`: 20 batches, each killed at random times.

Real processes and real kill -9; the provider is simulated on a folder and lives on. paid_twice counts records that the
provider charged more than once, in jobs and on demand together.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.arguments import parse
from benchmarks.batch.child import RECORDS, jobs

SEED = 20_261_120


def trial(number: int, stuck: bool) -> dict[str, Any]:
    """One batch: started, killed at a random moment, started again until it is done."""
    chance = random.Random(SEED + number)
    with tempfile.TemporaryDirectory(prefix="hapenny-batch-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "benchmarks.batch.child", name, f"b{number}", str(int(stuck))]
        kills = 0
        process = subprocess.Popen(command)
        started = time.monotonic()
        wait = chance.uniform(0.2, 2.2)
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills = 1
        if kills or process.returncode != 0:
            subprocess.run(command, check=True, timeout=120)
        report: dict[str, Any] = msgspec.json.decode((folder / "report.json").read_bytes())
        _, control = jobs(folder, stuck)
        paid = control.bill()
        log = folder / "on_demand.log"
        on_demand = log.read_text().split() if log.exists() else []
        for record in on_demand:
            paid[record] = paid.get(record, 0) + 1
        report |= {
            "trial": number,
            "kills": kills,
            "killed_at_s": round(wait, 3),
            "paid_twice": sum(times > 1 for times in paid.values()),
            "on_demand": len(on_demand),
            "processed_in_jobs": sum(control.bill().values()),
            "seconds": round(time.monotonic() - started, 2),
        }
        return report


def main() -> None:
    """Runs the trials; the last line of standard output is the JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="not needed; taken for the sake of `make bench`")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--records", type=Path)
    options = parse(parser)
    count = 4 if options.quick else 20
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(2) as pool:
        for row in pool.map(lambda n: trial(n, stuck=n == 0), range(count)):
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
    total = count * RECORDS
    # On demand everything would cost 1 a record; a job's records cost half, processed or resent ones in full.
    cost = sum(0.5 * row["processed_in_jobs"] + row["on_demand"] for row in rows)
    failed = sum(row["failed_in_job"] for row in rows)
    result = {
        "lost": sum(row["lost"] for row in rows),
        "paid_twice": sum(row["paid_twice"] for row in rows),
        "orphans": sum(row["orphans"] for row in rows),
        "resent_ok": sum(row["resent_ok"] for row in rows) / failed if failed else 1.0,
        "deadline_misses": sum(row["late_s"] > 0 for row in rows),
        "saved_share": round(1 - cost / total, 4),
        "kills": sum(row["kills"] for row in rows),
        "batches": count,
        "records": total,
        "jobs": sum(row["jobs"] for row in rows),
        "stuck_jobs": 1,
    }
    if options.records:
        options.records.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
