"""Passages analysed for pruning: done once when a text is ingested, not with each request."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from hapenny.tokens.analysis import STOP_WORDS, is_vietnamese, terms
from hapenny.tokens.segments import units

Cost = Callable[[str], float]

_DIGIT = re.compile(r"\d|[一二三四五六七八九十百千万]+[年月日人個回歳代]")
_YEAR = re.compile(
    r"\b1\d{3}\b|\b20\d\d\b|\d年|century|世紀|thế kỷ|January|February|March|April|May\b|June|July|August|September"
    r"|October|November|December"
)
_NAME = re.compile(r"(?<=[a-zà-ỹ,;:()\"'“] )[A-ZĐÀ-Ỵ][\w'’-]+|(?<=[A-Z][a-z] )[A-Z][\w'’-]+|[ァ-ヶー]{3,}")
_PLACE = re.compile(r"\b(?:in|at|near|from|located|tại|ở|từ) [A-ZĐÀ-Ỵ]|[県市町村区国州島]")


class Unit(msgspec.Struct, frozen=True):
    """A sentence, list item, table row or record: kept whole or removed whole. `cost` is in estimated tokens."""

    text: str
    terms: tuple[str, ...]
    cost: float
    digits: int
    years: int
    names: int
    places: int


class Passage(msgspec.Struct, frozen=True):
    """A retrieved chunk with its units in order; `vectors` holds one sentence vector a unit if stored."""

    title: str
    units: tuple[Unit, ...]
    title_terms: tuple[str, ...]
    title_cost: float = 0.0
    vectors: object | None = None


def analyse(title: str, text: str | Sequence[str], cost: Cost, vectors: object | None = None) -> Passage:
    """Cut (unless already cut) and analyse one passage."""
    cut = units(text) if isinstance(text, str) else text
    pairs = is_vietnamese(title) or any(is_vietnamese(part) for part in cut[:8])
    return Passage(
        title,
        tuple(_unit(part, cost, pairs) for part in cut),
        tuple(term for term in terms(title, pairs=pairs) if term not in STOP_WORDS),
        cost(title + "\n") if title else 0.0,
        vectors,
    )


def _unit(text: str, cost: Cost, pairs: bool) -> Unit:
    return Unit(
        text,
        tuple(terms(text, pairs=pairs)),
        cost(text),
        len(_DIGIT.findall(text)),
        len(_YEAR.findall(text)),
        len(_NAME.findall(text)),
        len(_PLACE.findall(text)),
    )
