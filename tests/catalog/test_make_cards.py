"""The script that makes the data file, on a small constructed price file."""

import msgspec
import pytest

from hapenny.catalog.card import CardFile
from hapenny.catalog.facts import Claude, claude
from hapenny.catalog.make_cards import build, main, pico

PRICES = {
    "_source": {"retrieved": "2026-11-20", "licence": "MIT"},
    "models": {
        "anthropic.claude-sonnet-4-6": {
            "litellm_provider": "bedrock_converse",
            "mode": "chat",
            "input_cost_per_token": 3e-06,
            "output_cost_per_token": 1.5e-05,
            "supports_prompt_caching": True,
        },
        "eu.anthropic.claude-sonnet-4-6": {
            "litellm_provider": "bedrock_converse",
            "mode": "chat",
            "input_cost_per_token": 3.3e-06,
        },
        "bedrock/ap-northeast-1/1-month-commitment/anthropic.claude-v1": {
            "litellm_provider": "bedrock",
            "mode": "chat",
            "input_cost_per_second": 0.1,
        },
    },
}


def test_entries_of_one_model_become_one_card(tmp_path) -> None:  # type: ignore[no-untyped-def]
    source, out = tmp_path / "prices.json", tmp_path / "cards.json"
    source.write_bytes(msgspec.json.encode(PRICES))
    main([str(source), str(out)])
    file = msgspec.json.decode(out.read_bytes(), type=CardFile)
    assert file == build(PRICES)
    cards = {card.id: card for card in file.cards}
    kept = {name for name in cards if cards[name].retired}
    assert kept == {
        "anthropic.claude-3-sonnet-20240229-v1:0", "anthropic.claude-3-haiku-20240307-v1:0",
        "claude-3-haiku-20240307", "claude-3-5-haiku-20241022",
    }  # always there  # fmt: skip
    assert len(cards) == len(kept) + 1  # a commitment is no on-demand price
    prices = cards["anthropic.claude-sonnet-4-6"].prices
    assert prices["in_region"]["standard"].input == 3_000_000
    assert prices["geo:eu"]["standard"].input == 3_300_000
    assert prices["geo:eu"]["standard"].output is None


def test_dollars_are_read_as_decimals() -> None:
    assert pico(8.75e-09) == 8750
    assert pico(6.875e-07) == 687_500
    with pytest.raises(ValueError, match="finer"):
        pico(1.5e-13)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("anthropic.claude-3-5-haiku-20241022-v1:0", Claude("haiku", (3, 5))),
        ("anthropic.claude-3-opus-20240229-v1:0", Claude("opus", (3, 0))),
        ("anthropic.claude-opus-4-20250514-v1:0", Claude("opus", (4, 0))),
        ("claude-opus-4-1-20250805", Claude("opus", (4, 1))),
        ("claude-fable-5", Claude("fable", (5, 0))),
        ("anthropic.claude-instant-v1", Claude("instant", (1, 0))),
        ("anthropic.claude-v2:1", Claude("claude", (2, 0))),
        ("gpt-4o", None),
    ],
)
def test_a_claude_name_is_read(name: str, made: Claude | None) -> None:
    assert claude(name) == made
