"""Every pattern of the rooms that read what users write is linear on pathological texts.

The list is made, not kept: each module of these rooms is loaded, and every compiled pattern that it holds is looked at,
so a new one is under the test the day it is written.
"""

import importlib
import pkgutil
import re

import pytest
from benchmarks.growing import superlinear

from hapenny.core.patterns import LazyPattern

ROOMS = (
    "core", "counting", "protocols", "vectors", "guarding", "caching", "retrieval", "routing", "tokens", "telemetry",
    "evidence", "tuning", "responsive", "throughput", "prefetch", "batch", "admission", "backends", "server",
)  # fmt: skip
ELSEWHERE = {
    "core.questions.GIVES": "matched at the first 160 characters of a line alone",
    "protocols.openai.errors._CODE": "matched against a whole code alone",
    "evidence.grounding._GROUPED": "matched against a whole number alone",
    "evidence.judges._FRACTION": "matched against a whole text alone",
    "guarding.credentials._SHAPES": "matched where a key begins alone, and a key's length is bounded",
    "protocols.pasted_errors._LEADING": "matched at a text's beginning alone",
    "tokens.compact.LITERAL": "matched at the beginning of a value alone",
    "tokens.expand._LENGTH": "matched at one place alone",
}
"""Patterns that are never searched for in a text of any length, each with the reason."""


def patterns():
    """Every compiled pattern of the rooms, by module and name."""
    found = {}
    for room in ROOMS:
        package = importlib.import_module(f"hapenny.{room}")
        for info in pkgutil.walk_packages(package.__path__, f"hapenny.{room}."):
            try:
                module = importlib.import_module(info.name)
            except ImportError:  # an extra that is not installed
                continue
            for name, value in vars(module).items():
                for index, pattern in enumerate(_within(value)):
                    if isinstance(pattern.pattern, str):
                        where = f"{info.name.removeprefix('hapenny.')}.{name}" + (f"[{index}]" if index else "")
                        found.setdefault(pattern, where)
    return {where: pattern for pattern, where in found.items()}


def _within(value):
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, LazyPattern):
        yield re.compile(value.pattern, value.flags)
    elif isinstance(value, tuple | list | frozenset | set):
        for each in value:
            yield from _within(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _within(each)


PATTERNS = patterns()


def test_the_rooms_hold_patterns():
    assert len(PATTERNS) > 100
    assert set(ELSEWHERE) <= set(PATTERNS)


@pytest.mark.parametrize("where", sorted(set(PATTERNS) - set(ELSEWHERE)))
def test_a_pattern_is_linear(where):
    pattern = PATTERNS[where]

    def work(text):
        for _ in pattern.finditer(text):
            pass

    assert superlinear(work, 500) == {}
