"""The cold-start score."""

from hapenny.routing import complexity


def test_longer_and_denser_looks_harder():
    easy = complexity.score("What time is it?")
    middle = complexity.score("Explain why the sky is blue and sunsets are red, " * 6)
    hard = complexity.score("If f(x) = (x^2 - 4) / (x - 2) and g(y) = [y + 1] * {3}, find f(g(2)); " * 12)
    assert 0 <= easy < middle < hard <= 1


def test_use_case_moves_the_score():
    text = "Read the following passage about trade in the sixteenth century. " * 8
    assert complexity.score(text, "summarization") < complexity.score(text) < complexity.score(text, "expert_reasoning")
    assert complexity.score(text, "never heard of") == complexity.score(text)


def test_score_stays_in_range():
    for text in ("", "x", "?" * 10_000, "東京" * 3_000):
        for intent in (None, "classification", "expert_reasoning"):
            assert 0 <= complexity.score(text, intent) <= 1


def test_shipped_weights_are_small_and_name_their_source():
    weights = complexity.default_weights()
    assert len(weights.slope) == len(complexity.MEASURES)
    assert "routing outcomes" in weights.source


def test_own_weights_are_used():
    base = complexity.default_weights()
    flipped = complexity.Weights(
        source="test",
        mean=base.mean,
        deviation=base.deviation,
        slope=[-s for s in base.slope],
        centre=-base.centre,
        spread=base.spread,
    )
    long = "step by step, " * 200
    assert complexity.score(long, weights=flipped) < 0.5 < complexity.score(long)
