"""Passages analysed for pruning: done once when a text is ingested, not with each request."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from hapenny.core.patterns import pattern
from hapenny.tokens.analysis import STOP_WORDS, is_vietnamese, terms
from hapenny.tokens.segments import cut_units

Cost = Callable[[str], float]

STEM = 5
"""Letters that words of one family share: "intercepted", "interceptions"."""
_BRACKETED = pattern(r"(?<!\s)\s*+[(（][^(（)）]*+[)）]\s*")
_WORD = pattern(r"[^\W_]+")
_NUMBER = pattern(r"\d+")
_CJK_NUMBER = pattern("[一二三四五六七八九十百千万]+[年月日人個回歳代]")
_CJK_PLACE = pattern("[県市町村区国州島]")
_KATAKANA = pattern("[ァ-ヶー]{3,}")
_CAPITAL = pattern(r"[A-ZĐÀ-Ỵ][\w'’-]+")
_PLACE = pattern(r" (?:in|at|near|from|tại|ở|từ) [A-ZĐ]")
_QUOTED = pattern('["“”「」『』（(]')


@functools.cache
def _telling() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Terms of texts that define something, that explain something, and that date it."""
    defines = "known called named refer referred term abbreviation abbreviated meaning means"
    eastern = "略称 別名 呼ば いう 通称 とも"
    explains = "because due since result resulted cause caused reason vì bởi nhằm khiến ため から より ので 原因 理由"
    months = "January February March April June July August September October November December century 世紀 thế kỷ"
    return (
        frozenset(terms(f"{defines} {eastern}")) | {"gọi là", "được biết", "tên là", "nghĩa là"},
        frozenset(terms(explains)) | {"nguyên nhân"},
        frozenset(terms(months)),
    )


class Unit(msgspec.Struct, frozen=True):
    """A sentence, list item, table row or record: kept whole or removed whole. `cost` is in estimated tokens.

    A `pinned` unit (a table's head) stays with whatever is kept of its passage.
    """

    text: str
    terms: tuple[str, ...]
    cost: float
    digits: int
    years: int
    names: int
    places: int
    pinned: bool = False
    quotes: int = 0
    defines: bool = False
    explains: bool = False


class Passage(msgspec.Struct, frozen=True):
    """A retrieved chunk with its units in order; `vectors` holds one sentence vector a unit if stored.

    `frame` is what stands before, between and after the units: ("[", ",", "]") for the records of a JSON array.
    `families` are the words by their first `STEM` letters, `name` is the title as it would be named in a text.
    """

    title: str
    units: tuple[Unit, ...]
    title_terms: tuple[str, ...]
    overhead: float = 0.0
    frame: tuple[str, str, str] = ("", "", "")
    words: frozenset[str] = frozenset()
    families: dict[str, tuple[str, ...]] = {}
    name: str = ""
    vectors: Any = None

    @property
    def cost(self) -> float:
        """Estimated tokens of the whole passage."""
        return self.overhead + sum(unit.cost for unit in self.units if not unit.pinned)

    def render(self, kept: Sequence[int]) -> str:
        """The text with the kept units alone (indices, ascending); "" if nothing is kept."""
        if len(kept) == 0:
            return ""
        wanted = set(kept)
        before, between, after = self.frame
        texts = [unit.text for place, unit in enumerate(self.units) if unit.pinned or place in wanted]
        return before + between.join(texts) + after


