"""A fleet under a scaling policy: what is paid, what spills, what is drained."""

import math

import pytest

from hapenny.simulation.batching import ServerCard
from hapenny.simulation.fleet import FleetSpec, full_rate, run
from hapenny.simulation.workload.trace import Arrival

CARD = ServerCard(most=16, start_s=60.0)
STEADY = [Arrival(0.5 * number, 500, 100) for number in range(2_400)]


def weigh(arrival):
    return arrival.input + 5.0 * arrival.output


WEIGHTS = [weigh(each) for each in STEADY]


class Steps:
    """Wants what a table says."""

    def __init__(self, *steps):
        self.steps = steps
        self.answered_tokens = 0

    def arrived(self, at, input_tokens):
        pass

    def answered(self, output_tokens):
        self.answered_tokens += output_tokens

    def servers(self, now, waiting, running):
        return [count for at, count in self.steps if at <= now][-1]


def spec(**kwargs):
    return FleetSpec(card=CARD, full_per_s=full_rate(STEADY, weigh, CARD), **kwargs)


def test_a_fixed_fleet_is_paid_for_all_the_time():
    outcome = run(STEADY, WEIGHTS, 3, spec())
    assert outcome.server_hours == pytest.approx(3 * STEADY[-1].at / 3600)
    assert outcome.cost == outcome.server_hours
    assert outcome.slo == 1.0


def test_what_is_started_is_paid_from_its_start_and_what_is_drained_until_its_end():
    policy = Steps((0, 1), (300, 3), (600, 1))
    outcome = run(STEADY, WEIGHTS, policy, spec())
    assert outcome.server_hours == pytest.approx((STEADY[-1].at + 2 * 300) / 3600, rel=0.05)
    assert outcome.most == 3
    assert outcome.requests == len(STEADY)
    assert policy.answered_tokens > 0.9 * 100 * len(STEADY)


def test_too_few_servers_spill_over_at_a_price():
    heavy = [Arrival(0.05 * number, 500, 100) for number in range(4_000)]
    weights = [weigh(each) for each in heavy]
    held = run(heavy, weights, 1, spec(spill_s=1.0))
    waits = run(heavy, weights, 1, spec())
    assert held.spilled > 0.3
    assert held.spill_hours == pytest.approx(3.0 * held.spilled * sum(weights) / spec().full_per_s / 3600)
    assert held.slo > 0.9 > 2 * waits.slo
    assert waits.spilled == 0


def test_a_new_server_does_not_serve_before_it_is_ready():
    heavy = [Arrival(0.15 * number, 500, 100) for number in range(2_000)]
    weights = [weigh(each) for each in heavy]
    slow = FleetSpec(card=ServerCard(most=16, start_s=math.inf), full_per_s=1.0)
    never = run(heavy, weights, Steps((0, 4)), slow)
    one = run(heavy, weights, 1, slow)
    assert never.ttft_p95_s == one.ttft_p95_s
    assert never.server_hours > 3 * one.server_hours
