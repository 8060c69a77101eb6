"""`hapenny bench` against simulated models."""

import json
import subprocess
import sys

import pytest

from tests.cli.test_serve import serving

CONFIG = "ledger: null\nbackends: {sim: {kind: simulated}}\n"
FAST = "anthropic.claude-3-haiku-20240307-v1:0"


def bench(*arguments, timeout=90):
    return subprocess.run(
        [sys.executable, "-m", "hapenny", "bench", *arguments], capture_output=True, text=True, timeout=timeout
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("bench"), CONFIG) as (_, url):
        yield url


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "bedrock"])
def test_every_dialect_is_measured(url, dialect):
    done = bench(url, "--model", FAST, "--dialect", dialect, "--requests", "6", "--concurrency", "3", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["request_count"]["avg"] == 6
    assert 0 < figures["time_to_first_token"]["p50"] <= figures["request_latency"]["p50"]
    assert figures["output_sequence_length"]["count"] == 6
    assert figures["cost"]["avg"] > 0


def test_two_servers_are_compared_and_shown(url):
    done = bench(
        url, url, "--model", FAST, "--rate", "10", "--requests", "8", "--slo", "ttft=60000", "--output-tokens", "20"
    )
    assert done.returncode == 0, done.stderr
    assert "goodput" in done.stdout
    assert "first against second, request latency" in done.stdout
    assert "(again)" in done.stdout  # the same server twice: two tables, of its own answers each
    for line in done.stdout.splitlines():
        if line.startswith("first against second"):
            assert line.count(" slower") + line.count(" faster") + line.count("(not told apart)") == 2


def test_whole_answers_have_no_first_token(url):
    done = bench(url, "--model", FAST, "--requests", "2", "--whole", "--json")
    assert json.loads(done.stdout)["time_to_first_token"] == {"unit": "ms", "count": 0}


def test_a_server_that_is_not_there_is_an_error():
    done = bench("http://127.0.0.1:9", "--requests", "2")
    assert done.returncode == 1
    assert "answered nothing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("ftp://x",),
        ("http://x", "--slo", "speed=3"),
        ("http://x", "--rate", "1", "--concurrency", "2"),
        ("http://x", "--rate", "0"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments):
    done = bench(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
