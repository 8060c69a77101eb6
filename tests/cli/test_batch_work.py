"""`hapenny batch work` as processes: records are spread over them, whoever is stopped or told to go."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from aiohttp import web

from tests.settling import until

HAPENNY = [sys.executable, "-m", "hapenny", "batch"]
CONFIG = """
backends: {{up: {{kind: openai, base_url: "http://127.0.0.1:{port}/v1", api_key: key}}}}
models: {{m: {{id: m, backend: up}}}}
tiers: {{strong: m}}
ledger: null
state: ""
routes: {{default: {{begin_s: 5, finish_s: 5}}}}
"""


class Provider:
    """Answers after a moment, also to whoever does not read the answer yet; counts what it answered."""

    def __init__(self):
        self.answered, self.begun = {}, {}
        self.gate = threading.Event()
        self.free = 0
        """So many are answered whether the gate is open or not."""

    async def __call__(self, request):
        question = (await request.json())["messages"][-1]["content"]
        self.begun[question] = self.begun.get(question, 0) + 1
        while not self.gate.is_set() and len(self.answered) >= self.free:
            await asyncio.sleep(0.02)
        self.answered[question] = self.answered.get(question, 0) + 1
        message = {"role": "assistant", "content": f"answer to {question}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
        return web.json_response(
            {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        )


@pytest.fixture
def provider():
    made, started, loop = Provider(), threading.Event(), asyncio.new_event_loop()

    async def serve():
        app = web.Application()
        app.router.add_post("/v1/chat/completions", made)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.port = runner.addresses[0][1]
        started.set()

    def run():
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait(10)
    yield made
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.fixture
def place(request, tmp_path):
    """The store of the shards, by the test's parameter: a SQLite file where it has none."""
    kind = getattr(request, "param", "sqlite")
    if kind in ("s3", "sqs"):
        yield request.getfixturevalue("aws_batches")[kind]
    elif kind == "sqlite":
        yield str(tmp_path / "shards.db")
    else:
        yield request.getfixturevalue({"redis": "redis_url", "postgres": "postgres_dsn"}[kind])


