"""A model spread over accelerators: what more chips, other links and fewer bits do to the server it makes."""

import pytest
from msgspec.structs import replace

from hapenny.simulation.parallelism import CHIPS, ModelSize, Spread, best, server

MODEL = ModelSize(parameters=70e9, layers=80, hidden=8_192, kv_bytes_a_token=327_680)
LARGE = ModelSize(parameters=671e9, layers=61, hidden=7_168, kv_bytes_a_token=70_272)
TRN2, GB200 = CHIPS["ml.trn2.48xlarge"], CHIPS["ml.p6e-gb200.36xlarge"]


def card(model=MODEL, chips=TRN2, **spread):
    return server(model, chips, Spread(**spread)).card


def test_splitting_layers_makes_tokens_come_sooner_and_pipelines_do_not():
    two, four, piped = card(tensor=2), card(tensor=4), card(tensor=2, pipeline=2)
    assert four.step_s < 0.6 * two.step_s
    assert piped.step_s == pytest.approx(two.step_s, rel=0.01)
    assert four.prefill_tokens_per_s > 1.8 * two.prefill_tokens_per_s
    assert piped.kv_tokens == four.kv_tokens > 2 * two.kv_tokens  # memory adds up either way


def test_a_slow_link_between_instances_costs_what_a_fast_one_does_not():
    within = server(LARGE, TRN2, Spread(tensor=16))
    across = server(LARGE, TRN2, Spread(tensor=32))
    narrow = server(LARGE, replace(TRN2, between=TRN2.between / 8), Spread(tensor=32))
    assert narrow.card.sequence_s > 2 * across.card.sequence_s
    assert narrow.link_share > across.link_share > within.link_share
    assert server(LARGE, GB200, Spread(tensor=8)).link_share < 0.1


def test_fewer_bits_take_less_memory_and_their_quality_has_to_be_measured():
    full, half, eighth = (server(MODEL, TRN2, Spread(tensor=8, precision=each)) for each in ("fp32", "fp16", "int8"))
    assert full.card.kv_tokens < half.card.kv_tokens < eighth.card.kv_tokens
    assert full.card.step_s > half.card.step_s > eighth.card.step_s
    assert half.quality == "as published"
    assert "not measured" in eighth.quality


def test_what_does_not_fit_says_how_much_would():
    with pytest.raises(ValueError, match=r"do not fit 1 chips\. Fix: 2 chips or more"):
        server(MODEL, TRN2, Spread(tensor=1))
    with pytest.raises(ValueError, match="of 64 that are joined"):
        server(MODEL, TRN2, Spread(tensor=128))


def test_the_best_spread_fits_and_needs_no_more_than_the_group():
    for model in (MODEL, LARGE):
        spread = best(model, GB200, "fp16")
        made = server(model, GB200, spread)
        assert made.card.kv_tokens > 2_000
        assert spread.chips * made.copies <= GB200.an_instance * GB200.joined
    with pytest.raises(ValueError, match="fit no spread"):
        best(LARGE, CHIPS["ml.inf2.48xlarge"])
