"""The one price: exact, rounded once, unknown where a rate is unknown."""

from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.catalog import Card, Rates, default, half_even, price, resolve
from hapenny.catalog.catalog import DATA
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
    assert price(haiku, tokens) == 10**9
    assert price(haiku, tokens, region_class="geo") == price(haiku, tokens, region_class="geo:eu") == 1_100_000_000
    assert price(haiku, tokens, region_class="in_region:us-gov-west-1") == 1_200_000_000
    assert price(haiku, tokens, region_class="in_region:eu-west-1") == 10**9
    assert price(haiku, tokens, service_tier="batch") == 500_000_000
    assert price(haiku, tokens, service_tier="default") == 10**9
    nova = card("amazon.nova-2-lite-v1:0")
    assert price(nova, tokens, service_tier="priority") == 525_000_000
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
    assert price(haiku, Tokens(cache_write=1000)) == 1_250_000
    assert price(haiku, Tokens(cache_write_1h=1000)) == 2_000_000
    assert price(haiku, Tokens(cache_read=1000)) == 100_000


def test_a_long_prompt_is_billed_whole_at_the_long_rate() -> None:
    haiku = card("anthropic.claude-haiku-5-5")
    assert price(haiku, Tokens(input=100_000)) == 10_000_000
    assert price(haiku, Tokens(input=100_001)) == 50_000_500
    assert price(haiku, Tokens(input=1, cache_read=100_000)) == half_even(1 * 500_000 + 100_000 * 50_000, 1000)


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


@pytest.mark.parametrize("kind", ["chat", "embedding"])
def test_most_cards_have_a_price(kind: str) -> None:
    cards = [one for one in default().cards.values() if one.kind == kind]
    priced = [one for one in cards if any(price(one, Tokens(input=1), region_class=r) is not None for r in one.prices)]
    assert len(priced) > 0.9 * len(cards)
