"""Query-aware pruning of retrieved passages: whole units, most evidence for the fewest tokens, in their own order.

The scorer gives each unit the probability that it holds the evidence (a softmax over the context). Units are taken by
probability against size until the budget is full, or earlier, when what is kept already holds the wanted share of the
evidence: a clear question needs two sentences, a vague one ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from hapenny.tokens.passages import Passage, near_duplicates
from hapenny.tokens.relevance import probabilities

Floats = npt.NDArray[np.float64]

_SIZE_POWER = 0.85
_SIZE_OFFSET = 3.0


class Pruned(msgspec.Struct, kw_only=True):
    """What stays of a context.

    `kept[p]` are the unit indices kept of passage p (ascending; empty: the passage goes), `order` the passages as they
    should be sent, `mass` the expected share of the evidence that stays, `scores` each unit's probability.
    """

    kept: list[list[int]]
    order: list[int]
    before: float
    after: float
    mass: float
    duplicates: list[int]
    scores: list[float]

    @property
    def share(self) -> float:
        """Tokens kept over tokens that came."""
        return self.after / self.before if self.before else 1.0


def prune(
    question: str,
    passages: Sequence[Passage],
    *,
    budget: float,
    mass: float = 1.0,
    floor: float = 0.0,
    vector: Any = None,
    best_first: bool = False,
) -> Pruned:
    """Choose what to keep.

    Args:
        budget: tokens that may stay, by the passages' own cost estimates (at least one unit always stays).
        mass: stop when this share of the evidence is expected to be kept; 1.0 fills the budget.
        floor: tokens that are kept in any case before `mass` may stop.
        vector: the question's unit vector, shape (d,); used where the passages carry sentence vectors.
        best_first: send the passage with the best unit first; else as they came.
    """
    duplicates = near_duplicates(passages)
    gone = set(duplicates)
    live = [place for place in range(len(passages)) if place not in gone]
    kept: list[list[int]] = [[] for _ in passages]
    before = sum(passage.cost for passage in passages)
    chances = probabilities(question, [passages[place] for place in live], vector)
    spans = [(place, unit) for place in live for unit in range(len(passages[place].units))]
    scores = np.zeros(sum(len(passage.units) for passage in passages))
    if not spans:
        return Pruned(
            kept=kept, order=[], before=before, after=0.0, mass=1.0, duplicates=duplicates, scores=scores.tolist()
        )
    starts = np.concatenate([[0], np.cumsum([len(passage.units) for passage in passages])])
    costs = np.array([passages[place].units[unit].cost for place, unit in spans])
    worth = np.log(chances + 1e-12) - _SIZE_POWER * np.log(costs + _SIZE_OFFSET)
    used = held = 0.0
    best: dict[int, float] = {}
    for index in np.argsort(-worth, kind="stable").tolist():
        if held >= mass and used >= floor:
            break
        place, unit = spans[index]
        if passages[place].units[unit].pinned:
            continue
        need = float(costs[index]) + (0.0 if place in best else passages[place].overhead)
        if used + need > budget and best:
            continue
        used += need
        held += float(chances[index])
        kept[place].append(unit)
        best[place] = max(best.get(place, 0.0), float(chances[index]))
    for (place, unit), chance in zip(spans, chances.tolist(), strict=True):
        scores[starts[place] + unit] = chance
    order = [place for place in live if kept[place]]
    if best_first:
        order.sort(key=lambda place: -best[place])
    return Pruned(
        kept=[sorted(units) for units in kept],
        order=order,
        before=before,
        after=used,
        mass=min(1.0, held),
        duplicates=duplicates,
        scores=scores.tolist(),
    )
