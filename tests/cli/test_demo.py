"""The demo ends with the saving and, beside it, what became of the quality."""

from pathlib import Path

from click.testing import CliRunner

from hapenny.cli.demo import demo
from hapenny.simulation.workload.mix import DEFAULT


def test_saving_invoice_and_quality_stand_together(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    result = CliRunner().invoke(demo, ["--requests", "40", "--seconds", "1", "--faq", "0", "--html", str(page)])
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "of the bill saved" in text
    assert "paid, equal to the provider's own invoice" in text
    assert "Right answers:" in text
    assert "with everything on the strong model" in text
    assert "95 % interval" in text
    assert "that at most 1 point is lost is not shown" in text
    assert "The semantic cache" not in text
    assert page.exists()


def test_the_faq_bot_says_when_too_few_questions_open_its_cache(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    asked = ["--requests", "10", "--seconds", "0.2", "--faq", "60", "--html", str(page)]
    result = CliRunner().invoke(demo, asked)
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "60 questions about the shop's rules" in text
    assert "It stayed closed after" in text
    assert "of the bill" in text.partition("stayed closed")[2]


def test_a_mix_of_ones_own_is_played_or_refused(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(DEFAULT.read_text(encoding="utf-8").replace("share: 0.18", "share: 0.17"), encoding="utf-8")
    result = CliRunner().invoke(demo, ["--mix", str(mine)])
    assert result.exit_code == 2
    assert "the shares add up to 0.99" in result.output
