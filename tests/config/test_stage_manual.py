"""The pages that are made from the table of stages stand in the repository as they would be made now."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from hapenny.cli.options import options
from hapenny.config import STAGES, stage_manual

ROOT = Path(__file__).parents[2]
HOW = "python -m hapenny.config.stage_manual"


@pytest.mark.parametrize("name", ["life-of-a-request", "presets"])
def test_pages_are_up_to_date(name):
    flag = {"life-of-a-request": "--life", "presets": "--presets"}[name]
    made = CliRunner().invoke(options, [flag]).output
    assert (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") == made, HOW
    assert all(f"`{spec.name}`" in made or f"**{spec.name}**" in made for spec in STAGES)


def test_the_picture_for_contributors_is_up_to_date():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert stage_manual.within(page) == page, HOW


def test_a_page_without_a_place_for_the_picture_says_what_is_missing():
    with pytest.raises(ValueError, match="on lines of their own"):
        stage_manual.within("# A page")
