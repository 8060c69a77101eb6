"""Model ids as people say them."""

import pytest

from hapenny.catalog import spoken


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku"),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("global.amazon.nova-2-lite-v1:0", "nova-2-lite"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("(cache)", "(cache)"),
        ("hapenny-template", "hapenny-template"),
        ("faq", "faq"),
        ("v1", "v1"),
    ],
)
def test_an_id_loses_vendor_date_and_revision_alone(model, said):
    assert spoken(model) == said
