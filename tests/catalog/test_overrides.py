"""Contracts and models of one's own, and what a wrong file is told."""

from pathlib import Path

import pytest

from hapenny.catalog import Catalog, default, price
from hapenny.catalog.overrides import load
from hapenny.core.events import Tokens

MILLION = Tokens(input=1_000_000)


def laid(tmp_path: Path, text: str) -> Catalog:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    return load(path, default())


def cost(catalog: Catalog, name: str, **how: object) -> int | None:
    card = catalog.resolve(name)
    assert card is not None
    return price(card, MILLION, **how)  # type: ignore[arg-type]


def test_a_contract_holds_in_its_time_and_place(tmp_path: Path) -> None:
    catalog = laid(
        tmp_path,
        """
prices:
  - {model: anthropic.claude-sonnet-4-6, region_class: global, input: 2.70, output: 13.5,
     from: 2026-01-01, until: 2027-01-01, source: contract}
""",
    )
    name, inside, after = "anthropic.claude-sonnet-4-6", 1_780_000_000.0, 1_800_000_000.0
    assert cost(catalog, name, region_class="global", wall=inside) == 2_700_000_000
    assert cost(catalog, name, region_class="global", wall=after) == 3_000_000_000
    assert cost(catalog, name, wall=inside) == 3_300_000_000
    assert cost(default(), name, region_class="global", wall=inside) == 3_000_000_000


def test_a_discount_is_off_every_listed_rate(tmp_path: Path) -> None:
    catalog = laid(
        tmp_path,
        """
prices:
  - {model: gpt-4o, discount: 0.12}
  - {model: gpt-4o, service_tier: batch, input: 1.0, output: 4}
""",
    )
    assert cost(catalog, "gpt-4o") == 2_200_000_000
    assert cost(catalog, "gpt-4o", service_tier="batch") == 1_000_000_000
    card = catalog.resolve("gpt-4o")
    assert card is not None
    assert price(card, Tokens(cache_read=1_000_000)) == 1_100_000_000


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    catalog = laid(
        tmp_path,
        """
models:
  - {id: our-llama, provider: openai, aliases: [llama], context_window: 131072, prices: {input: 0.2, output: "0.2"}}
  - {id: free-of-price, provider: openai}
""",
    )
    assert cost(catalog, "llama") == 200_000_000
    assert cost(catalog, "free-of-price") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prices: [{model: gpt-99, input: 1}]", ("$.prices[0].model", "gpt-99", "Fix")),
        ("prices: [{model: gpt-4o}]", ("$.prices[0]", "rates or a discount")),
        ("prices: [{model: gpt-4o, input: 1, discount: 0.1}]", ("rates or a discount",)),
        ("prices: [{model: gpt-4o, discount: 12}]", ("$.prices[0].discount", "12", "0 to 1")),
        ("prices: [{model: gpt-4o, input: -1}]", ("$.prices[0].input", "-1", "Fix")),
        ("prices: [{model: gpt-4o, input: cheap}]", ("$.prices[0].input", "cheap")),
        ("prices: [{model: gpt-4o, inputs: 1}]", ("inputs",)),
        ("prices: [{model: gpt-4o, input: 1, service_tier: slow}]", ("service_tier", "slow")),
        ("prices: [{model: gpt-4o, input: 1, region_class: mars}]", ("region_class",)),
        ("prices: [{model: gpt-4o, input: 1, from: 2027-01-01, until: 2026-01-01}]", ("until", "2026-01-01")),
        ("models: [{provider: x}]", ("$.models[0]", "id")),
        ("[1, 2", ("not YAML",)),
        ("prices: 3", ("$.prices",)),
    ],
)
def test_a_wrong_file_is_told_what_is_wrong(tmp_path: Path, text: str, said: tuple[str, ...]) -> None:
    with pytest.raises(ValueError) as error:
        laid(tmp_path, text)
    assert str(tmp_path) in str(error.value)
    for part in said:
        assert part in str(error.value)
