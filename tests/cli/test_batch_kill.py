"""`hapenny batch` against `hapenny simulate` over sockets, killed with -9 in the middle."""

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from tests.settling import until

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "us.amazon.nova-2-lite-v1:0"

CONFIG = """
backends: {{aws: {{kind: bedrock, region: us-east-1, base_url: "{url}", api_key: any-key-will-do}}}}
tiers: {{strong: {model}}}
ledger: {{path: "{folder}/ledger.db"}}
batch:
  journal: "{folder}/of-the-server"
  poll_s: 0.1
  margin_s: 10
  apis:
    - {{backend: aws, bucket: nightly, role: "arn:aws:iam::111122223333:role/batch", endpoint: "{url}",
       s3_endpoint: "{url}/s3", least: 20, turnaround_s: 5}}
"""


@pytest.fixture
def provider(tmp_path):
    command = [sys.executable, "-m", "hapenny", "simulate", "--port", "0", "--card", "current-2026"]
    command += ["--folder", str(tmp_path / "aws"), "--job-rate", "40", "--job-delay", "0.5", "--job-least", "20"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        said = process.stdout.readline()
        yield said.split()[-1]
    finally:
        process.terminate()
        process.wait(10)


def bill(url):
    with urllib.request.urlopen(f"{url}/simulate/bill", timeout=5) as answer:
        return json.load(answer)


def record(number, form):
    text = f"Where is order {number}? It left on day {number}."
    if form == "openai":
        body = {"model": [HAIKU, NOVA][number % 2], "max_tokens": 40, "messages": [{"role": "user", "content": text}]}
        return {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    if form == "anthropic":
        body = {"model": HAIKU, "max_tokens": 40, "messages": [{"role": "user", "content": text}]}
        return {"custom_id": f"r{number}", "params": body}
    if form == "converse":
        body = {"messages": [{"role": "user", "content": [{"text": text}]}], "inferenceConfig": {"maxTokens": 40}}
    else:
        messages = [{"role": "user", "content": text}]
        body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 40, "messages": messages}
    return {"recordId": f"r{number}", "modelInput": body}


def text_of(output):
    if "choices" in output:
        return output["choices"][0]["message"]["content"]
    if "output" in output:
        return output["output"]["message"]["content"][0]["text"]
    return output["content"][0]["text"]


@pytest.mark.parametrize("form", ["openai", "anthropic", "converse", "invoke"])
def test_submitted_killed_run_fetched(tmp_path, provider, form):
    (tmp_path / "c.yaml").write_text(CONFIG.format(url=provider, folder=tmp_path, model=HAIKU))
    rows = [record(number, form) for number in range(80)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    hapenny = [sys.executable, "-m", "hapenny", "batch"]
    shared = ["--folder", str(tmp_path / "jobs")]

    def call(*arguments, config=True):
        command = [*hapenny, *arguments, *shared, *(["-c", str(tmp_path / "c.yaml")] if config else [])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    model = ["--model", HAIKU] if form in ("converse", "invoke") else []
    id = call("submit", str(tmp_path / "in.jsonl"), "--within", "10m", "--key", "k", *model).strip()
    running = subprocess.Popen([*hapenny, "run", *shared, "-c", str(tmp_path / "c.yaml")], env=environment)
    until(lambda: list((tmp_path / "aws" / "jobs").glob("*.json")))
    running.send_signal(signal.SIGKILL)
    running.wait()
    call("run")
    (status,) = json.loads(call("status", "--json", config=False))
    assert (status["id"], status["state"], status["succeeded"], status["batched"]) == (id, "completed", 80, 80)
    assert status["saved_share"] == 0.5
    found = {row["id"]: row for row in map(json.loads, call("fetch", id, config=False).splitlines())}
    assert set(found) == {f"r{number}" for number in range(80)}
    assert all(text_of(row["output"]) for row in found.values())
    # Nothing was paid twice, and the jobs are as many as there are models.
    assert bill(provider)["calls"] == 80
    assert len(list((tmp_path / "aws" / "jobs").glob("*.json"))) == (2 if form == "openai" else 1)
