"""Bounds that a question states in so many words ("under 50 euro", "volume 3", 2000年以降), as a filter.

Theory of operation: every number of the question is looked at with the words just before and behind it. It becomes a
bound only if one of them compares or labels it *and* the collection has a number field of that kind (by its name, or,
for years, by its values). What is not said in so many words is left to the ranking. Words stand in
`data/query/filters.yaml`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from hapenny.retrieval.filters import All, Between, Filter

_FILE = Path(__file__).parents[1] / "data" / "query" / "filters.yaml"
_NUMBER = re.compile(r"(?<![\w.,-])([$€£¥]?)(\d{1,12}(?:[.,]\d{1,3})*)(k|K)?(?![\d.,]*\d)")
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
_BEFORE = 24
_BEHIND = 28
_MOST = 8
"""Numbers of a question that are looked at."""


class Kind(msgspec.Struct, frozen=True):
    """A kind of number: what its field is called, its units, and words that name one ("volume 3")."""

    names: tuple[str, ...]
    units: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


def stated_filter(question: str, fields: Sequence[str], years: Sequence[str]) -> Filter | None:
    """The bounds of a question over the collection's number `fields`; `years`: those that hold years. None without."""
    if not fields:
        return None
    low = question.lower()
    bounds: list[Filter] = []
    matches = list(_NUMBER.finditer(low))[:_MOST]
    for at, match in enumerate(matches):
        value = _value(match)
        if math.isnan(value):
            continue
        before = low[max(0, match.start() - _BEFORE) : match.start()]
        behind = low[match.end() : match.end() + _BEHIND].lstrip()
        year = next((name for name in years if match.group(1) == "" and 1000 <= value <= 2200), "")
        pair = _between(before, low, matches, at)
        field = _field(match.group(1), before, behind, fields) or year
        if pair is not None and not field:  # the unit stands behind the second number
            follows = low[matches[at + 1].end() : matches[at + 1].end() + _BEHIND].lstrip()
            field = _field(matches[at + 1].group(1), "", follows, fields)
        if not field:
            continue
        if pair is not None:
            bounds.append(Between(field, *pair))
            continue
        bound = _bound(field, value, before, behind, is_year=field == year)
        if bound is not None:
            bounds.append(bound)
    if not bounds:
        return None
    return bounds[0] if len(bounds) == 1 else All(tuple(bounds))


def _bound(field: str, value: float, before: str, behind: str, *, is_year: bool) -> Filter | None:
    kinds = [kind for kind in _kinds().values() if _named(kind, (field,))]
    unit, behind = behind, _past_unit(behind)
    if _ends(before, "below") or _begins(behind, "behind_below"):
        return Between(field, high=value)
    if _ends(before, "above") or _begins(behind, "behind_above"):
        return Between(field, low=value)
    if is_year:
        if _ends(before, "since") or _begins(behind, "behind_since"):
            return Between(field, low=value)
        if _ends(before, "until") or _begins(behind, "behind_until"):
            return Between(field, high=value)
    for kind in kinds:
        labelled = any(_last(before, label) for label in kind.labels)
        if labelled or (kind.labels and any(unit.startswith(each) for each in kind.units)):
            return Between(field, value, value)
    return None


def _between(before: str, low: str, matches: list[re.Match[str]], at: int) -> tuple[float, float] | None:
    """The bounds of "between A and B" where this number is A."""
    if at + 1 >= len(matches):
        return None
    joint = low[matches[at].end() : matches[at + 1].start()].strip(" $€£¥")
    for one, two in _words()["between"]:
        if _last(before, one) and joint.split()[-1:] == [two] and len(joint) <= _BEHIND:
            ends = sorted((_value(matches[at]), _value(matches[at + 1])))
            return None if any(map(math.isnan, ends)) else (ends[0], ends[1])
    return None


def _field(sign: str, before: str, behind: str, fields: Sequence[str]) -> str:
    """The field a number is about, by its sign, unit or label; "" if the collection has none of that kind."""
    for kind in _kinds().values():
        names = _named(kind, fields)
        if not names:
            continue
        if sign and sign in kind.units:
            return names[0]
        if any(_begins_with(behind, unit) for unit in kind.units) or any(_last(before, label) for label in kind.labels):
            return names[0]
        if any(name.replace("_", " ") in before for name in kind.names if len(name) > 3):
            return names[0]
    return ""


def _named(kind: Kind, fields: Sequence[str]) -> list[str]:
    return [field for field in fields if field.lower().rpartition(".")[2].replace(" ", "_") in kind.names]


def _past_unit(behind: str) -> str:
    for kind in _kinds().values():
        for unit in kind.units:
            if _begins_with(behind, unit):
                return behind[len(unit) :].lstrip()
    return behind


def _begins_with(text: str, word: str) -> bool:
    word = word.replace("_", " ")
    return text.startswith(word) and (not word[-1].isascii() or not text[len(word) : len(word) + 1].isalnum())


def _begins(text: str, name: str) -> bool:
    return any(_begins_with(text, word) for word in _words()[name])


def _ends(text: str, name: str) -> bool:
    return any(_last(text, word) for word in _words()[name])


def _last(text: str, word: str) -> bool:
    """Whether `word` is the last of `text`, as a word of its own."""
    word, bare = word.replace("_", " "), text.rstrip(" $€£¥")
    at = len(bare) - len(word)
    return bare.endswith(word) and (at == 0 or not bare[at - 1].isalnum() or not word[0].isascii())


def _value(match: re.Match[str]) -> float:
    digits = match.group(2)
    plain = re.sub("[.,]", "", digits) if _THOUSANDS.fullmatch(digits) else digits.replace(",", ".")
    try:
        return float(plain) * (1000 if match.group(3) else 1)
    except ValueError:  # as 1.2.3
        return float("nan")


@cache
def _words() -> dict[str, Any]:
    """Words of all languages by what they do."""
    data = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    out: dict[str, Any] = {}
    for language in ("en", "vi", "ja"):
        for name, words in data[language].items():
            out.setdefault(name, []).extend(words)
    for name in ("behind_since", "behind_until"):
        out.setdefault(name, [])
    return out


@cache
def _kinds() -> dict[str, Kind]:
    data = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return msgspec.convert(data["fields"], dict[str, Kind])
