"""How likely each unit of a context holds what a question asks for: lexical features and a small fitted scorer.

Features: BM25 (Robertson and Zaragoza 2009) of the unit alone, with its title, of its neighbours and its passage,
coverage of the query, one hop of expansion through the titles and terms of the best units (after Qi et al. 2019,
"Answering complex open-domain questions through iterative query generation"), what the question asks for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hapenny.tokens.analysis import is_vietnamese, query_weights, terms
from hapenny.tokens.passages import Passage
from hapenny.tokens.weights import LEXICAL, VECTORS

Floats = npt.NDArray[np.float64]

NAMES: tuple[str, ...] = (
    "unit", "unit_best", "titled", "titled_best", "coverage", "covered_title", "passage", "passage_best",
    "passage_rank", "passage_cover", "before", "after", "near", "wide", "wide_best", "first", "second", "place",
    "pairs", "title_asked", "title_linked", "links_title", "expansion", "length", "short",
    "number", "year", "name", "place_name", "digits", "names", "wants_none", "long_context", "alone",
)  # fmt: skip

_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|long|old|far|tall|big|high|large|often|fast|deep)\b|\bnumber of\b|percent|population"
    r"|bao nhiêu|\bmấy\b|いくつ|いくら|何[人個回%パ歳台冊本枚件勝点キメ]|どれくらい|割合",
    re.IGNORECASE,
)
_ASKS_YEAR = re.compile(
    r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|century)\b|khi nào|năm nào|ngày nào"
    r"|thời gian nào|いつ|何[年月日世時]",
    re.IGNORECASE,
)
_ASKS_NAME = re.compile(
    r"\bwho(?:se|m)?\b|\bwhat is the name\b|\bai\b|người nào|tên|誰|だれ|何という|名前|名称", re.IGNORECASE
)
_ASKS_PLACE = re.compile(
    r"\bwhere\b|\b(?:what|which) (?:city|country|state|town|place|county)\b|ở đâu|nơi nào|nước nào|thành phố nào|どこ",
    re.IGNORECASE,
)


VECTOR_NAMES: tuple[str, ...] = ("cosine", "cosine_best", "cosine_near", "cosine_passage", "cosine_lexical")


def probabilities(question: str, passages: Sequence[Passage], vector: Any = None) -> Floats:
    """The chance of each unit, in context order, to hold the evidence; sums to 1. float64, shape (units,)."""
    found = featurise(question, passages)
    if not len(found):
        return np.zeros(0)
    # The local embedder reads English; for other scripts its vectors say less than the words do.
    if vector is not None and question.isascii() and all(passage.vectors is not None for passage in passages):
        logits = np.hstack([found, similarity(passages, vector, found)]) @ _VECTOR_WEIGHTS
    else:
        logits = found @ _LEXICAL_WEIGHTS
    odds = np.exp(logits - logits.max())
    chances: Floats = odds / odds.sum()
    return chances


def similarity(passages: Sequence[Passage], vector: Any, lexical: Floats) -> Floats:
    """Features of stored sentence vectors against the question's, shape (units, len(VECTOR_NAMES))."""
    sizes = [len(passage.units) for passage in passages]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
    cosine = np.concatenate([np.asarray(passage.vectors) @ vector for passage in passages]).astype(np.float64)
    owner = np.repeat(np.arange(len(passages)), sizes)
    best = np.full(len(passages), -1.0)
    np.maximum.at(best, owner, cosine)
    return np.column_stack(
        [
            4 * cosine,
            4 * (cosine - cosine.max()),
            4 * _smooth(cosine, starts, sizes, 1.5),
            4 * (best - best.max())[owner],
            4 * cosine * lexical[:, NAMES.index("titled_best")],
        ]
    )


