"""Assignment to arms and what they change."""

import numpy as np
import pytest

from hapenny.evidence.ratio import srm_p_value
from hapenny.tuning.experiments import Arm, Experiment, assign

PLAIN = Experiment(name="shorter", arms={"control": Arm(), "short": Arm(prompt_version="2")})


def test_an_arm_is_for_ever():
    assert {assign(PLAIN, "user-7") for _ in range(5)} == {assign(PLAIN, "user-7")}


def test_shares_are_kept():
    uneven = Experiment(name="x", arms={"a": Arm(share=8), "b": Arm(share=1), "c": Arm(share=1)})
    found = [assign(uneven, f"user-{i}") for i in range(20_000)]
    counts = [found.count(name) for name in "abc"]
    assert srm_p_value(counts, (0.8, 0.1, 0.1)) > 0.001


def test_experiments_are_independent():
    other = Experiment(name="other", arms={"control": Arm(), "variant": Arm()})
    pairs = [(assign(PLAIN, f"u{i}"), assign(other, f"u{i}")) for i in range(8_000)]
    counts = [pairs.count((a, b)) for a in ("control", "short") for b in ("control", "variant")]
    assert srm_p_value(counts, (1, 1, 1, 1)) > 0.001
    salted = Experiment(name="shorter", salt="again", arms=PLAIN.arms)
    assert np.mean([assign(PLAIN, f"u{i}") == assign(salted, f"u{i}") for i in range(2_000)]) == pytest.approx(
        0.5, abs=0.06
    )


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        (Experiment(name="one", arms={"control": Arm()}), "at least one variant"),
        (Experiment(name="share", arms={"a": Arm(share=0), "b": Arm()}), "share above 0"),
        (Experiment(name="alpha", arms=PLAIN.arms, alpha=2), "level between"),
        (Experiment(name="endless", arms={"a": Arm(share=float("inf")), "b": Arm()}), "share above 0"),
        (Experiment(name="metric", arms=PLAIN.arms, metric="qualty"), "'qualty' is no metric"),
        (Experiment(name="second", arms=PLAIN.arms, secondary=["costs"]), "'costs' is no metric"),
        (Experiment(name="set", arms={"a": Arm(), "b": Arm(settings={"prune.shares": 0.5})}), "prune.share,"),
        (Experiment(name="looks", arms=PLAIN.arms, looks=[0.5, 1.0]), "a horizon"),
    ],
)
def test_problems_name_path_and_fix(experiment, words):
    assert words in experiment.problems()[0]
    assert f"experiments.{experiment.name}" in experiment.problems()[0]
