"""Cheap features of (query, candidate) for the learned ranker: about 1 ms for 100 candidates, no scale of a collection.

Everything is a share, a cosine, a quantile or a count, so that one model fits collections it never saw.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from hapenny.retrieval.analysis import Analyser
from hapenny.retrieval.documents import Document, Rows
from hapenny.retrieval.search.forest import Table
from hapenny.retrieval.search.fusion import Candidates
from hapenny.retrieval.search.scoring import quantile
from hapenny.retrieval.stores.contract import Store
from hapenny.retrieval.stores.lexical import Terms, idf

NAMES = (
    "lexical_of_ideal",
    "lexical_of_best",
    "cosine",
    "cosine_behind_best",
    "lexical_rank",
    "vector_rank",
    "fused",
    "title_stems",
    "title_words",
    "title_precision",
    "title_run",
    "title_equal",
    "title_trigrams",
    "body_stems",
    "missing_weight",
    "numbers_met",
    "numbers_missed",
    "title_length",
    "query_length",
    "popularity",
    "popularity_here",
    "second_prior",
    "recency",
)

_DIGITS = re.compile(r"\d+")
_CAPACITY = 50_000


class Profile(msgspec.Struct, frozen=True):
    """What the features need of a document, analysed once."""

    title_words: tuple[str, ...]
    title_stems: frozenset[str]
    title_trigrams: frozenset[str]
    compact: str
    stems: frozenset[str]
    digits: frozenset[str]


class Profiles:
    """Analysed documents by row, the most recently used 50,000."""

    def __init__(self, store: Store, capacity: int = _CAPACITY) -> None:
        self._store = store
        self._capacity = capacity
        self._kept: OrderedDict[int, Profile] = OrderedDict()

    def of(self, rows: Rows) -> list[Profile]:
        """Profiles of rows, reading the unknown ones from the store in one go."""
        wanted = [int(row) for row in rows]
        unknown = [row for row in wanted if row not in self._kept]
        if unknown:
            by = self._store.analyser
            for row, document in zip(unknown, self._store.fetch(unknown), strict=True):
                self._kept[row] = profile(document, by)
        candidates = [self._kept[row] for row in wanted]
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return candidates

    def clear(self) -> None:
        """Forgets everything: rows changed."""
        self._kept.clear()


def profile(document: Document, by: Analyser) -> Profile:
    """Analyses one document."""
    words = tuple(by.words(document.title))
    stems = frozenset(by.stems(document.title))
    numbers = {str(int(value)) for value in document.numbers.values() if value == int(value) and 0 < value < 1e6}
    compact = "".join(words)
    return Profile(
        words,
        stems,
        trigrams(compact),
        compact,
        stems | frozenset(by.indexed(document.text)),
        frozenset(_DIGITS.findall(document.title)) | numbers,
    )


def trigrams(text: str) -> frozenset[str]:
    """Character trigrams with marked ends."""
    padded = f"^{text}$"
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))


def table(
    text: str,
    terms: Terms,
    candidates: Candidates,
    fused: NDArray[np.float64],
    ideal: float,
    store: Store,
    profiles: Profiles,
    prior: Sequence[str] = (),
    years: Sequence[str] = (),
) -> Table:
    """Features of all candidates, shape (n, len(NAMES)). `prior`: fields that the collection's judged questions prefer
    (`training.learn_prior`), the first counts; `years`: fields that hold years."""
    count = len(candidates.rows)
    lexical = np.nan_to_num(candidates.lexical)
    weights = _weights(terms, store)
    out = np.zeros((count, len(NAMES)), np.float32)
    out[:, 0] = lexical / max(ideal, 1e-9)
    out[:, 1] = lexical / max(float(lexical.max(initial=0.0)), 1e-9)
    out[:, 2] = np.nan_to_num(candidates.cosine)
    out[:, 3] = out[:, 2] - out[:, 2].max(initial=0.0)
    out[:, 4] = np.where(candidates.lexical_rank >= 0, 1.0 / (1.0 + np.maximum(candidates.lexical_rank, 0)), 0.0)
    out[:, 5] = np.where(candidates.vector_rank >= 0, 1.0 / (1.0 + np.maximum(candidates.vector_rank, 0)), 0.0)
    out[:, 6] = fused
    kept = " ".join(terms.words)
    digits = frozenset(_DIGITS.findall(text))
    compact, grams = "".join(terms.words), trigrams("".join(terms.words))
    words = frozenset(terms.words)
    for row, one in zip(out, profiles.of(candidates.rows), strict=True):
        row[7:19] = _matches(one, terms, weights, words, grams, compact, digits)
    out[:, 18] = len(kept.split())
    popularity = _first(prior, candidates.rows, store)
    out[:, 19] = popularity
    out[:, 20] = popularity - np.sort(popularity)[-min(5, count)] if count else 0.0
    out[:, 21] = _first(prior[1:], candidates.rows, store)
    out[:, 22] = _first(years, candidates.rows, store)
    return out


def _matches(
    one: Profile,
    terms: Terms,
    weights: dict[str, float],
    words: frozenset[str],
    grams: frozenset[str],
    compact: str,
    digits: frozenset[str],
) -> tuple[float, ...]:
    total = sum(weights.values()) or 1.0
    in_title = sum(weight for stem, weight in weights.items() if stem in one.title_stems)
    missing = [weight for stem, weight in weights.items() if stem not in one.stems]
    shared = words.intersection(one.title_words)
    title = len(one.title_words)
    both = len(grams & one.title_trigrams)
    return (
        in_title / total,
        len(shared) / max(1, len(words)),
        len(shared) / max(1, title),
        _run(terms.words, one.title_words) / max(1, len(words)),
        1.0 if one.compact and one.compact == compact else 0.5 if one.compact and one.compact in compact else 0.0,
        both / max(1, len(grams) + len(one.title_trigrams) - both),
        1.0 - sum(missing) / total,
        max(missing, default=0.0) / max(weights.values(), default=1.0),
        float(len(digits & one.digits)),
        float(len(digits - one.digits)),
        float(title),
        0.0,
    )


def _run(query: Sequence[str], title: Sequence[str]) -> int:
    """Length of the longest run of query words that stands in the title in that order."""
    best = 0
    for start in range(len(query)):
        if len(query) - start <= best:
            break
        for at, word in enumerate(title):
            if word != query[start]:
                continue
            length = 1
            while (
                start + length < len(query) and at + length < len(title) and query[start + length] == title[at + length]
            ):
                length += 1
            best = max(best, length)
    return best


def _weights(terms: Terms, store: Store) -> dict[str, float]:
    count = max(1, store.count())
    return {stem: idf(min(count, store.frequency(stem)), count) for stem in terms.stems}


def _first(fields: Sequence[str], rows: Rows, store: Store) -> NDArray[np.float64]:
    """Quantiles of the first of `fields` that the collection has; one half where it has none."""
    for field in fields:
        reference = store.quantiles(field)
        if len(reference) and reference[0] < reference[-1]:
            return quantile(store.numbers(field, rows), reference)
    return np.full(len(rows), 0.5)
