"""The page of endpoints says what the routing table says."""

from pathlib import Path

from hapenny.server.endpoint_manual import markdown


def test_the_page_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "endpoints.md"
    assert page.read_text(encoding="utf-8") == markdown(), (
        "python -m hapenny.server.endpoint_manual > docs/endpoints.md"
    )
