"""Patterns that are compiled when they are first used."""

import re
from copy import deepcopy

import pytest

from hapenny.core.patterns import pattern

TEXT = "Ha'penny 1816, Grattan 1874"


@pytest.mark.parametrize("flags", [0, re.IGNORECASE])
def test_it_finds_what_a_compiled_pattern_finds(flags: int) -> None:
    lazy, eager = pattern(r"h(a)\S+|(\d+)", flags), re.compile(r"h(a)\S+|(\d+)", flags)
    for _ in range(2):  # before and after the first use
        assert lazy.findall(TEXT) == eager.findall(TEXT)
        assert [found.span() for found in lazy.finditer(TEXT)] == [found.span() for found in eager.finditer(TEXT)]
        assert lazy.sub("-", TEXT, count=1) == eager.sub("-", TEXT, count=1)
        assert lazy.split(TEXT) == eager.split(TEXT)
        assert lazy.fullmatch(TEXT) is None
        assert (lazy.pattern, lazy.groups, lazy.flags) == (eager.pattern, eager.groups, eager.flags)


def test_a_source_that_is_no_pattern_fails_when_it_is_used() -> None:
    wrong = pattern("(")
    with pytest.raises(re.error):
        wrong.search(TEXT)


def test_it_can_be_copied_before_and_after_its_first_use() -> None:
    lazy = pattern(r"\d+")
    assert deepcopy(lazy).findall(TEXT) == ["1816", "1874"]
    assert lazy.findall(TEXT) == deepcopy(lazy).findall(TEXT)
