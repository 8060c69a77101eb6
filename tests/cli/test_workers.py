"""Several workers on one port: they act as one, outlive the death of one of them, and refuse what cannot be shared."""

import json
import os
import signal
import urllib.request

import psutil
import pytest

from tests.cli.test_serve import ask, ends, serving
from tests.settling import until

CONFIG = "ledger: {path: l.db}\nauth: open\nroutes: {default: {holdout: 0, preset: safe}}\n"


def body(url, path):
    def fetched():
        try:
            with urllib.request.urlopen(url + path, timeout=20) as answer:
                return answer.read().decode()
        except ConnectionError:  # it was in the queue of a worker that died: clients try again
            return None

    return until(fetched)


def question(url, text):
    data = json.dumps({"model": "fast", "temperature": 0, "messages": [{"role": "user", "content": text}]}).encode()
    request = urllib.request.Request(
        url + "/v1/chat/completions", data=data, headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.headers["cache-status"]


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    with serving(folder, CONFIG, "--workers", "2") as (process, url):
        yield process, url, folder


def test_both_have_what_one_has_answered(workers):
    _, url, _ = workers
    first = question(url, "When do you open?")
    assert "stored" in first
    # Each connection may come to either of them.
    assert all("hit" in question(url, "When do you open?") for _ in range(12))
    page = body(url, "/metrics")
    assert "hapenny_workers 2" in page
    assert all(f'hapenny_shared_answers_total{{worker="{n}",outcome="miss"}}' in page for n in (0, 1))
    assert page.count("# TYPE hapenny_requests_total counter") == 1


def test_the_ledger_has_the_rows_of_both(workers):
    import sqlite3

    _, url, folder = workers
    for number in range(12):
        question(url, f"question {number}")

    def rows():
        with sqlite3.connect(folder / "l.db") as books:
            return books.execute("SELECT count(*) FROM requests WHERE cache_hit = 0").fetchone()[0]

    until(lambda: rows() >= 12)


def test_one_that_dies_is_started_again_and_nobody_notices(workers):
    process, url, _ = workers
    question(url, "When do you open?")
    until(lambda: all("hit" in question(url, "When do you open?") for _ in range(12)))
    first, second = psutil.Process(process.pid).children()
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: "hapenny_worker_restarts_total 1" in body(url, "/metrics"))
    until(lambda: "hapenny_workers 2" in body(url, "/metrics"))
    alive = {child.pid for child in psutil.Process(process.pid).children()}
    assert second.pid in alive
    assert first.pid not in alive
    assert json.loads(body(url, "/health/ready"))["status"] == "ready"
    assert "hit" in question(url, "When do you open?")


def test_a_reload_reaches_all_and_a_wrong_file_none(workers):
    process, url, folder = workers
    path = folder / "h.yaml"
    path.write_text(CONFIG + "aliases: {quick: fast}\n")
    process.send_signal(signal.SIGHUP)
    until(lambda: all(ask(url, model="quick")[0] == 200 for _ in range(8)))
    path.write_text("nonsense: 1\n")
    process.send_signal(signal.SIGHUP)
    refusal = next(line for line in process.stderr if line.startswith("reload refused:"))
    assert "nonsense" in refusal
    assert all(ask(url, model="quick")[0] == 200 for _ in range(8))


def test_all_end_together(tmp_path):
    with serving(tmp_path, CONFIG, "--workers", "2") as (process, _):
        children = psutil.Process(process.pid).children()
        assert len(children) == 2
        process.terminate()
        assert process.wait(30) == 0
    _, alive = psutil.wait_procs(children, 10)
    assert not alive


def test_workers_do_not_outlive_the_process_that_watches_over_them(tmp_path):
    with serving(tmp_path, CONFIG, "--workers", "2") as (process, _):
        children = psutil.Process(process.pid).children()
        process.kill()
        process.wait(10)
        _, alive = psutil.wait_procs(children, 20)
        assert not alive


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (CONFIG + "batch: {journal: j}\n", "$.batch: a batch journal has one owner"),
        ("ledger: null\nauth: open\ntenants: {a: {budgets: [{usd: 1}]}}\n", "$.tenants: budgets would be counted"),
        (
            "ledger: null\nkeys: [{key: abcdefghi, tenant: a, scopes: [admin]}]\n",
            "$.admission.store: keys made over the API",
        ),
    ],
)
def test_what_one_process_keeps_for_itself_is_refused(tmp_path, text, what):
    assert what in ends(tmp_path, text, "--workers", "2")


def test_a_port_that_is_taken_is_said(workers, tmp_path):
    _, url, _ = workers
    port = url.rpartition(":")[2]
    path = tmp_path / "h.yaml"
    assert "in use" in ends(tmp_path, CONFIG, "--port", port, "--workers", "2"), path
