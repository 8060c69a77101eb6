"""The latency benchmark, small: every key is there, steps add up, and the search's passages cost no right answers."""

import pytest
from benchmarks.latency import settings, techniques

from hapenny.responsive.budget import STEPS
from hapenny.simulation.cards import DECKS


@pytest.fixture(scope="module")
def played():
    return settings.traffic(None, 0, 40, 10.0, 7)


@pytest.fixture(scope="module")
def decks(played):
    return settings.decks("manga-2024", "current-2026", played, 7)


def test_the_reference_budgets_provider_takes_its_times(played, decks):
    plain = settings.directly(decks["gantt"], played, 7).sent
    first = settings.quantile([each.first for each in plain], 0.95)
    streaming = settings.quantile([each.whole - each.first for each in plain], 0.95)
    assert first == pytest.approx(330, rel=0.02)
    assert streaming == pytest.approx(650, rel=0.02)


def test_whole_answers_and_steps_are_measured(played, decks, tmp_path):
    settings.index(tmp_path / "shop", played)
    result = settings.through(decks["gantt"], played, settings.config(decks["gantt"], tmp_path / "shop"), 7)
    figures = {**settings.figures(result), **settings.budget(result)}
    assert {"p50_ms", "p95_ms", "ttft_p95_ms", "under_3s_share", "degraded_share", "rejected_share"} <= figures.keys()
    assert figures["rejected_share"] == 0
    assert list(figures["budget"]) == [step.name for step in STEPS]
    for name in ("routing", "auth", "cache", "hybrid_search", "first_token", "streaming"):
        assert figures["budget"][name]["passed"] > 0, name
    for sent in result.sent:
        assert sum(result.rows[sent.request_id].steps.values()) == pytest.approx(sent.whole, abs=0.05)
    direct = settings.directly(decks["gantt"], played, 7)
    assert sum(result.right) >= sum(direct.right) - 4


def test_techniques_show_their_price_beside_the_gain(played, monkeypatch):
    for name, size in (("MESSAGES", 30), ("QUESTIONS", 10), ("COMPOUND", 3), ("PREFIXED", 6)):
        monkeypatch.setattr(techniques, name, size)
    measured = techniques.measure(DECKS["current-2026"], played, 7)
    assert measured["parallel"]["of_ideal"] > 0.9
    found = measured["techniques"]
    assert set(found) == {"streaming", "small_model", "precomputed", "parallel", "prompt_cache"}
    assert all(each["price"] for each in found.values())
    assert found["precomputed"]["answered_without_a_model"] == 1.0
    assert found["prompt_cache"]["ttft_ratio"] < 1