@pytest.fixture
def spread(tmp_path, provider, place):
    """Hands in 40 records over a store, and starts workers there."""
    config = tmp_path / "hapenny.yaml"
    config.write_text(CONFIG.format(port=provider.port))
    rows = [
        {"custom_id": f"r{n}", "body": {"model": "m", "messages": [{"role": "user", "content": f"record {n}"}]}}
        for n in range(40)
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder, store, begun = tmp_path / "jobs", place, []

    def start(*words):
        command = [*HAPENNY, *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": dict(os.environ)}
        begun.append(subprocess.Popen(command, **pipes))
        return begun[-1]

    class Spread:
        def worker(self):
            made = start("work", store, "-c", str(config), "--lease", "2s")
            assert made.stdout.readline().strip() == "waiting for records"
            return made

        def set(self, more):
            config.write_text(config.read_text() + more)

        def submit(self):
            words = ("submit", str(tmp_path / "in.jsonl"), "--within", "1h", "--wait", "--folder", str(folder))
            return start(*words, "-c", str(config), "--spread", store)

        def call(self, *words):
            done = subprocess.run(
                [*HAPENNY, *words, "--folder", str(folder)], capture_output=True, text=True, timeout=60, check=True
            )
            return done.stdout

        def run(self):
            return start("run", "--folder", str(folder), "-c", str(config), "--spread", store)

        def outputs(self, id):
            rows = [json.loads(line) for line in self.call("fetch", id).splitlines()]
            return {row["id"]: row["output"]["choices"][0]["message"]["content"] for row in rows if row.get("output")}

    yield Spread()
    for each in begun:
        if each.poll() is None:
            each.kill()
        each.communicate()


def test_a_worker_answers_what_it_has_begun_when_it_is_told_to_go(spread, provider):
    worker, owner = spread.worker(), spread.submit()
    until(lambda: len(provider.begun) >= 16)
    worker.send_signal(signal.SIGTERM)
    provider.gate.set()
    _, said = worker.communicate(timeout=30)
    assert worker.returncode == 0
    assert f"answered {len(provider.answered)} records" in said
    other = spread.worker()
    id = owner.stdout.readline().strip()
    assert owner.wait(60) == 0
    other.send_signal(signal.SIGTERM)
    assert other.wait(30) == 0
    assert spread.outputs(id) == {f"r{n}": f"answer to record {n}" for n in range(40)}
    assert set(provider.answered.values()) == {1}


@pytest.mark.long
@pytest.mark.timeout(180)
def test_a_worker_that_is_stopped_and_one_that_is_killed_cost_nothing_twice(spread, provider):
    stopped, owner = spread.worker(), spread.submit()
    until(lambda: len(provider.begun) >= 16)
    stopped.send_signal(signal.SIGSTOP)
    provider.gate.set()  # it is paid for what it has under way
    until(lambda: len(provider.answered) >= 16)
    other = spread.worker()
    until(lambda: len(provider.answered) == 40, 60)
    asyncio.run(asyncio.sleep(6.0))  # longer than the lease, and than its gateway lets a request take
    assert owner.poll() is None, "what is under way elsewhere is waited for"
    stopped.send_signal(signal.SIGCONT)
    id = owner.stdout.readline().strip()
    assert owner.wait(60) == 0
    assert spread.outputs(id) == {f"r{n}": f"answer to record {n}" for n in range(40)}
    assert set(provider.begun.values()) == set(provider.answered.values()) == {1}
    for each in (stopped, other):
        each.send_signal(signal.SIGTERM)
        assert each.wait(30) == 0


STORES = [
    "sqlite",
    pytest.param("redis", marks=[pytest.mark.long, pytest.mark.redis]),
    pytest.param("postgres", marks=[pytest.mark.long, pytest.mark.postgres]),
    pytest.param("s3", marks=pytest.mark.long),
    pytest.param("sqs", marks=pytest.mark.long),
]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("place", STORES, indirect=True)
def test_what_a_killed_worker_had_sent_is_asked_again_when_the_operator_says_so_and_nothing_else_twice(
    spread, provider, tmp_path
):
    spread.set(f'batch: {{journal: "{tmp_path}/unused", in_doubt: hold}}\n')
    provider.free = 8
    killed, owner = spread.worker(), spread.submit()
    until(lambda: 8 <= len(provider.answered) < len(provider.begun), 60)
    killed.kill()
    killed.wait(10)
    provider.gate.set()  # the provider is paid for what it had, whoever is there to take it
    spread.worker()
    id = owner.stdout.readline().strip()
    assert owner.wait(60) == 0
    (status,) = json.loads(spread.call("status", id, "--json"))
    outputs = spread.outputs(id)
    assert set(provider.answered.values()) == {1}
    assert len(provider.answered) == 40
    assert 0 < status["held"] <= 40 - 8
    assert status["in_doubt"] == status["held"] == status["failed"] == 40 - len(outputs)
    assert status["state"] == "completed"
    assert "again" in spread.call("status", id)
    assert spread.call("again", id).startswith(f"{status['held']} records")
    assert spread.run().wait(60) == 0
    assert spread.outputs(id) == {f"r{n}": f"answer to record {n}" for n in range(40)}
    assert sum(count > 1 for count in provider.answered.values()) == status["held"], "what was asked for, once more"


@pytest.mark.long
@pytest.mark.timeout(180)
def test_by_default_it_is_asked_again_after_all_others(spread, provider):
    killed, owner = spread.worker(), spread.submit()
    until(lambda: len(provider.begun) >= 16)
    killed.kill()
    killed.wait(10)
    spread.worker()
    provider.gate.set()
    id = owner.stdout.readline().strip()
    assert owner.wait(60) == 0
    assert spread.outputs(id) == {f"r{n}": f"answer to record {n}" for n in range(40)}
    (status,) = json.loads(spread.call("status", id, "--json"))
    assert (status["held"], status["failed"], status["succeeded"]) == (0, 0, 40)
    assert 0 < status["in_doubt"] <= 16
    assert sum(count > 1 for count in provider.begun.values()) <= status["in_doubt"]
