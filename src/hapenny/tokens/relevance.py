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

from hapenny.tokens.analysis import STOP_WORDS, is_vietnamese, query_weights, terms
from hapenny.tokens.passages import Passage
from hapenny.tokens.weights import LEXICAL, VECTORS

Floats = npt.NDArray[np.float64]

NAMES: tuple[str, ...] = (
    "unit", "unit_best", "titled", "titled_best", "coverage", "covered_title", "passage", "passage_best",
    "passage_rank", "passage_cover", "before", "after", "near", "wide", "wide_best", "first", "second", "place",
    "pairs", "rare", "names_asked", "title_asked", "title_linked", "links_title", "expansion", "length", "short",
    "number", "year", "name", "place_name", "digits", "names", "open_first", "long_unit", "long_wide", "long_wider",
    "alone",
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
"""Beside the lexical logit, whose weight comes first: few enough to be fitted on English questions alone."""


def probabilities(question: str, passages: Sequence[Passage], vector: Any = None) -> Floats:
    """The chance of each unit, in context order, to hold the evidence; sums to 1. float64, shape (units,)."""
    found = featurise(question, passages)
    if not len(found):
        return np.zeros(0)
    logits = found @ _LEXICAL_WEIGHTS
    # The local embedder reads English; for other scripts its vectors say less than the words do.
    if vector is not None and question.isascii() and all(passage.vectors is not None for passage in passages):
        many = many_words(question)
        near = vector_features(passages, vector, found, logits) @ _VECTOR_WEIGHTS
        logits = many * logits + (1 - many) * near
    odds = np.exp(logits - logits.max())
    chances: Floats = odds / odds.sum()
    return chances


def many_words(question: str) -> float:
    """From 0 (up to five content words) to 1 (ten): such a question mostly joins facts of several passages, which
    one vector cannot say."""
    content = sum(word not in STOP_WORDS for word in set(terms(question)))
    return min(1.0, max(0.0, (content - 5) / 5))


def vector_features(passages: Sequence[Passage], vector: Any, lexical: Floats, logits: Floats) -> Floats:
    """The lexical logit and the stored vectors' similarities, float64, shape (units, 1 + len(VECTOR_NAMES))."""
    sizes = [len(passage.units) for passage in passages]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
    cosine = np.concatenate([np.asarray(passage.vectors) @ vector for passage in passages]).astype(np.float64)
    owner = np.repeat(np.arange(len(passages)), sizes)
    best = np.full(len(passages), -1.0)
    np.maximum.at(best, owner, cosine)
    return np.column_stack(
        [
            logits,
            4 * cosine,
            4 * (cosine - cosine.max()),
            4 * _smooth(cosine, starts, sizes, 1.5),
            4 * (best - best.max())[owner],
            4 * cosine * lexical[:, NAMES.index("titled_best")],
        ]
    )


_NAMED = re.compile(r"(?<=[\s(\"'“])[A-ZĐÀ-Ỵ][\w'’-]+|\d[\d.,]*")


def featurise(question: str, passages: Sequence[Passage]) -> Floats:
    """Features of every unit in context order, float64, shape (units, len(NAMES))."""
    asked = query_weights(terms(question, pairs=is_vietnamese(question)))
    named = frozenset(terms(" ".join(_NAMED.findall(question))))
    column = {term: place for place, term in enumerate(asked)}
    prior = np.array(list(asked.values())) if asked else np.zeros(1)
    is_named = np.array([term in named for term in asked], float) if asked else np.zeros(1)
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
    return _combine(question, passages, counts, titles, pairs, lengths, owner, starts, prior, is_named)


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


def _rare(counts: Floats, prior: Floats) -> Floats:
    """Coverage that the query's rarest words dominate (squared idf)."""
    present = counts > 0
    frequency = present.sum(0)
    idf = (np.log(1 + (len(counts) - frequency + 0.5) / (frequency + 0.5)) * prior) ** 2
    rare: Floats = present @ idf / (float(idf[frequency > 0].sum()) + 1e-9)
    return rare


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
    is_named: Floats,
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
    weights = np.bincount(owner, lengths, minlength=len(passages)).astype(np.float64)
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
        local / np.maximum(1, np.array(sizes)[owner] - 1), np.minimum(pairs, 4) / 2, _rare(counts, prior),
        (counts > 0) @ is_named / max(1.0, is_named.sum()),
    ]  # fmt: skip
    for place, values in enumerate(columns):
        found[:, place] = values
    hop = len(columns)
    _hop(question, passages, _share(titled) + 0.5 * _share(passage)[owner], owner, starts, found[:, hop : hop + 4])
    _wants(question, passages, found[:, hop + 6 :])
    found[:, hop + 4] = np.log1p(lengths) / 3
    found[:, hop + 5] = lengths < 5
    found[:, -5] = found[:, -5] * (local == 0)
    if total > 100:  # a transcript: what is asked for is a stretch, not a sentence
        found[:, -4] = found[:, 1]
        found[:, -3] = found[:, 14]
        found[:, -2] = _share(_smooth(unit, starts, sizes, 25.0))
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
_VECTOR_WEIGHTS = np.array(VECTORS or [0.0] * (1 + len(VECTOR_NAMES)))