def featurise(question: str, passages: Sequence[Passage]) -> Floats:
    """Features of every unit in context order, float64, shape (units, len(NAMES))."""
    asked = query_weights(terms(question, pairs=is_vietnamese(question)))
    column = {term: place for place, term in enumerate(asked)}
    prior = np.array(list(asked.values())) if asked else np.zeros(1)
    sizes = [len(passage.units) for passage in passages]
    total = sum(sizes)
    counts = np.zeros((total, len(prior)))
    titles = np.zeros((len(passages), len(prior)))
    pairs = np.zeros(total)
    lengths = np.zeros(total)
    row = 0
    for number, passage in enumerate(passages):
        for term in passage.title_terms:
            place = column.get(term)
            if place is not None:
                titles[number, place] += 1
        for unit in passage.units:
            last = -2
            for term in unit.terms:
                place = column.get(term)
                if place is not None:
                    counts[row, place] += 1
                    if place == last + 1:
                        pairs[row] += 1
                    last = place
                elif last >= 0:
                    last = -2
            lengths[row] = len(unit.terms)
            row += 1
    owner = np.repeat(np.arange(len(passages)), sizes)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
    return _combine(question, passages, counts, titles, pairs, lengths, owner, starts, prior)


def _bm25(counts: Floats, lengths: Floats, prior: Floats, b: float) -> tuple[Floats, Floats]:
    """Scores and coverage (share of the query's weight that occurs)."""
    present = counts > 0
    number = len(counts)
    frequency = present.sum(0)
    idf = np.log(1 + (number - frequency + 0.5) / (frequency + 0.5)) * prior
    mean = lengths.mean() + 1e-9
    saturated = counts * 2.2 / (counts + 1.2 * (1 - b + b * lengths / mean)[:, None])
    scores: Floats = saturated @ idf
    whole = float(idf[frequency > 0].sum()) + 1e-9
    return scores, (present @ idf) / whole


def _share(values: Floats) -> Floats:
    top = values.max(initial=0.0)
    return values / top if top > 0 else values


def _smooth(values: Floats, starts: npt.NDArray[np.intp], sizes: Sequence[int], reach: float) -> Floats:
    """Two-sided exponential smoothing inside each passage."""
    total = len(values)
    if total <= 200:
        owner = np.repeat(np.arange(len(sizes)), sizes)
        places = np.arange(total)
        near = np.exp(-np.abs(places[:, None] - places) / reach) * (owner[:, None] == owner)
        return np.asarray(near @ values / near.sum(1))
    radius = int(4 * reach)
    kernel = np.exp(-np.abs(np.arange(-radius, radius + 1)) / reach)
    smoothed = np.empty_like(values)
    for start, size in zip(starts, sizes, strict=True):
        part = values[start : start + size]
        if size:
            weight = np.convolve(np.ones(size), kernel)[radius : radius + size]
            smoothed[start : start + size] = np.convolve(part, kernel)[radius : radius + size] / weight
    return smoothed


