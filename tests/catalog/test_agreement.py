"""The catalog against price tables that others keep: every disagreement has a reason of ours."""

import json
import os
from pathlib import Path

import pytest
from benchmarks.catalog.compare import compare
from benchmarks.catalog.listings import Genai, PriceFile
from benchmarks.catalog.reasons import GENAI

from hapenny.catalog import Card, Catalog, Rates, Source, default


def test_no_disagreement_with_genai_prices_is_without_a_reason() -> None:
    compared = compare(default(), Genai())
    assert [
        f"{one.model} {one.place} {one.tier} {one.rate}: {one.ours} {one.theirs}" for one in compared.unexplained
    ] == []
    assert compared.held > 500  # it was compared
    said = {one.reason for one in compared.disagreements}
    assert said == {why for _, why in GENAI}  # and no reason outlives what it explained


@pytest.mark.skipif("HAPENNY_PRICES" not in os.environ, reason="HAPENNY_PRICES names no price file")
def test_no_disagreement_with_a_price_file_is_without_a_reason() -> None:
    assert compare(default(), PriceFile(os.environ["HAPENNY_PRICES"])).unexplained == []


def listed(tmp_path: Path, **costs: float) -> PriceFile:
    path = tmp_path / "prices.json"
    entry = {"litellm_provider": "openai", "mode": "chat", **costs}
    path.write_text(json.dumps({"_source": {"package": "constructed", "version": "1"}, "models": {"m": entry}}))
    return PriceFile(path)


def shelf(source: str, **rates: int) -> Catalog:
    named = {"list": Source("2026-11-20", "a price file"), "own": Source("2026-11-30", "the provider's page")}
    prices = {"in_region": {"standard": Rates(source=source, **rates)}}
    return Catalog([Card(id="m", provider="openai", prices=prices)], "2026-11-20", named)  # type: ignore[arg-type]


def test_a_price_that_was_changed_without_a_source_is_an_error(tmp_path: Path) -> None:
    table = listed(tmp_path, input_cost_per_token=2e-06, output_cost_per_token=8e-06)
    same = compare(shelf("list", input=2_000_000, output=8_000_000), table)
    assert (same.held, same.rates, same.disagreements) == (1, 2, [])
    (wrong,) = compare(shelf("list", input=2_000_001, output=8_000_000), table).unexplained
    assert (wrong.rate, wrong.ours, wrong.theirs) == ("input", "2.000001", "2")
    (missing,) = compare(shelf("list", input=2_000_000), table).unexplained
    assert (missing.rate, missing.ours, missing.theirs) == ("output", "", "8")
    amended = compare(shelf("own", input=3_000_000, output=8_000_000), table)
    assert amended.unexplained == []
    assert amended.disagreements[0].reason == "the provider's page (2026-11-30)"


def test_a_long_context_price_is_compared_too(tmp_path: Path) -> None:
    table = listed(tmp_path, input_cost_per_token=2e-06, input_cost_per_token_above_200k_tokens=4e-06)
    (absent, over) = compare(shelf("list", input=2_000_000), table).unexplained
    assert (absent.rate, absent.theirs, over.rate, over.theirs) == ("long.input", "4", "long_over", "200000")
