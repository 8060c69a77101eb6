"""What keeps a gateway from starting is one line with the fix; a reload never makes it worse."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

SERVE = [sys.executable, "-m", "hapenny", "serve"]


def ends(tmp_path, text, *arguments):
    """stderr of a gateway that does not start."""
    path = tmp_path / "h.yaml"
    path.write_text(text)
    done = subprocess.run(
        [*SERVE, "-c", str(path), "--port", "0", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=40
    )
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    return done.stderr


@contextmanager
def serving(tmp_path, text, *arguments):
    """A gateway at work: its process, its address, and the lines that it writes."""
    path = tmp_path / "h.yaml"
    if text is not None:
        path.write_text(text)
        arguments = ("-c", str(path), *arguments)
    process = subprocess.Popen(
        [*SERVE, "--port", "0", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        line = process.stdout.readline()
        assert "listens on" in line, process.stderr.read()
        yield process, line.split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=30)


def ask(url, path="/v1/chat/completions", key=None, model="fast"):
    body = b'{"model": "%s", "messages": [{"role": "user", "content": "When do you open?"}]}' % model.encode()
    request = urllib.request.Request(url + path, data=body, headers={"content-type": "application/json"})
    if key:
        request.add_header("authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}", "---\n", "null\n"])
def test_an_empty_file_is_refused(tmp_path, text):
    assert "empty. Fix:" in ends(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("tiers: {fast: a}\ntiers: {strong: b}\n", "'tiers' stands twice"),
        ("keys: [{key: aaaaaaaaaa, tenant: a}, {key: aaaaaaaaaa, tenant: b}]\n", "$.keys[1].key: the same as"),
        ("backends: {b: {kind: bedrock, region: europe}}\n", "'europe' is no AWS region"),
        ("backends: {b: {kind: openai}}\ntiers: {strong: m}\nfallbacks: {strong: [fast]}\n", "$.fallbacks.strong"),
        ("backends: {b: {kind: openai}}\ntiers: {fast: m}\n", "$.routes.default.baseline: the tier 'strong'"),
        ("prices: nowhere.yaml\n", "nowhere.yaml"),
        ("intents: nowhere.json\n", "nowhere.json"),
        ("stages: {tiers: {trained: nowhere.msgpack}}\n", "nowhere.msgpack"),
        ("server: {port: 99999}\n", "$.server.port"),
        ("server: {host: no.such.host.invalid}\nauth: open\n", "$.server.host"),
    ],
)
def test_what_is_wrong_is_told_with_its_fix(tmp_path, text, what):
    stderr = ends(tmp_path, text)
    assert what in stderr
    assert "Fix:" in stderr


def test_a_port_in_use_is_told(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        stderr = ends(tmp_path, "ledger: null\n", "--port", str(taken.getsockname()[1]))
    assert "$.server.port: in use" in stderr


def test_a_damaged_ledger_is_told_and_kept(tmp_path):
    ledger = tmp_path / "ledger.db"
    ledger.write_bytes(b"not a database, but something of somebody's " * 100)
    before = ledger.read_bytes()
    assert "$.ledger.path: 'ledger.db' is damaged" in ends(tmp_path, "ledger: {path: ledger.db}\n")
    assert ledger.read_bytes() == before


def test_a_ledger_in_a_place_that_is_no_folder_is_told(tmp_path):
    (tmp_path / "data").write_text("a file")
    assert "$.ledger.path: 'data/ledger.db'" in ends(tmp_path, "ledger: {path: data/ledger.db}\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_ledger_that_can_only_be_read_is_told(tmp_path):
    sqlite3.connect(tmp_path / "ledger.db").close()
    (tmp_path / "ledger.db").chmod(0o400)
    assert "Fix: let this user write there" in ends(tmp_path, "ledger: {path: ledger.db}\n")


def test_simulated_models_say_so_at_start_and_in_every_answer(tmp_path):
    with serving(tmp_path, None) as (process, url):
        assert "no provider is called" in process.stdout.readline()
        status, headers = ask(url)
        assert (status, headers["x-hapenny-simulated"]) == (200, "true")
        assert ask(url, "/v1/models/x")[1]["x-hapenny-simulated"] == "true"


def test_beside_a_provider_only_simulated_answers_say_so(tmp_path):
    text = """
backends: {up: {kind: openai, base_url: "http://127.0.0.1:9/v1"}, play: {kind: simulated}}
models: {s: {id: anthropic.claude-3-haiku-20240307-v1:0, backend: play}, m: {id: x, backend: up}}
tiers: {fast: m, strong: m}
stages: {throughput: {retry: {tries: 1}}}
ledger: null
"""
    with serving(tmp_path, text) as (_, url):
        status, headers = ask(url, model="s")
        assert (status, headers.get("x-hapenny-simulated")) == (200, "true")
        status, headers = ask(url, model="m")
        assert status >= 500
        assert "x-hapenny-simulated" not in headers


def test_what_it_keeps_is_for_its_user_alone(tmp_path):
    text = "ledger: {path: data/ledger.db}\nbatch: {journal: jobs}\n"
    with serving(tmp_path, text) as (_, url):
        assert ask(url)[0] == 200
    kept = [path for place in ("data", "jobs") for path in (tmp_path / place, *(tmp_path / place).rglob("*"))]
    assert len(kept) > 2
    assert [path for path in kept if path.stat().st_mode & 0o077] == []


PRODUCTION = """
backends: {up: {kind: openai, base_url: "http://127.0.0.1:9/v1"}}
tiers: {fast: m, strong: m}
ledger: null
keys: [{key: secret-key-12345, tenant: shop}]
"""


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        ("# being written", "empty"),
        (PRODUCTION[: PRODUCTION.index("keys")], "$.keys: gone"),
        ("server: {drain_s: 5}\nkeys: [{key: secret-key-12345}]\n", "$.backends: gone"),
        (PRODUCTION + "intents: nowhere.json\n", "nowhere.json"),
        (PRODUCTION + "prices: nowhere.yaml\n", "nowhere.yaml"),
        ("\0\1", "not valid YAML"),
        (None, "cannot be read"),
    ],
)
def test_a_reload_never_makes_it_worse(tmp_path, text, what):
    with serving(tmp_path, PRODUCTION) as (process, url):
        assert ask(url)[0] == 401
        path = tmp_path / "h.yaml"
        path.unlink() if text is None else path.write_text(text)
        process.send_signal(signal.SIGHUP)
        line = process.stderr.readline()
        assert line.startswith("reload refused:")
        assert what in line
        assert "Fix:" in line
        assert ask(url)[0] == 401
        path.write_text(PRODUCTION.replace("12345", "67890"))
        process.send_signal(signal.SIGHUP)
        assert "configuration reloaded" in process.stderr.readline()
        assert ask(url, "/v1/nowhere", "secret-key-12345")[0] == 401


def test_a_configuration_that_lies_beside_is_not_passed_over(tmp_path):
    (tmp_path / "hapenny.yaml").write_text("backends: {oa: {kind: openai}}\n")
    done = subprocess.run([*SERVE, "--port", "0"], cwd=tmp_path, capture_output=True, text=True, timeout=40)
    assert done.returncode == 2
    assert "Fix: hapenny serve -c hapenny.yaml, or --simulated" in done.stderr
    with serving(tmp_path, None, "--simulated") as (_, url):
        assert ask(url)[1]["x-hapenny-simulated"]
