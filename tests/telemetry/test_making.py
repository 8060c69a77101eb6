"""The fingerprint's levelling: the short way and the long way agree on every text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hapenny.telemetry.outline import levelled


@given(st.text(alphabet=st.sampled_from(" aB\t\n\r\x0b\x0c\x1c\x1f\x7f\xa0ä\u2003")))
def test_case_and_white_space_are_levelled(text: str) -> None:
    assert levelled(text) == " ".join(text.lower().split())


@given(st.text())
def test_any_text(text: str) -> None:
    assert levelled(text) == " ".join(text.lower().split())
