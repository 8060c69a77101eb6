"""Heads that we write cannot be broken out of."""

import pytest

from hapenny.protocols.http1.fields import Malformed, fields, tokens, written


def test_fields_are_joined_by_lower_case_names() -> None:
    assert fields(["X-A: 1", "x-a:  2 ", "B: "]) == {"x-a": "1, 2", "b": ""}


@pytest.mark.parametrize(
    "line", ["", "no colon", " x: 1", "x : 1", ": 1", "x: a\0", "x: a\rb", "x: a\nb", "x\u00e9: 1"]
)
def test_what_is_no_field(line: str) -> None:
    with pytest.raises(Malformed):
        fields([line])


def test_lists_of_tokens() -> None:
    assert tokens("Close , TE,keep-alive") == ["close", "te", "keep-alive"]


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\rb", "a\0b"])
def test_a_value_cannot_break_out(value: str) -> None:
    with pytest.raises(ValueError):
        written("HTTP/1.1 200 OK", {"x": value})
    with pytest.raises(ValueError):
        written("HTTP/1.1 200 OK" + value, {})
