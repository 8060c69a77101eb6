"""From a question and its nearest neighbours to the one answer that may be served, and what speaks for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hapenny.caching.semantic.differences import Differences
from hapenny.caching.semantic.terms import Terms, Vocabulary

NEIGHBOURS = 20
"""How many neighbours vote."""
_SHARPNESS = 12.0

NAMES = (
    "bias", "closeness", "gap", "vote", "agreement", "second", "support", "answer_record", "entry_record",
    "unmatched_in_question", "unmatched_in_entry", "unmatched_in_answer", "number", "negation", "order", "length",
    "verbatim", "rarest_unmatched", "word_record",
)  # fmt: skip


class Book(Protocol):
    """What is known of the stored questions of a namespace."""

    vocabulary: Vocabulary

    def size(self, answer: int) -> int:
        """Stored questions with this answer."""

    def answer_odds(self, answer: int) -> float:
        """Log odds that this answer was right when it was the candidate."""

    def entry_odds(self, entry: int) -> float:
        """Log odds that this stored question's answer was right when it was the nearest."""


class Neighbour(Struct, frozen=True):
    """A stored question near the one asked."""

    entry: int
    similarity: float
    answer: int
    terms: Terms


class Candidate(Struct, frozen=True):
    """The answer that the neighbours speak for, by its nearest stored question."""

    entry: int
    answer: int
    similarity: float
    terms: Terms
    differing: frozenset[str]
    """Stems that only one of the two questions has."""
    features: NDArray[np.float64]
    """One row, shape (19,), in the order of `NAMES`."""


def candidate(
    asked: Terms,
    near: Sequence[Neighbour],
    memory: Book,
    differences: Differences,
) -> Candidate:
    """The best supported answer among `near` (nearest first, not empty), with its features.

    Votes fall by e^12 for each unit of cosine. All features are of order 1 and known before anything is served.
    """
    near = near[:NEIGHBOURS]
    top = near[0].similarity
    votes: dict[int, float] = {}
    for neighbour in near:
        weight = math.exp(_SHARPNESS * (neighbour.similarity - top))
        votes[neighbour.answer] = votes.get(neighbour.answer, 0.0) + weight
    answer = max(votes, key=votes.__getitem__)
    mine = [neighbour for neighbour in near if neighbour.answer == answer]
    rival = next((n.similarity for n in near if n.answer != answer), max(0.0, near[-1].similarity - 0.05))
    best = mine[0]
    share = min(max(votes[answer] / sum(votes.values()), 0.01), 0.995)
    weights = {stem: memory.vocabulary.weight(stem) for stem in asked.stems | best.terms.stems}
    in_asked = sum(weights[stem] for stem in asked.stems) or 1.0
    in_entry = sum(weights[stem] for stem in best.terms.stems) or 1.0
    covered: set[str] = set()
    for neighbour in mine[:5]:
        covered |= neighbour.terms.stems
    differing = asked.stems ^ best.terms.stems
    missing = [weights[stem] for stem in asked.stems - covered]
    row = (
        1.0,
        -math.log(max(1 - best.similarity, 0.0) + 0.03) - 1,
        (best.similarity - rival) * 4,
        math.log(share / (1 - share)) / 3,
        sum(neighbour.answer == answer for neighbour in near[:10]) / 10,
        mine[1].similarity if len(mine) > 1 else 0.3,
        math.log1p(memory.size(answer)) / 3,
        memory.answer_odds(answer),
        memory.entry_odds(best.entry),
        sum(weights[stem] for stem in asked.stems - best.terms.stems) / in_asked,
        sum(weights[stem] for stem in best.terms.stems - asked.stems) / in_entry,
        sum(missing) / in_asked,
        float(asked.numbers != best.terms.numbers),
        float(asked.negated != best.terms.negated),
        float(asked.stems == best.terms.stems and asked.sequence != best.terms.sequence),
        math.log1p(len(asked.sequence)) / 2 - 1,
        float(asked.sequence == best.terms.sequence),
        max(missing, default=0.0),
        differences.worst(differing),
    )
    return Candidate(best.entry, answer, best.similarity, best.terms, differing, np.array(row))