def _combine(
    question: str, passages: Sequence[Passage], counts: Floats, titles: Floats, pairs: Floats, lengths: Floats,
    owner: npt.NDArray[np.intp], starts: npt.NDArray[np.intp], prior: Floats,
) -> Floats:  # fmt: skip
    sizes = [len(passage.units) for passage in passages]
    total = len(counts)
    found = np.zeros((total, len(NAMES)))
    if not total:
        return found
    unit, coverage = _bm25(counts, lengths, prior, 0.4)
    titled, covered = _bm25(counts + 0.5 * titles[owner], lengths, prior, 0.4)
    whole = np.zeros((len(passages), counts.shape[1]))
    np.add.at(whole, owner, counts)
    weights = np.bincount(owner, lengths, minlength=len(passages))
    passage, passage_cover = _bm25(whole + titles, weights, prior, 0.6)
    rank = np.empty(len(passages))
    rank[np.argsort(-passage, kind="stable")] = np.arange(len(passages))
    local = np.arange(total) - starts[owner]
    before = np.where(local > 0, np.concatenate([[0.0], unit[:-1]]), 0.0)
    last = local == np.array(sizes)[owner] - 1
    after = np.where(last, 0.0, np.concatenate([unit[1:], [0.0]]))
    top = unit.max(initial=1e-9) + 1e-9
    wide = _smooth(unit, starts, sizes, 8.0)
    columns = [
        unit / 10, _share(unit), titled / 10, _share(titled), coverage, covered, passage[owner] / 10,
        _share(passage)[owner], 1 / (1 + rank[owner]), passage_cover[owner], before / top, after / top,
        _smooth(unit, starts, sizes, 1.5) / top, wide / top, _share(wide), local == 0, local == 1,
        local / np.maximum(1, np.array(sizes)[owner] - 1), np.minimum(pairs, 4) / 2,
    ]  # fmt: skip
    for place, values in enumerate(columns):
        found[:, place] = values
    hop = len(columns)
    _hop(question, passages, _share(titled) + 0.5 * _share(passage)[owner], owner, starts, found[:, hop : hop + 4])
    _wants(question, passages, found[:, hop + 6 :])
    found[:, hop + 4] = np.log1p(lengths) / 3
    found[:, hop + 5] = lengths < 5
    found[:, -2] = total > 100
    found[:, -1] = np.array(sizes)[owner] == 1
    return found


def _hop(
    question: str, passages: Sequence[Passage], first: Floats, owner: npt.NDArray[np.intp],
    starts: npt.NDArray[np.intp], out: Floats,
) -> None:  # fmt: skip
    """One hop: titles named by the question or by the best units, and new terms the best units bring in."""
    asked = set(terms(question))
    title_sets = [frozenset(passage.title_terms) for passage in passages]
    best = np.argsort(-first, kind="stable")[:3]
    heads = [(int(owner[i]), passages[owner[i]].units[i - starts[owner[i]]]) for i in best]
    head_terms = [frozenset(unit.terms) for _, unit in heads]
    linked = np.zeros(len(passages))
    asked_share = np.zeros(len(passages))
    for number, title in enumerate(title_sets):
        if title:
            asked_share[number] = len(title & asked) / len(title)
            shares = [
                len(title & words) / len(title)
                for (home, _), words in zip(heads, head_terms, strict=True)
                if home != number
            ]
            linked[number] = max(shares, default=0.0)
    out[:, 0] = asked_share[owner]
    out[:, 1] = linked[owner]
    new = {term for words in head_terms for term in words if term not in asked and len(term) > 2}
    names = [title_sets[home] for home, _ in heads]
    row = 0
    for number, passage in enumerate(passages):
        for unit in passage.units:
            words = set(unit.terms)
            for (home, _), title in zip(heads, names, strict=True):
                if home != number and title:
                    out[row, 2] = max(out[row, 2], len(title & words) / len(title))
            out[row, 3] = len(words & new) / (4 + len(words))
            row += 1


def _wants(question: str, passages: Sequence[Passage], out: Floats) -> None:
    """Whether the unit has the kind of thing that is asked for."""
    number = _ASKS_NUMBER.search(question) is not None
    year = _ASKS_YEAR.search(question) is not None
    name = _ASKS_NAME.search(question) is not None
    place = _ASKS_PLACE.search(question) is not None
    traits = np.array(
        [(unit.digits, unit.years, unit.names, unit.places) for passage in passages for unit in passage.units], float
    )
    traits = np.minimum(traits, 3) / 3
    asks = np.array([number, year, name, place], float)
    out[:, 0:4] = traits * asks
    out[:, 4] = traits[:, 0]
    out[:, 5] = traits[:, 2]
    out[:, 6] = not (number or year or name or place)


_LEXICAL_WEIGHTS = np.array(LEXICAL or [0.0] * len(NAMES))
_VECTOR_WEIGHTS = np.array(VECTORS or [0.0] * (len(NAMES) + len(VECTOR_NAMES)))
