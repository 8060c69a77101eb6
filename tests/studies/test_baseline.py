"""The shipped mix costs what the reference application costs with everything off."""

import pytest

from hapenny.simulation.cards import MANGA_2024
from hapenny.simulation.workload.mix import load
from hapenny.simulation.workload.shoppers import Population
from hapenny.studies import baseline


def test_a_message_costs_about_a_cent() -> None:
    table = baseline.costs(Population(load()), MANGA_2024, 3000, 28.0)
    assert table[""].messages == 3000
    assert table[""].usd == pytest.approx(0.0105, rel=0.02)
    assert table["small_talk"].usd < table["returns"].usd < table["reckoning"].usd


def test_the_table_says_mix_and_card(capsys: pytest.CaptureFixture[str]) -> None:
    baseline.main(["--messages", "200", "--days", "1"])
    said = capsys.readouterr().out
    assert load().digest() in said
    assert MANGA_2024.digest() in said
    assert "dollars a month at 1,000,000 messages a day" in said
