"""What a run says in sum."""

import pytest

from hapenny.core.events import Tokens
from hapenny.studies.loadtest.figures import against, report
from hapenny.studies.loadtest.sender import Sent


def sent(at, first=0.1, last=0.5, whole=0.5, output=5, error=""):
    return Sent(
        at=at, first=first, last=last, whole=whole, chunks=3, tokens=Tokens(input=10, output=output), error=error
    )


def test_times_are_of_answers_and_errors_are_counted_apart():
    figures = report([sent(0.0), sent(1.0, first=0.3, last=0.7, whole=0.7), sent(1.5, error="throttled")])
    assert figures["time_to_first_token"]["avg"] == pytest.approx(200)
    assert figures["time_to_first_token"]["count"] == 2
    assert figures["inter_token_latency"]["p50"] == pytest.approx(100)  # .4 s for the four tokens behind the first
    assert figures["request_count"]["avg"] == 2
    assert figures["errors"] == {"throttled": 1}
    assert figures["benchmark_duration"]["avg"] == pytest.approx(2.0)
    assert figures["request_throughput"]["avg"] == pytest.approx(1.0)


def test_goodput_counts_what_meets_every_objective():
    run = [sent(0.0), sent(0.5, first=2.0, whole=2.5), sent(1.0, whole=4.0), sent(2.0, error="timeout")]
    figures = report(run, {"time_to_first_token": 1500, "request_latency": 3000})
    assert figures["good_request_share"]["avg"] == pytest.approx(1 / 4)


def test_one_token_has_none_between():
    assert report([sent(0.0, output=1)])["inter_token_latency"] == {"unit": "ms", "count": 0}


def test_equal_servers_are_found_equal_and_a_slow_one_slow():
    fast = [sent(0.0, whole=0.5 + 0.01 * (number % 7)) for number in range(100)]
    slow = [sent(0.0, whole=1.5 + 0.01 * (number % 7)) for number in range(100)]
    low, high = against(fast, fast)["request_latency"]["p50"]["ci95"]
    assert low <= 1 <= high
    low, high = against(slow, fast)["request_latency"]["p95"]["ci95"]
    assert 2 < low <= high < 4


def test_a_run_without_answers_says_so():
    figures = report([sent(0.0, error="unavailable")])
    assert figures["request_latency"] == {"unit": "ms", "count": 0}
    assert against([sent(0.0, error="unavailable")], [sent(0.0)]) == {}
