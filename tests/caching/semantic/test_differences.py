"""Words whose difference changed the answer before count against a hit; words that never mattered do not."""

import pytest

from hapenny.caching.semantic.differences import Differences


def taught():
    differences = Differences()
    for _ in range(10):
        differences.learn(["seven", "eight"], True)
        differences.learn(["please"], False)
    return differences


def test_a_word_that_changed_answers_speaks_against():
    differences = taught()
    assert differences.worst(["seven"]) > 0.5
    assert differences.worst(["please"]) < -0.5
    assert differences.worst(["please", "seven"]) == differences.worst(["seven"])


def test_nothing_known_says_nothing():
    assert Differences().worst(["seven"]) == pytest.approx(0.0)
    assert taught().worst([]) == 0.0
    assert taught().worst(["unheard"]) == pytest.approx(0.0)


def test_the_record_survives_a_restart_without_a_word_in_it():
    heir = Differences()
    heir.loads(taught().dumps())
    assert heir.worst(["seven"]) == taught().worst(["seven"])
    assert b"seven" not in taught().dumps()
    for nonsense in (b"", b"nonsense", b"x" * 200):
        with pytest.raises(ValueError, match="another version"):
            heir.loads(nonsense)
