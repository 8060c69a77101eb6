"""What the pages about security promise is held by tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"`(tests/[\w/]+(?:\.py(?:::\w+)?)?)`")


def exists(name: str) -> bool:
    path, _, test = name.partition("::")
    place = ROOT / path
    if not test:
        return place.is_dir() or "def test_" in place.read_text() if place.exists() else False
    return place.is_file() and re.search(rf"^(?:async )?def {test}\(", place.read_text(), re.MULTILINE) is not None


def test_every_row_of_the_threat_model_names_a_test():
    rows = [
        line
        for line in (ROOT / "docs" / "threat-model.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith(("| threat", "| ---"))
    ]
    assert len(rows) > 30
    assert [row for row in rows if not NAMED.search(row)] == []


def test_every_promise_names_a_test():
    page = (ROOT / "SECURITY.md").read_text()
    promises = re.split(r"\n- ", page.partition("## What hapenny promises")[2].partition("## What the operator")[0])[1:]
    assert len(promises) > 8
    assert [promise for promise in promises if not NAMED.search(promise)] == []


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/threat-model.md"])
def test_every_test_that_is_named_exists(page):
    missing = [name for name in NAMED.findall((ROOT / page).read_text()) if not exists(name)]
    assert missing == []
