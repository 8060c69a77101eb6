"""Alerts of deadlines that are missed too often."""

import json

import pytest

from hapenny.config import load
from hapenny.gateway.gateway import Gateway
from hapenny.responsive.burn import FEW, BurnAlerts
from hapenny.telemetry.rows import Row


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.t = 0.0

    def now(self):
        return self.t


class Told:
    """Takes alerts."""

    def __init__(self):
        self.sent = []

    def send(self, kind, subject, **detail):
        self.sent.append((kind, subject, detail["window"]))


def watched(objective=0.99):
    clock, told = Clock(), Told()
    return BurnAlerts({"default": objective}, told, clock), clock, told


def row(e2e=1.0, **rest):
    return Row(id="r", wall=0.0, tenant="t", **({"deadline": 1.5, "e2e": e2e} | rest))


def passes(burn, clock, minutes, *rows, each_s=6.0):
    for _ in range(int(minutes * 60 / each_s)):
        for one in rows:
            burn.observe(one)
        clock.t += each_s


def test_a_fast_burn_is_told_once_and_its_end_once():
    burn, clock, told = watched()
    passes(burn, clock, 30, row())
    assert told.sent == []
    passes(burn, clock, 30, row(), row(e2e=2.0))
    assert told.sent.count(("slo_burn", "route default", "1h")) == 1
    passes(burn, clock, 30, row())
    assert told.sent.count(("slo_burn_over", "route default", "1h")) == 1
    assert told.sent.count(("slo_burn", "route default", "1h")) == 1


def test_a_slow_burn_wakes_nobody_but_is_told():
    burn, clock, told = watched(0.9)
    for _ in range(240):
        passes(burn, clock, 1, *[row()] * 4, row(e2e=2.0), each_s=60)
    assert {window for _, _, window in told.sent} == {"3d"}


def test_a_few_late_answers_of_few_requests_tell_nothing():
    burn, clock, told = watched()
    for _ in range(FEW - 1):
        burn.observe(row(e2e=9.0))
        clock.t += 30
    assert told.sent == []


@pytest.mark.parametrize(
    ("one", "bad"),
    [
        (row(outcome="failed", e2e=0.1), True),
        (row(e2e=1.49, steps={"routing": 0.02}), True),
        (row(outcome="refused"), False),
        (row(outcome="left", e2e=0.2), False),
        (row(outcome="left", e2e=2.0), True),
        (row(e2e=9.0, deadline=None), False),
        (row(e2e=9.0, background="audit"), False),
        (row(e2e=9.0, route="other"), False),
    ],
)
def test_what_counts_as_late(one, bad):
    burn, clock, _ = watched()
    burn.observe(row())
    burn.observe(one)
    rates = dict(burn.rates())
    assert (rates[("default", "1h")] > 0) == bad
    clock.t += 3 * 86_400 + 60
    assert dict(burn.rates())[("default", "3d")] == 0


def test_a_reload_goes_on_counting_where_no_objective_changed():
    def made(objective, previous=None):
        stages = {"latency": {"objective": objective}}
        route = {"stages": {"latency": "on"}}
        text = json.dumps({"routes": {"default": route}, "stages": stages, "ledger": None})
        return Gateway(load(text=text), previous=previous)

    first = made(0.99)
    second = made(0.99, first)
    assert second.parts.burn is first.parts.burn
    assert made(0.9, second).parts.burn is not first.parts.burn
    assert "hapenny_deadline_burn_rate" in second.recorder.metrics.render().decode()
