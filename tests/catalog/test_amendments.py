"""What the price file lacks or gets wrong, as the finished catalog has it."""

import pytest

from hapenny.catalog import Card, default, price, resolve
from hapenny.catalog.facts import burndown, claude
from hapenny.core.events import Tokens

MILLION = Tokens(input=1_000_000)


def card(name: str) -> Card:
    found = resolve(name)
    assert found is not None
    return found


def claudes(provider: str) -> list[Card]:
    return [one for one in default().cards.values() if one.provider == provider and claude(one.id) is not None]


def test_an_in_region_id_of_a_new_claude_costs_a_tenth_more_than_the_global_one() -> None:
    both = [one for one in claudes("bedrock") if "global" in one.prices and (claude(one.id).version >= (4, 5))]  # type: ignore[union-attr]
    assert len(both) == 15
    for one in both:
        for tokens in (MILLION, Tokens(output=1_000_000), Tokens(cache_read=1_000_000), Tokens(cache_write=1_000_000)):
            regional, worldwide = price(one, tokens), price(one, tokens, region_class="global")
            assert regional is not None
            assert worldwide is not None
            assert regional * 10 == worldwide * 11, one.id
        assert price(one, MILLION) == price(one, MILLION, region_class="geo:us")


@pytest.mark.parametrize("name", ["amazon.nova-2-lite-v1:0", "openai.gpt-6-luna", "openai.gpt-6-sol"])
def test_so_do_others_whose_geographic_profile_does(name: str) -> None:
    assert price(card(name), MILLION) == price(card(name), MILLION, region_class="geo:us")


def test_older_models_keep_their_one_price() -> None:
    sonnet = card("anthropic.claude-sonnet-4-20250514-v1:0")
    short = Tokens(input=100_000)
    assert price(sonnet, short) == price(sonnet, short, region_class="global") == 300_000_000


def test_every_claude_on_bedrock_has_a_batch_price_of_half() -> None:
    cards = claudes("bedrock")
    assert len(cards) >= 28
    for one in cards:
        for place, tiers in one.prices.items():
            assert "batch" in tiers, (one.id, place)
            for tokens in (MILLION, Tokens(output=1_000), Tokens(input=1, output=1_000)):
                standard = price(one, tokens, region_class=place)
                half = price(one, tokens, region_class=place, service_tier="batch")
                assert standard is not None
                assert half is not None
                assert abs(2 * half - standard) <= 1


def test_a_long_prompt_in_a_batch() -> None:
    for name, dollars in (("anthropic.claude-sonnet-4-5-20250929-v1:0", 3.3), ("claude-sonnet-4-5", 3.0)):
        for tokens, factor in ((Tokens(input=200_000), 1.0), (Tokens(input=200_001), 2.0)):
            exact = round(tokens.input * dollars * factor / 2 * 1000)
            assert price(card(name), tokens, service_tier="batch") == exact


def test_an_hour_long_cache_write_in_a_batch_is_half_of_one_alone() -> None:
    written = Tokens(cache_write_1h=1_000)
    seen = 0
    for one in claudes("anthropic"):
        whole, half = price(one, written), price(one, written, service_tier="batch")
        if whole is not None and "batch" in one.prices["in_region"]:
            assert half is not None, one.id
            assert half * 2 == whole
            seen += 1
    assert seen >= 20
    long = Tokens(input=100_000, cache_write_1h=1_000)
    assert price(card("claude-haiku-5-5"), long, service_tier="batch") == 100_000 * 250 + 1_000 * 500


def test_an_hour_long_cache_write_has_a_price_in_every_geography_of_haiku() -> None:
    haiku = card("anthropic.claude-haiku-4-5-20251001-v1:0")
    for place in haiku.prices:
        assert price(haiku, Tokens(cache_write_1h=1_000), region_class=place) is not None, place