def analyse(title: str, text: str | Sequence[str], cost: Cost, vectors: Any = None) -> Passage:
    """Cut (unless already cut) and analyse one passage. `cost` estimates tokens of a text."""
    frame = ("", "", "")
    pinned = 0
    if isinstance(text, str):
        cut, frame, pinned = cut_units(text)
    else:
        cut = list(text)
    pairs = is_vietnamese(title) or any(is_vietnamese(part) for part in cut[:8])
    sizes = [len(part.encode()) for part in cut]
    rate = cost("".join(cut)) / max(1, sum(sizes))
    sentences = tuple(
        _unit(part, size * rate, pairs, place < pinned)
        for place, (part, size) in enumerate(zip(cut, sizes, strict=True))
    )
    head = sum(unit.cost for unit in sentences[:pinned])
    words = frozenset(term for unit in sentences for term in unit.terms)
    families: dict[str, tuple[str, ...]] = {}
    for word in words:
        if len(word) >= STEM:
            families[word[:STEM]] = (*families.get(word[:STEM], ()), word)
    return Passage(
        title,
        sentences,
        tuple(term for term in terms(title, pairs=pairs) if term not in STOP_WORDS),
        head + (cost(title + "\n") if title else 0.0),
        frame,
        words,
        families,
        plain(_BRACKETED.sub(" ", title)) if title else "",
        vectors,
    )


def plain(text: str) -> str:
    """Words in lower case between single spaces, with one at each end: what a name is looked for in."""
    return f" {' '.join(_WORD.findall(text.lower()))} "


def _unit(text: str, cost: float, pairs: bool, pinned: bool) -> Unit:
    words = tuple(terms(text, pairs=pairs))
    defining, explaining, months = _telling()
    numbers = _NUMBER.findall(text)
    years = sum(len(number) == 4 and number[0] in "12" for number in numbers) + (not months.isdisjoint(words))
    names = len(_CAPITAL.findall(text)) - text[:1].isupper()
    places = len(_PLACE.findall(text))
    digits = len(numbers)
    if not text.isascii():
        digits += len(_CJK_NUMBER.findall(text))
        years += text.count("年")
        names += len(_KATAKANA.findall(text))
        places += len(_CJK_PLACE.findall(text))
    quotes = len(_QUOTED.findall(text))
    defines, explains = not defining.isdisjoint(words), not explaining.isdisjoint(words)
    return Unit(text, words, cost, digits, years, max(0, names), places, pinned, quotes, defines, explains)


def near_duplicates(passages: Sequence[Passage], similarity: float = 0.85) -> list[int]:
    """Indices of passages that repeat an earlier one almost word for word (Jaccard similarity of their terms).

    Passages that differ in a number are never the same: two quarters' reports share every word but those.
    """
    repeated: list[int] = []
    firsts: list[frozenset[str]] = []
    for place, passage in enumerate(passages):
        words = passage.words
        if any(_same(words, other, similarity) for other in firsts):
            repeated.append(place)
        else:
            firsts.append(words)
    return repeated


def _same(a: frozenset[str], b: frozenset[str], similarity: float) -> bool:
    small, large = sorted((len(a), len(b)))
    if not small or small < similarity * large:
        return False
    common = len(a & b)
    if common < similarity * (small + large - common):
        return False
    return not any(char.isdigit() for term in a ^ b for char in term)


def aligned(passage: Passage, texts: Sequence[str], vectors: npt.NDArray[np.floating[Any]]) -> Passage:
    """The passage with a vector for each of its units, from sentences that were cut and embedded elsewhere.

    `texts` are the sentences, `vectors` theirs, unit length, shape (sentences, d). A unit takes the mean of the
    sentences it overlaps, or of all if there is none.
    """
    whole = "".join(unit.text for unit in passage.units)
    ends = np.cumsum([len(unit.text) for unit in passage.units])
    sums = np.zeros((len(passage.units), vectors.shape[1]))
    place = 0
    for text, vector in zip(texts, vectors, strict=True):
        at = whole.find(text, place)
        if at < 0:
            continue
        place = at + len(text)
        first, last = np.searchsorted(ends, [at, place - 1], side="right")
        sums[first : last + 1] += vector
    lost = ~sums.any(1)
    if lost.any():
        sums[lost] = np.asarray(vectors, np.float64).sum(0)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return msgspec.structs.replace(passage, vectors=sums / np.maximum(norms, 1e-12))
