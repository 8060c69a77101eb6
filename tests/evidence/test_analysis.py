"""Verdicts on experiments."""

import numpy as np
import pytest

from hapenny.evidence.analysis import Unit, analyse, effect, paired_effect
from hapenny.evidence.horizon import welch

SHARES = {"control": 0.5, "variant": 0.5}


def units(n, lift=0.0, cost=0.0, seed=0, before=False, tilt=0.5):
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        arm = "variant" if rng.random() < tilt else "control"
        habit = rng.normal()
        quality = 0.6 + 0.3 * habit + rng.normal() * 0.1 + (lift if arm == "variant" else 0)
        price = rng.normal(1, 0.2) + (cost if arm == "variant" else 0)
        made.append(Unit(arm=arm, metrics={"quality": quality, "cost": price}, before=habit if before else None))
    return made


def test_a_real_lift_is_found_and_no_lift_is_not():
    assert analyse(units(3_000, lift=0.06), SHARES, metric="quality", horizon=1_500).verdicts["variant"] == "better"
    assert analyse(units(3_000, lift=-0.06), SHARES, metric="quality", horizon=1_500).verdicts["variant"] == "worse"
    assert analyse(units(3_000), SHARES, metric="quality", horizon=1_500).verdicts["variant"] == "no verdict yet"


def test_lower_is_better_turns_the_sign():
    found = analyse(units(3_000, cost=-0.1), SHARES, metric="cost", better="lower", horizon=1_500)
    assert found.verdicts["variant"] == "better"


def test_sample_ratio_mismatch_blocks_the_verdict():
    found = analyse(units(3_000, lift=0.2, tilt=0.6), SHARES, metric="quality", horizon=1_500)
    assert found.verdicts["variant"] == "blocked"
    assert found.sample_ratio_p < 0.001


def test_covariates_narrow_the_interval():
    plain = analyse(units(2_000, lift=0.03), SHARES, metric="quality", horizon=1_000).effects[0]
    sharp = analyse(units(2_000, lift=0.03, before=True), SHARES, metric="quality", horizon=1_000).effects[0]
    assert sharp.high - sharp.low < 0.5 * (plain.high - plain.low)
    assert sharp.low > 0


def test_guardrails():
    rails = [("cost", 0.05, "lower")]
    held = analyse(units(2_000, lift=0.2), SHARES, metric="quality", guardrails=rails, horizon=1_000)
    assert (held.guardrails[0].state, held.verdicts["variant"]) == ("held", "better")
    broken = analyse(units(2_000, lift=0.2, cost=0.2), SHARES, metric="quality", guardrails=rails, horizon=1_000)
    assert (broken.guardrails[0].state, broken.verdicts["variant"]) == ("broken", "worse")
    young = analyse(units(60), SHARES, metric="quality", guardrails=rails, horizon=4_000)
    assert young.guardrails[0].state == "open"


def test_secondary_metrics_are_corrected_as_a_family():
    found = analyse(units(4_000, cost=0.05), SHARES, metric="quality", secondary=["cost", "quality"], horizon=2_000)
    by_name = {one.metric: one.p_value for one in found.secondary}
    assert by_name["cost"] < 0.05 < by_name["quality"]


def test_replay_needs_fewer_prompts():
    rng = np.random.default_rng(3)
    hard = rng.random(400)
    a = (hard + rng.normal(0, 0.05, 400) < 0.7).astype(float)
    b = (hard + rng.normal(0, 0.05, 400) < 0.76).astype(float)
    pair, apart = paired_effect("quality", "b", a, b, horizon=400), effect("quality", "b", a, b, horizon=400)
    assert pair.low > 0
    assert pair.high - pair.low < 0.75 * (apart.high - apart.low)


def test_intervals_are_wider_than_a_single_look():
    rng = np.random.default_rng(4)
    a, b = rng.normal(0, 1, 500), rng.normal(0.1, 1, 500)
    always, once = effect("m", "b", a, b, horizon=500), welch(a, b)
    assert always.high - always.low > once.high - once.low
    assert always.difference == pytest.approx(once.difference)


def test_planned_looks_wait_for_their_time():
    rng = np.random.default_rng(5)
    a, b = rng.normal(0, 1, 400), rng.normal(1, 1, 400)
    early = effect("m", "b", a, b, horizon=1_000, looks=[0.5, 1.0])
    assert early.low == -np.inf
    due = effect("m", "b", a, b, horizon=800, looks=[0.5, 1.0])
    assert due.low > 0


def test_nothing_to_compare():
    assert effect("m", "b", [], [1.0]).low == -np.inf
    assert effect("m", "b", [1.0, 1.0], [1.0, 1.0]).p_value == 1.0


@pytest.mark.parametrize("value", [0.0, 1.0, 0.000_060_3, 1e9 / 3])
def test_equal_outcomes_are_no_win_at_any_look(value):
    costs = [sum([value] * count) / count for count in (3, 5, 7, 11)] * 50  # means that differ in their last digit
    for n in range(2, 150, 7):
        found = effect("cost", "short", costs[:n], costs[1 : n + 1], horizon=400)
        assert found.low <= 0 <= found.high
        assert found.p_value == 1.0