@pytest.mark.parametrize("name", ["micro-v1:0", "lite-v1:0", "pro-v1:0", "premier-v1:0", "2-lite-v1:0"])
def test_a_cache_write_on_nova_is_priced_and_free(name: str) -> None:
    nova = card(f"amazon.nova-{name}")
    assert price(nova, Tokens(cache_write=1_000_000)) == 0
    assert price(nova, Tokens(cache_read=1_000_000)) * 4 == price(nova, MILLION)  # type: ignore[operator]
    assert price(nova, Tokens(cache_write_1h=1)) is None  # not sold
    assert nova.cache_places == ("system", "messages")


def test_data_residency_and_fast_mode_at_anthropic() -> None:
    opus = card("claude-opus-5-5")
    for tokens in (MILLION, Tokens(output=7), Tokens(cache_read=999), Tokens(cache_write_1h=10)):
        usual = price(opus, tokens)
        resident = price(opus, tokens, region_class="geo:us")
        fast = price(opus, tokens, service_tier="fast_mode")
        both = price(opus, tokens, region_class="geo:us", service_tier="fast_mode")
        assert usual is not None
        assert resident is not None
        assert resident * 10 == usual * 11
        assert fast == 2 * usual
        assert both == 2 * resident
    assert price(card("claude-sonnet-5-5"), MILLION, service_tier="fast_mode") is None
    assert price(card("claude-sonnet-4-5"), MILLION, region_class="geo:us") is None
    assert price(opus, MILLION, region_class="geo:eu") is None


def test_latency_optimised_inference_has_its_own_price() -> None:
    tokens = Tokens(input=1_000, output=1_000)
    assert price(card("anthropic.claude-3-5-haiku-20241022-v1:0"), tokens, service_tier="optimized") == 6_000_000
    assert price(card("amazon.nova-pro-v1:0"), tokens, service_tier="optimized", region_class="geo:us") == 5_000_000
    assert price(card("meta.llama3-1-405b-instruct-v1:0"), tokens, service_tier="optimized") == 6_000_000
    assert price(card("anthropic.claude-haiku-5-5"), tokens, service_tier="optimized") is None


def test_anthropics_own_old_haiku() -> None:
    for name, dollars in (("claude-3-haiku-20240307", 0.25), ("claude-3-5-haiku-20241022", 0.8)):
        found = card(name)
        assert found.provider == "anthropic"
        assert price(found, MILLION) == round(dollars * 10**9)
        assert price(found, Tokens(cache_write_1h=1_000_000)) == round(dollars * 2 * 10**9)
    assert card("claude-3-haiku").provider == "bedrock"  # the short name stays with who serves it still


@pytest.mark.parametrize(
    ("name", "provider", "burns"),
    [
        ("anthropic.claude-3-5-haiku-20241022-v1:0", "bedrock", 1),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", "bedrock", 5),
        ("anthropic.claude-opus-4-7", "bedrock", 5),
        ("anthropic.claude-opus-4-8", "bedrock", 15),
        ("anthropic.claude-sonnet-5", "bedrock", 10),
        ("anthropic.claude-haiku-5-5", "bedrock", 10),
        ("anthropic.claude-fable-5-1", "bedrock", 10),
        ("openai.gpt-5.6-sol", "bedrock", 10),
        ("openai.gpt-6-astra", "bedrock", 10),
        ("openai.gpt-5.4", "bedrock", 1),
        ("openai.gpt-oss-120b-1:0", "bedrock", 1),
        ("moonshotai.kimi-k3", "bedrock", 10),
        ("moonshotai.kimi-k2.5", "bedrock", 1),
        ("amazon.nova-pro-v1:0", "bedrock", 1),
        ("bedrock_mantle/anthropic.claude-opus-5-5", "bedrock_mantle", 1),
        ("claude-opus-4-8", "anthropic", 1),
    ],
)
def test_an_output_token_burns_quota_by_model_and_endpoint(name: str, provider: str, burns: int) -> None:
    assert burndown(name, provider) == burns
    known = default().cards.get(name)
    assert known is None or known.burndown == burns
