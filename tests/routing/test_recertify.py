"""New certificates from audited pairs: when they are made, and that many looks together keep the promise."""

import numpy as np
import pytest

from hapenny.evidence.certify import fixed_sequence, nested_sequence
from hapenny.routing.certificates import Fingerprint
from hapenny.routing.recertify import Recertifier

ABOUT = Fingerprint(route="chat", intent="", weak="small", strong="large")


def fed(recertifier, scores, losses, about=ABOUT, limit=0.05):
    """Every certificate that came out, with how many pairs it rests on."""
    found = []
    for score, loss in zip(scores, losses, strict=True):
        made = recertifier.add(about, score, loss, max_quality_loss=limit, confidence=0.95, wall=1.0)
        if made is not None:
            found.append(made)
    return found


def test_looks_double_and_a_subject_starts_anew():
    recertifier = Recertifier(least=200, per_intent=500)
    rng = np.random.default_rng(0)
    found = fed(recertifier, rng.random(1_700), np.zeros(1_700))
    assert [one.pairs for one in found] == [200, 400, 800, 1600]
    assert found[0].threshold is not None
    assert found[0].about == ABOUT
    other = Fingerprint(route="chat", intent="", weak="small", strong="larger")
    assert fed(recertifier, rng.random(199), np.zeros(199), other) == []
    assert (recertifier.pairs(ABOUT), recertifier.pairs(other)) == (1_700, 199)
    intent = Fingerprint(route="chat", intent="refund", weak="small", strong="large")
    assert [one.pairs for one in fed(recertifier, rng.random(600), np.zeros(600), intent)] == [500]


def test_it_goes_on_after_a_restart():
    first, second = Recertifier(), Recertifier()
    rng = np.random.default_rng(0)
    fed(first, rng.random(150), np.zeros(150))
    second.restore(first.state())
    assert [one.pairs for one in fed(second, rng.random(60), np.zeros(60))] == [200]


def test_all_looks_together_keep_the_promise():
    rng = np.random.default_rng(5)
    broken = 0
    for _ in range(300):
        scores = rng.random(800)
        losses = (rng.random(800) < 0.2 * scores).astype(float)  # serving up to s loses s * s / 10
        made = fed(Recertifier(), scores, losses)
        broken += any(one.threshold**2 / 10 > 0.05 for one in made)
    assert broken / 300 <= 0.05


def test_nested_thresholds_are_walked_like_any_sequence():
    rng = np.random.default_rng(1)
    for partial in (False, True):
        scores, losses = rng.random(600), rng.random(600)
        losses = losses * 0.2 if partial else (losses < 0.15 * scores).astype(float)
        steps = np.quantile(scores, np.arange(1, 41) / 40)
        table = np.where(scores[:, None] <= steps[None, :], losses[:, None], 0.0)
        nested, walked = nested_sequence(scores, losses, steps, 0.05, 0.05), fixed_sequence(table, 0.05, 0.05)
        assert (nested.index, nested.tested) == (walked.index, walked.tested)
        assert nested.bound == pytest.approx(walked.bound)
    assert nested_sequence([], [], steps, 0.05).index == -1
