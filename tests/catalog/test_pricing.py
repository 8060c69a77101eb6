"""The one price: exact, rounded once, unknown where a rate is unknown."""

from datetime import date
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.catalog import Card, Rates, default, half_even, price, resolve
from hapenny.catalog.catalog import DATA
from hapenny.catalog.fees import SERVICE
from hapenny.core.events import Tokens


def card(name: str) -> Card:
    found = resolve(name)
    assert found is not None
    return found


def test_the_reference_message_costs_what_the_seed_says() -> None:
    assert price(card("claude-3-sonnet"), Tokens(input=1500, output=400)) == 10_500_000  # $.0105
    assert price(card("claude-3-haiku"), Tokens(input=1500, output=400)) == 875_000


def test_tiers_and_places_have_their_own_price() -> None:
    haiku = card("anthropic.claude-haiku-4-5")
    tokens = Tokens(input=1_000_000)
    assert price(haiku, tokens, region_class="global") == 10**9
    assert price(haiku, tokens) == 1_100_000_000
    assert price(haiku, tokens, region_class="geo") == price(haiku, tokens, region_class="geo:eu") == 1_100_000_000
    assert price(haiku, tokens, region_class="in_region:us-gov-west-1") == 1_200_000_000
    assert price(haiku, tokens, region_class="in_region:eu-west-1") == 1_100_000_000
    assert price(haiku, tokens, service_tier="batch") == 550_000_000
    assert price(haiku, tokens, service_tier="default") == 1_100_000_000
    nova = card("amazon.nova-2-lite-v1:0")
    assert price(nova, tokens, service_tier="priority", region_class="global") == 525_000_000
    assert price(nova, tokens, service_tier="flex", region_class="geo") == 165_000_000


def test_what_is_unknown_stays_unknown() -> None:
    haiku = card("anthropic.claude-haiku-4-5")
    assert price(haiku, Tokens(input=1), service_tier="priority") is None
    assert price(haiku, Tokens(input=1), service_tier="reserved") is None
    assert price(haiku, Tokens(input=1), region_class="geo:sa") is None
    assert price(card("claude-3-sonnet"), Tokens(input=1), region_class="in_region:us-gov-west-1") is None
    sonnet = card("claude-3-sonnet")
    assert price(sonnet, Tokens(input=5, cache_read=1)) is None
    assert price(sonnet, Tokens(input=5)) == 15_000


def test_cache_rates() -> None:
    haiku = card("anthropic.claude-haiku-4-5")
    assert price(haiku, Tokens(cache_write=1000), region_class="global") == 1_250_000
    assert price(haiku, Tokens(cache_write_1h=1000), region_class="global") == 2_000_000
    assert price(haiku, Tokens(cache_read=1000), region_class="global") == 100_000


def test_a_long_prompt_is_billed_whole_at_the_long_rate() -> None:
    haiku = card("anthropic.claude-haiku-5-5")
    assert price(haiku, Tokens(input=100_000), region_class="global") == 10_000_000
    assert price(haiku, Tokens(input=100_001), region_class="global") == 50_000_500
    mixed = Tokens(input=1, cache_read=100_000)
    assert price(haiku, mixed, region_class="global") == half_even(1 * 500_000 + 100_000 * 50_000, 1000)


def test_what_is_paid_beside_text_is_priced_or_the_whole_is_unknown() -> None:
    sonnet = card("claude-sonnet-5-5")
    assert price(sonnet, Tokens(input=1000, units=(("web_search", 3),))) == 2_000_000 + 3 * 10_000_000
    assert price(sonnet, Tokens(input=1000, units=(("web_fetch", 7),))) == 2_000_000
    assert price(sonnet, Tokens(input=1000, units=(("code_execution", 1),))) is None
    audio = card("gpt-4o-audio-preview-2024-12-17")
    heard = Tokens(input=10, output=5, units=(("audio_input", 100), ("audio_output", 50)))
    assert price(audio, heard) == half_even(10 * 2_500_000 + 5 * 10_000_000 + 100 * 40_000_000 + 50 * 80_000_000, 1000)
    assert price(card("gpt-4o"), Tokens(input=10, units=(("audio_input", 1),))) is None
    # Pictures cost what text does where a model has no price of their own.
    assert price(card("gpt-4o"), Tokens(units=(("image_input", 85),))) == price(card("gpt-4o"), Tokens(input=85))
    guarded = Tokens(units=(("guardrail_content", 2), ("guardrail_pii", 2), ("guardrail_word", 2)))
    assert price(card("anthropic.claude-haiku-5-5"), guarded) == 2 * 150_000 + 2 * 100_000
    assert price(card("gpt-4o"), guarded) is None


def test_pictures_and_sounds_count_towards_a_long_prompt() -> None:
    haiku = card("anthropic.claude-haiku-5-5")
    over = Tokens(input=1, units=(("image_input", 100_000),))
    assert over.prompt == 100_001
    assert price(haiku, over, region_class="global") == half_even(100_001 * 500_000, 1000)


def test_a_reranker_is_billed_by_query() -> None:
    assert price(card("cohere.rerank-v3-5:0"), Tokens(input=999)) == 2_000_000
    assert price(card("cohere.rerank-v3-5:0"), Tokens(), queries=3) == 6_000_000


counts = st.integers(0, 2_000_000)
rate = st.integers(0, 10**9)


@given(counts, counts, counts, rate, rate, rate)
def test_the_sum_is_exact_and_rounded_once(a: int, b: int, c: int, x: int, y: int, z: int) -> None:
    one = Card(id="m", provider="p", prices={"in_region": {"standard": Rates(input=x, output=y, cache_read=z)}})
    assert price(one, Tokens(input=a, output=b, cache_read=c)) == round(Fraction(a * x + b * y + c * z, 1000))


@given(st.integers(0, 10**15), st.integers(1, 10**6))
def test_half_even(number: int, divisor: int) -> None:
    assert half_even(number, divisor) == round(Fraction(number, divisor))


def test_the_data_file_says_where_it_comes_from() -> None:
    head = msgspec.json.decode(Path(DATA).read_bytes())
    assert head["date"]
    assert head["source"]["licence"] == "MIT"
    assert default().date == head["date"]


def test_every_price_carries_its_day_and_its_source() -> None:
    catalog = default()
    for one in catalog.cards.values():
        for place, tiers in one.prices.items():
            for tier, rates in tiers.items():
                source = catalog.source(rates)
                assert source is not None, (one.id, place, tier)
                assert date.fromisoformat(source.date) <= date(2026, 11, 30)
                assert len(source.text) > 10
    for provider, fees in SERVICE.items():
        for unit, (_, source) in fees.items():
            assert date.fromisoformat(source.date), (provider, unit)
            assert source.text


@pytest.mark.parametrize("kind", ["chat", "embedding"])
def test_most_cards_have_a_price(kind: str) -> None:
    cards = [one for one in default().cards.values() if one.kind == kind]
    priced = [one for one in cards if any(price(one, Tokens(input=1), region_class=r) is not None for r in one.prices)]
    assert len(priced) > 0.9 * len(cards)
