"""One model has many public names: all are read as the same one, editions are told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.catalog import default
from hapenny.catalog.naming import geographies, public_name

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.mark.parametrize(
    "name",
    [
        "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5-latest", "claude-sonnet-4.5",
        "claude-sonnet-4-5[1m]", "claude-sonnet-4-5@20250929", "Claude-Sonnet-4-5", SONNET, f"us.{SONNET}",
        f"global.{SONNET}", "anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4-5-20250929", f"bedrock/{SONNET}",
        f"bedrock/us-east-1/{SONNET}", f"bedrock/converse/eu.{SONNET}",
        f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}",
        f"arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us-gov.{SONNET}",
        "claude-4-5-sonnet",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("provider", "id"), [("bedrock", {SONNET}), ("anthropic", {"claude-sonnet-4-5", "claude-sonnet-4-5-20250929"})]
)
def test_every_public_name_of_a_model_finds_it_at_each_provider(name, provider, id):
    card = default().served(name, [provider])
    assert card is not None
    assert card.id in id


@pytest.mark.parametrize(
    ("name", "provider", "id"),
    [
        ("claude-3-5-sonnet-20240620", "bedrock", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
        ("claude-3-5-sonnet-20241022", "bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("claude-3-5-sonnet-latest", "bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("claude-3-haiku-20240307", "bedrock", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("claude-opus-4-0", "bedrock", "anthropic.claude-opus-4-20250514-v1:0"),
        ("claude-opus-4-1", "bedrock", "anthropic.claude-opus-4-1-20250805-v1:0"),
        ("gpt-oss-120b", "bedrock", "openai.gpt-oss-120b-1:0"),
        ("nova-pro", "bedrock", "amazon.nova-pro-v1:0"),
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("gpt-4o-2024-08-06", "openai", "gpt-4o-2024-08-06"),
    ],
)
def test_editions_are_told_apart(name, provider, id):
    assert default().served(name, [provider]).id == id


@pytest.mark.parametrize(
    "name",
    [
        "claude-3-5-sonnet-20230101", "claude-sonnet-9", "gpt-4p", "titan-embed-text-v3", "",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3",
        "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a1b2c3",
        "arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/a1b2c3",
        "arn:aws:bedrock:us-east-1:123456789012:imported-model/a1b2c3",
        "arn:aws:bedrock:us-east-1:123456789012:default-prompt-router/anthropic.claude:1",
    ],
)  # fmt: skip
def test_what_a_name_does_not_say_is_not_guessed(name):
    assert default().served(name, ["bedrock", "anthropic", "openai"]) is None


def test_every_card_is_served_under_its_own_id():
    for card in default().cards.values():
        served = default().served(card.id, [card.provider])
        assert served is not None
        assert public_name(served.id.rpartition("/")[2]).model == public_name(card.id.rpartition("/")[2]).model


def test_regions_have_profiles_of_their_geography():
    assert geographies("us-gov-west-1") == ("us-gov",)
    assert geographies("us-east-1")[0] == "us"
    assert geographies("ap-northeast-1") == ("jp", "apac")
    assert geographies("xx-north-1") == ()


@given(st.text(max_size=400))
def test_no_name_breaks_the_reader(name):
    read = public_name(name)
    assert len(read.model) <= len(name)
