"""The life of an endpoint for a large model: in order, within SageMaker's limits, longer with more weights."""

import pytest

from hapenny.capacity.instances import PROFILES
from hapenny.capacity.lifecycle import Copy, start_s, steps

LIFE = steps(PROFILES[0], 140)


def test_a_start_is_download_load_and_warm_up_and_grows_with_the_weights():
    assert [step.state for step in LIFE] == [
        "registered", "downloading", "loading", "warming", "ready", "draining", "unloaded",
    ]  # fmt: skip
    assert start_s(LIFE) == pytest.approx(140 / 0.5 + 140 * 0.14 + 205)
    assert start_s(steps(PROFILES[0], 14)) < start_s(LIFE)
    assert next(step for step in LIFE if step.state == "downloading").limit_s == 3_600


def test_weights_that_cannot_be_loaded_in_time_are_refused():
    with pytest.raises(ValueError, match="Fix: fewer bits"):
        steps(PROFILES[0], 4_000)


def test_a_copy_serves_only_when_ready_and_is_paid_from_the_download_on():
    copy = Copy()
    assert not copy.paid
    for number, state in enumerate(("downloading", "loading", "warming", "ready", "draining", "ready", "draining")):
        copy.to(state, float(number))
        assert copy.paid
        assert copy.served == (state == "ready")
    copy.to("unloaded", 9.0)
    assert not copy.paid
    with pytest.raises(ValueError, match=r"does not become ready\. Fix: one of downloading"):
        copy.to("ready", 10.0)


def test_a_start_past_its_limit_has_failed():
    copy = Copy()
    copy.to("downloading", 0.0)
    assert not copy.overdue(3_600, LIFE)
    assert copy.overdue(3_601, LIFE)
    copy.to("unloaded", 3_601)
    assert not copy.overdue(1e9, LIFE)
