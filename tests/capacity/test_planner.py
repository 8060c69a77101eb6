"""What is proposed for a trace, and what it needs of a quota."""

import json
import subprocess
import sys

import pytest

from hapenny.capacity.need import need
from hapenny.capacity.planner import Wanted, plan
from hapenny.capacity.servers import least, ttft_p95
from hapenny.catalog import resolve
from hapenny.simulation.workload.trace import Arrival

SONNET = "anthropic.claude-3-sonnet-20240229-v1:0"
STEADY = [Arrival(0.25 * number, 500, 50) for number in range(2_400)]


def test_the_need_is_counted_in_the_providers_window():
    needed = need(STEADY, burndown=5.0, max_tokens=400)
    assert needed.tokens.p50 == pytest.approx(240 * 750)
    assert needed.reserved.p50 == pytest.approx(240 * 900)
    assert needed.requests.p99 == pytest.approx(240)
    assert needed.a_day == pytest.approx(750 * 4 * 86_400, rel=0.01)


def test_a_quota_that_is_too_small_is_asked_for():
    small = plan(STEADY, resolve(SONNET), Wanted(tokens_per_minute=50_000, requests_per_minute=100))
    assert {"tokens per minute", "requests per minute"} == set(small.increase)
    assert small.increase["requests per minute"] >= 240
    assert not small.options[-1].holds
    large = plan(STEADY, resolve(SONNET), Wanted(tokens_per_minute=5e6, requests_per_minute=1e4))
    assert large.increase == {}
    assert large.options[0].holds


def test_ways_are_named_with_their_price():
    wanted = Wanted(deferrable=0.5, unit_tokens_per_s=2_000, unit_usd_per_h=2.0, server_usd_per_h=40.0)
    made = plan(STEADY, resolve(SONNET), wanted)
    names = [option.name for option in made.options]
    assert names[0].endswith("units + on demand")
    assert "on demand + batch" in names
    assert any(name.endswith("servers") for name in names)
    prices = {option.name: option.usd_per_h for option in made.options}
    assert prices["on demand + batch"] == pytest.approx(0.75 * prices["on demand"], rel=0.01)
    assert made.sensitivity["30 % answered by a cache"] < made.sensitivity["as it is"]
    assert made.assumed


def test_more_servers_answer_sooner_and_the_fewest_that_hold_are_found():
    heavy = [Arrival(0.05 * number, 3_000, 200) for number in range(400)]
    held = least(heavy, 1.0)
    assert held.holds
    assert held.servers > 1
    assert ttft_p95(heavy, held.servers - 1) > 1.0 >= held.ttft_p95_s


def hapenny(*arguments):
    return subprocess.run([sys.executable, "-m", "hapenny", "plan", *arguments], capture_output=True, text=True)


def test_the_verb(tmp_path):
    trace = tmp_path / "t.csv"
    rows = "".join(f"{each.at},{each.input},{each.output}\n" for each in STEADY)
    trace.write_text("timestamp_s,input_tokens,output_tokens\n" + rows)
    done = hapenny("--trace", str(trace), "--model", SONNET, "--tpm", "50000", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["requests"] == len(STEADY)
    assert made["requests_to_send"][0]["ServiceCode"] == "bedrock"
    shown = hapenny("--trace", str(trace), "--model", SONNET, "--unit-tokens-per-s", "2000", "--unit-usd-per-h", "12")
    assert "Ways to serve it" in shown.stdout


@pytest.mark.parametrize(
    "arguments",
    [(), ("--trace", "/nowhere"), ("--unit-usd-per-h", "3"), ("--trace", __file__, "--model", "no-such-model"),
     ("--ledger", __file__, "--model", SONNET), ("--trace", __file__, "--model", SONNET)],
)  # fmt: skip
def test_what_cannot_be_planned_is_refused(arguments):
    done = hapenny(*arguments)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr
