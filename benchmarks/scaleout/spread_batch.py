"""A batch spread over workers, of which one is killed, and whose owner is killed and started again: what is lost, what
is paid for twice."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.scaleout import fleet
from benchmarks.scaleout.provider import answer_to
from benchmarks.scaleout.servers import Process, Redis, log

RECORDS = 1_500
WORKERS = 3
DELAY_S = 0.5
LIMIT_S = 240.0


def _worker(config: Path, store: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "hapenny", "batch", "work", store, "-c", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _answered(provider: Process) -> int:
    return sum(line[5] is not None for line in fleet.calls(provider))


def measure(folder: Path, redis: Redis) -> dict[str, Any]:
    """`lost`: records without their answer in the end. `paid_twice`: records whose call was completed more than once.
    `begun_twice`: those whose call was begun again, because whoever had begun it died."""
    here = folder / "batch"
    here.mkdir()
    provider = Process("benchmarks.scaleout.provider", str(DELAY_S))
    config = here / "hapenny.yaml"
    (here / "prices.yaml").write_text(fleet.PRICES)
    text = fleet.CONFIG.format(provider=provider.port, prices=here / "prices.yaml", budget=1_000, quota=600_000)
    config.write_text(text + 'ledger: null\nstate: ""\n')
    questions = [f"record {number} of the batch" for number in range(RECORDS)]
    rows = [
        {
            "custom_id": f"r{number}",
            "body": {"model": "mock-model", "max_tokens": 50, "messages": [{"role": "user", "content": question}]},
        }
        for number, question in enumerate(questions)
    ]
    (here / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    journal = ["--folder", str(here / "journal"), "-c", str(config), "--spread", redis.url]
    command = [sys.executable, "-m", "hapenny", "batch"]
    workers = [_worker(config, redis.url) for _ in range(WORKERS)]
    owner = subprocess.Popen(
        [*command, "submit", str(here / "in.jsonl"), "--within", "1h", "--wait", *journal],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert owner.stdout is not None
    try:
        name = owner.stdout.readline().strip()
        end = time.monotonic() + LIMIT_S
        while _answered(provider) < RECORDS // 4 and time.monotonic() < end:
            time.sleep(0.1)
        workers[0].kill()
        workers[0].wait(10)
        owner.kill()
        owner.wait(10)
        workers.append(_worker(config, redis.url))
        owner = subprocess.Popen(
            [*command, "run", *journal], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            owner.wait(max(1.0, end - time.monotonic()))
        done = subprocess.run(
            [*command, "fetch", name, "--folder", str(here / "journal")], capture_output=True, text=True, check=False
        )
        outputs = {row["id"]: json.dumps(row.get("output")) for row in map(json.loads, done.stdout.splitlines())}
        lost = sum(
            answer_to(question) not in outputs.get(f"r{number}", "") for number, question in enumerate(questions)
        )
        record = fleet.calls(provider)
        begun: dict[str, int] = {}
        completed: dict[str, int] = {}
        for line in record:
            begun[line[0]] = begun.get(line[0], 0) + 1
            completed[line[0]] = completed.get(line[0], 0) + (line[5] is not None)
        figures = {
            "lost": lost,
            "paid_twice": sum(count > 1 for count in completed.values()),
            "begun_twice": sum(count > 1 for count in begun.values()),
            "records": RECORDS,
        }
        log(f"batch: {figures}")
        return {"batch": figures}
    finally:
        everyone: list[subprocess.Popen[Any]] = [*workers, owner]
        for process in everyone:
            if process.poll() is None:
                process.kill()
                process.wait(10)
            if process.stdout is not None:
                process.stdout.close()
        provider.close()
