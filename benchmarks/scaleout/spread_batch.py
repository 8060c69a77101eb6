"""A batch spread over workers, of which one is killed and one is stopped for longer than its lease, and whose owner is
killed and started again: what is lost, what is paid for twice. Over Redis, and on request over every store of leases
there is.

What a killed worker had sent and has no answer to is in doubt: nobody can know whether it was paid for. The batch runs
with `in_doubt: hold`, so it ends with these records held; then the operator says that they be asked again. A record is
lost that has neither its answer nor is held, and in the end that has no answer; `paid_twice` is of all that happens by
itself; what is paid for again because the operator said so is counted beside it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.scaleout import fleet
from benchmarks.scaleout.provider import answer_to
from benchmarks.scaleout.servers import Postgres, Process, Redis, log
from hapenny.batch.records import IN_DOUBT

RECORDS = 1_500
WORKERS = 3
DELAY_S = 0.5
LIMIT_S = 240.0
LEASE_S = 8
STOPPED_S = 25.0
"""Longer than the lease, and than the gateways let a request wait."""


def _worker(config: Path, store: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "hapenny", "batch", "work", store, "-c", str(config), "--lease", f"{LEASE_S}s"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def _answered(provider: Process) -> int:
    return sum(line[5] is not None for line in fleet.calls(provider))


def measure(folder: Path, redis: Redis, postgres: Postgres, *, all_stores: bool = False) -> dict[str, Any]:
    """`lost`: records without their answer in the end, or that ended without one and were not held. `paid_twice`:
    records whose call was completed more than once, without anybody's word. `in_doubt`: records that were held.
    `paid_again_by_choice`: those of them that had been paid for. `begun_twice`: records whose call was begun more than
    once without anybody's word. Of several stores the worst counts."""
    by_store = {"redis": _one(folder / "batch-redis", redis.url, {}, RECORDS)}
    if all_stores:
        by_store["postgres"] = _one(folder / "batch-postgres", postgres.dsn, {}, RECORDS // 2)
        by_store["sqlite"] = _one(folder / "batch-sqlite", str(folder / "shards.db"), {}, RECORDS // 2)
        with _aws() as (environment, urls):
            for name, url in urls.items():
                by_store[name] = _one(folder / f"batch-{name}", url, environment, RECORDS // 3)
    keys = ("lost", "paid_twice", "in_doubt", "paid_again_by_choice", "begun_twice", "records")
    return {
        "batch": {**{key: max(each[key] for each in by_store.values()) for key in keys}, "stores": by_store},
    }


@contextlib.contextmanager
def _aws() -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """S3 and SQS as moto's server has them: what a process needs to reach it, and the stores there."""
    if importlib.util.find_spec("moto") is None:
        log("S3 and SQS are left out: moto is not installed")
        yield {}, {}
        return
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    how = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"}
    secrets = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    boto3.client("s3", **how, **secrets).create_bucket(Bucket="batches")
    boto3.client("sqs", **how, **secrets).create_queue(QueueName="work.fifo", Attributes={"FifoQueue": "true"})
    environment = {
        "AWS_ENDPOINT_URL": how["endpoint_url"], "AWS_DEFAULT_REGION": how["region_name"],
        **{name.upper(): value for name, value in secrets.items()},
    }  # fmt: skip
    try:
        yield environment, {"s3": "s3://batches/alone", "sqs": "sqs://work.fifo/batches/queued"}
    finally:
        server.stop()


def _one(here: Path, store: str, environment: dict[str, str], count: int) -> dict[str, Any]:
    here.mkdir()
    provider = Process("benchmarks.scaleout.provider", str(DELAY_S))
    config = here / "hapenny.yaml"
    (here / "prices.yaml").write_text(fleet.PRICES)
    text = fleet.CONFIG.format(provider=provider.port, prices=here / "prices.yaml", budget=1_000, quota=600_000)
    batch = f"batch: {{journal: {here / 'unused'}, in_doubt: hold, poll_s: 0.5}}\n"
    config.write_text(text + 'ledger: null\nstate: ""\n' + batch)
    questions = [f"record {number} of the batch" for number in range(count)]
    rows = [
        {
            "custom_id": f"r{number}",
            "body": {"model": "mock-model", "max_tokens": 50, "messages": [{"role": "user", "content": question}]},
        }
        for number, question in enumerate(questions)
    ]
    (here / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    journal = ["--folder", str(here / "journal"), "-c", str(config), "--spread", store]
    command = [sys.executable, "-m", "hapenny", "batch"]
    workers = [_worker(config, store, environment) for _ in range(WORKERS)]
    owner = subprocess.Popen(
        [*command, "submit", str(here / "in.jsonl"), "--within", "1h", "--wait", *journal],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    )
    assert owner.stdout is not None
    try:
        name = owner.stdout.readline().strip()
        end = time.monotonic() + LIMIT_S
        while _answered(provider) < count // 4 and time.monotonic() < end:
            time.sleep(0.1)
        workers[1].send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        workers[0].kill()
        workers[0].wait(10)
        owner.kill()
        owner.wait(10)
        workers.append(_worker(config, store, environment))
        owner = subprocess.Popen(
            [*command, "run", *journal],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environment},
        )
        time.sleep(max(0.0, stopped + STOPPED_S - time.monotonic()))
        waited = owner.poll() is None
        workers[1].send_signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            owner.wait(max(1.0, end - time.monotonic()))
        asked = dict(zip((f"r{number}" for number in range(count)), questions, strict=True))
        told = _fetched(command, name, here / "journal")
        doubtful = [id for id, row in told.items() if IN_DOUBT in row.get("error", "")]
        lost = {id for id, question in asked.items() if not _right(told.get(id), question)} - set(doubtful)
        by_itself = fleet.calls(provider)
        subprocess.run([*command, "again", name, "--folder", str(here / "journal")], capture_output=True, check=False)
        subprocess.run(
            [*command, "run", *journal], env={**os.environ, **environment}, capture_output=True, timeout=LIMIT_S,
            check=False,
        )  # fmt: skip
        told = _fetched(command, name, here / "journal")
        lost |= {id for id, question in asked.items() if not _right(told.get(id), question)}
        begun, completed = _counted(by_itself)
        _, in_the_end = _counted(fleet.calls(provider))
        figures = {
            "lost": len(lost),
            "paid_twice": sum(times > 1 for times in completed.values()),
            "in_doubt": len(doubtful),
            "paid_again_by_choice": sum(times > max(1, completed[key]) for key, times in in_the_end.items()),
            "begun_twice": sum(times > 1 for times in begun.values()),
            "records": count,
            "waited_for_the_stopped": waited,
        }
        log(f"batch over {here.name}: {figures}")
        return figures
    finally:
        everyone: list[subprocess.Popen[Any]] = [*workers, owner]
        for process in everyone:
            if process.poll() is None:
                process.kill()
                process.wait(10)
            if process.stdout is not None:
                process.stdout.close()
        provider.close()


def _fetched(command: list[str], name: str, journal: Path) -> dict[str, dict[str, Any]]:
    """What a batch's records came to, by id."""
    done = subprocess.run(
        [*command, "fetch", name, "--folder", str(journal)], capture_output=True, text=True, check=False
    )
    return {row["id"]: row for row in map(json.loads, done.stdout.splitlines())}


def _right(row: dict[str, Any] | None, question: str) -> bool:
    """Whether a record has its own answer."""
    return row is not None and answer_to(question) in json.dumps(row.get("output"))


def _counted(record: list[list[Any]]) -> tuple[Counter[str], Counter[str]]:
    """How often each call was begun and completed, by the provider's record."""
    return Counter(line[0] for line in record), Counter(line[0] for line in record if line[5] is not None)
