"""Names, profiles and ARNs find their card; the data file holds what the house promises."""

import subprocess
import sys

import pytest

from hapenny.catalog import base_id, default, region_class, resolve


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("anthropic.claude-3-sonnet", "anthropic.claude-3-sonnet-20240229-v1:0"),
        ("claude-3-haiku", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("anthropic.claude-3-haiku", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("anthropic.claude-3-5-sonnet", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("claude-3-5-haiku", "anthropic.claude-3-5-haiku-20241022-v1:0"),
        ("claude-3-opus", "anthropic.claude-3-opus-20240229-v1:0"),
        ("claude-sonnet-5-5", "claude-sonnet-5-5"),
        ("anthropic.claude-haiku-4-5", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("us-gov.anthropic.claude-sonnet-5", "anthropic.claude-sonnet-5"),
        ("global.amazon.nova-2-lite-v1:0", "amazon.nova-2-lite-v1:0"),
        ("amazon.titan-embed-text-v2", "amazon.titan-embed-text-v2:0"),
        ("cohere.embed-v4:0", "cohere.embed-v4:0"),
        ("cohere.rerank-v3-5:0", "cohere.rerank-v3-5:0"),
        ("gpt-4o", "gpt-4o"),
        ("gpt-5-mini", "gpt-5-mini"),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-5-5",
            "anthropic.claude-opus-5-5",
        ),
        (
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-6",
            "anthropic.claude-sonnet-4-6",
        ),
    ],
)
def test_a_name_finds_its_card(name: str, found: str) -> None:
    card = resolve(name)
    assert card is not None
    assert card.id == found


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt-99",
        "us.",
        "arn:aws:bedrock:us-east-1:1:application-inference-profile/ab12cd",
        "arn:aws:bedrock:us-east-1:1:provisioned-model/xyz",
    ],
)
def test_what_a_name_does_not_tell_stays_unknown(name: str) -> None:
    assert resolve(name) is None


def test_region_class_comes_from_the_profile() -> None:
    assert region_class("global.anthropic.claude-opus-5") == "global"
    assert region_class("jp.anthropic.claude-opus-5") == "geo:jp"
    assert region_class("anthropic.claude-opus-5", "eu-west-1") == "in_region:eu-west-1"
    assert region_class("gpt-4o") == "in_region"
    assert region_class("arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-pro-v1:0") == "in_region:eu-west-1"
    assert base_id("anthropic.claude-opus-5") == "anthropic.claude-opus-5"


def test_seed_models_are_kept_with_price_and_source() -> None:
    for name, dollars in (("claude-3-sonnet", (3, 15)), ("claude-3-haiku", (0.25, 1.25))):
        card = resolve(name)
        assert card is not None
        assert card.retired
        assert card.source.startswith("https://")
        rates = card.rates()
        assert rates is not None
        assert (rates.input, rates.output) == tuple(int(value * 10**6) for value in dollars)


def test_families_of_the_issue_are_there() -> None:
    ids = default().cards
    for part in ("claude-3-", "claude-opus-5-5", "nova-pro-v1", "nova-2-lite", "titan-embed", "cohere.embed", "rerank"):
        assert any(part in name for name in ids), part
    assert {"gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5-mini", "gpt-5-nano"} <= ids.keys()
    assert len(default().names()) == len(set(default().names()))


def test_every_alias_is_claimed_once() -> None:
    seen: dict[str, str] = {}
    for card in default().cards.values():
        for alias in card.aliases:
            assert alias not in default().cards
            assert seen.setdefault(alias, card.id) == card.id


def test_limits_of_known_models() -> None:
    haiku = resolve("us.anthropic.claude-haiku-4-5-20251001-v1:0")
    assert haiku is not None
    assert (haiku.cache_min, haiku.cache_ttls, haiku.cache_mode, haiku.burndown) == (4096, ("5m", "1h"), "explicit", 5)
    assert (haiku.context_window, haiku.max_output, haiku.tier) == (200_000, 64_000, "fast")
    gpt = resolve("gpt-4o")
    assert gpt is not None
    assert (gpt.cache_mode, gpt.burndown, gpt.tokenizer) == ("automatic", 1, "o200k")
    old, new = resolve("claude-sonnet-4-6"), resolve("claude-opus-4-7")
    assert old is not None
    assert new is not None
    assert old.tokenizer != new.tokenizer
    titan = resolve("amazon.titan-embed-text-v2:0")
    assert titan is not None
    assert (titan.kind, titan.dimensions) == ("embedding", 1024)


def test_importing_the_catalog_reads_no_data() -> None:
    code = "import hapenny.catalog.catalog as s, hapenny.catalog; assert s._default is None"
    subprocess.run([sys.executable, "-c", code], check=True)
