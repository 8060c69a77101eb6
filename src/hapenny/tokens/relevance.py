"""How likely each unit of a context holds what a question asks for: lexical features and a small fitted scorer.

Features: BM25 (Robertson and Zaragoza 2009) of the unit alone, with its title, of its neighbours and its passage,
coverage of the query alone and with a neighbour, one hop of expansion through the titles and terms of the best units
(after Qi et al. 2019, "Answering complex open-domain questions through iterative query generation"), what the question
asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hapenny.core.patterns import pattern
from hapenny.tokens.analysis import STOP_WORDS, is_vietnamese, query_weights, terms
from hapenny.tokens.multi_hop import bridges, expand
from hapenny.tokens.passages import STEM, Passage
from hapenny.tokens.question_type import wants
from hapenny.tokens.weights import LEXICAL, VECTORS

Floats = npt.NDArray[np.float64]

NAMES: tuple[str, ...] = (
    "unit", "unit_best", "titled", "titled_best", "coverage", "covered_title", "passage", "passage_best",
    "passage_rank", "passage_cover", "before", "after", "near", "wide", "wide_best", "first", "second", "place",
    "pairs", "rare", "names_asked", "title_asked", "title_linked", "links_title", "expansion", "length", "short",
    "number", "year", "name", "place_name", "digits", "names", "open_first", "long_unit", "long_wide", "long_wider",
    "alone", "known", "said_to_be", "reason", "mentioned_first", "bridge", "bridge_first", "bridge_left",
    "with_before", "with_after",
)  # fmt: skip
_AT = {name: place for place, name in enumerate(NAMES)}

VECTOR_NAMES: tuple[str, ...] = ("cosine", "cosine_best", "cosine_near", "cosine_passage", "cosine_lexical", *NAMES)
"""Beside the lexical logit, whose weight comes first; fitted on English questions alone."""


def probabilities(question: str, passages: Sequence[Passage], vector: Any = None) -> Floats:
    """The chance of each unit, in context order, to hold the evidence; sums to 1. float64, shape (units,)."""
    features = featurise(question, passages)
    if not len(features):
        return np.zeros(0)
    logits = features @ _LEXICAL_WEIGHTS
    # The local embedder reads English; for other scripts its vectors say less than the words do.
    if vector is not None and question.isascii() and all(passage.vectors is not None for passage in passages):
        words = lexical_share(question, passages)
        near = vector_features(passages, vector, features, logits) @ _VECTOR_WEIGHTS
        logits = words * logits + (1 - words) * near
    odds = np.exp(logits - logits.max())
    chances: Floats = odds / odds.sum()
    return chances


def lexical_share(question: str, passages: Sequence[Passage]) -> float:
    """What the words alone decide where vectors could: from 0 (up to five content words) to 1 (ten: such a question
    mostly joins facts of several passages, which one vector cannot say). At least half where no passage has a title:
    those are mostly parts of one text, and all are near the question."""
    content = sum(word not in STOP_WORDS for word in set(terms(question)))
    share = min(1.0, max(0.0, (content - 5) / 5))
    return share if any(passage.title for passage in passages) else max(0.5, share)


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
            4 * cosine * lexical[:, _AT["titled_best"]],
            lexical,
        ]
    )


_TRANSCRIPT = 100
"""Units from which a context is read as a transcript."""
_NAMED = pattern(r"(?<=[\s(\"'“])[A-ZĐÀ-Ỵ][\w'’-]+|\d[\d.,]*")


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
    akin = _akin(column)
    codes = dict(column)  # the place of a word of the question; below 0: of words of its family
    groups: list[list[int]] = []
    near = np.zeros((total, len(prior)))
    titled = np.zeros((len(passages), len(prior)))
    pairs = np.zeros(total)
    lengths = np.zeros(total)
    row = 0
    for number, passage in enumerate(passages):
        for term in passage.title_terms:
            place = column.get(term)
            if place is not None:
                titles[number, place] += 1
                titled[number, place] = 1
            elif len(term) >= STEM:
                for place in akin.get(term[:STEM], ()):
                    titled[number, place] = max(titled[number, place], _AKIN)
        for stem, places in akin.items():
            for term in passage.families.get(stem, ()):
                if term not in codes:
                    codes[term] = -1 - len(groups)
                    groups.append(places)
        for unit in passage.units:
            last = -2
            for term in unit.terms:
                place = codes.get(term)
                if place is None:
                    last = -2
                elif place >= 0:
                    counts[row, place] += 1
                    if place == last + 1:
                        pairs[row] += 1
                    last = place
                else:
                    last = -2
                    for other in groups[-1 - place]:
                        near[row, other] = _AKIN
            lengths[row] = len(unit.terms)
            row += 1
    owner = np.repeat(np.arange(len(passages)), sizes)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
    features = _combine(question, passages, counts, titles, pairs, lengths, owner, starts, prior, is_named)
    if total:
        np.maximum(near, counts > 0, out=near)
        features[:, _AT["with_before"] :] = _joined(near, titled[owner], owner, prior)
    return features


_AKIN = 0.6


def _akin(column: dict[str, int]) -> dict[str, list[int]]:
    """Columns of the query's words by their first letters: "intercepted" is nearly said by "interceptions"."""
    by_stem: dict[str, list[int]] = {}
    for term, place in column.items():
        if len(term) >= STEM and term.isascii() and term not in STOP_WORDS and " " not in term:
            by_stem.setdefault(term[:STEM], []).append(place)
    return by_stem


def _joined(present: Floats, titled: Floats, owner: npt.NDArray[np.intp], prior: Floats) -> Floats:
    """Coverage of the query by a unit, its title and its neighbour before (after): shape (units, 2)."""
    number = len(present)
    frequency = (present > 0).sum(0)
    idf = np.log(1 + (number - frequency + 0.5) / (frequency + 0.5)) * prior
    whole = float(idf[frequency > 0].sum()) + 1e-9
    said = np.maximum(present, 0.7 * titled)
    beside = 0.8 * present
    same = (owner[1:] == owner[:-1])[:, None]
    before, after = said.copy(), said
    np.maximum(before[1:], beside[:-1] * same, out=before[1:])
    np.maximum(after[:-1], beside[1:] * same, out=after[:-1])
    return np.column_stack([before @ idf, after @ idf]) / whole


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
    features = np.zeros((total, len(NAMES)))
    if not total:
        return features
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
        features[:, place] = values
    hop = len(columns)
    first = _share(titled) + 0.5 * _share(passage)[owner]
    expand(question, passages, first, owner, starts, features[:, hop : hop + 4])
    wants(question, passages, features[:, hop + 6 : hop + 13], features[:, _AT["known"] : _AT["known"] + 3])
    if total <= _TRANSCRIPT:
        place = _AT["mentioned_first"]
        bridges(question, passages, first, owner, starts, features[:, place : place + 4])
    features[:, hop + 4] = np.log1p(lengths) / 3
    features[:, hop + 5] = lengths < 5
    features[:, _AT["open_first"]] *= local == 0
    if total > _TRANSCRIPT:  # what is asked for is a stretch, not a sentence
        features[:, _AT["long_unit"]] = features[:, 1]
        features[:, _AT["long_wide"]] = features[:, 14]
        features[:, _AT["long_wider"]] = _share(_smooth(unit, starts, sizes, 25.0))
    features[:, _AT["alone"]] = np.array(sizes)[owner] == 1
    return features


_LEXICAL_WEIGHTS = np.array(LEXICAL or [0.0] * len(NAMES))
_VECTOR_WEIGHTS = np.array(VECTORS or [0.0] * (1 + len(VECTOR_NAMES)))
