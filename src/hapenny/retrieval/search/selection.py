"""Which of the ranked hits leave: adaptive k, the relevance floor, near-duplicates, diversity."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hapenny.retrieval.documents import Matrix
from hapenny.retrieval.settings import Selection


def select(
    scores: NDArray[np.float64],
    how: Selection,
    vectors: Callable[[Sequence[int]], Matrix] | None = None,
    parents: Callable[[Sequence[int]], Sequence[str]] | None = None,
    keep: int | None = None,
    wordings: Callable[[Sequence[int]], Sequence[bytes]] | None = None,
    enough: Sequence[bool] | None = None,
) -> list[int]:
    """Positions of the hits that leave, best first.

    `scores` come in the order of the final list (best first). A hit under the floor never leaves, also not to fill
    up; between `least` and `most` the list ends at the first drop of more than `margin` (a share of the best score).
    `enough`: whether each hit is over the measured floor, where there is one.
    `keep` asks for exactly so many where there are as many; the floor then does not apply. A near-duplicate of a better
    hit is dropped only if `wordings` (`duplicates.wording`) agree: what differs in a number or a name is no duplicate.
    """
    if not len(scores):
        return []
    if keep is None:
        limit = how.most
        passing = [
            i
            for i in range(len(scores))
            if how.floor is None
            or (how.floor == "measured" and (enough is None or enough[i]))
            or (not isinstance(how.floor, str) and scores[i] >= how.floor)
        ]
    else:
        limit = keep
        passing = list(range(len(scores)))
    pool = passing[: max(4 * limit, 20)]
    if vectors is not None and pool:
        same_words = list(wordings(pool)) if wordings is not None else None
        pool = _distinct(pool, vectors(pool), scores, how, limit, same_words)
    if parents is not None and pool and how.per_parent > 0:
        pool = _bounded(pool, parents(pool), how.per_parent)
    chosen = pool[:limit]
    if keep is None:
        best = scores[chosen[0]] if chosen else 0.0
        drop = how.margin * abs(best)
        chosen = [at for n, at in enumerate(chosen) if n < how.least or best - scores[at] <= drop]
    return chosen


def calibrate(best: Sequence[tuple[float, bool]], keep: float = 0.95) -> float | None:
    """The highest floor that still lets at least `keep` of the relevant hits pass.

    `best`: (score, relevant) of hits of judged queries. None when nothing was relevant.
    """
    relevant = np.sort([score for score, good in best if good])
    if not len(relevant):
        return None
    return float(relevant[int((1.0 - keep) * len(relevant))])


def _distinct(
    pool: list[int],
    vectors: Matrix,
    scores: NDArray[np.float64],
    how: Selection,
    limit: int,
    wordings: list[bytes] | None,
) -> list[int]:
    """Drops duplicates and, with `diversity`, orders by maximal marginal relevance (Carbonell, Goldstein 1998)."""
    chosen: list[int] = []
    near = vectors @ vectors.T
    same = near >= how.duplicate
    if wordings is not None:
        same &= np.array([[one == two for two in wordings] for one in wordings])
    left = list(range(len(pool)))
    while left and len(chosen) < limit:
        if chosen:
            left = [i for i in left if not same[i, chosen].any()]
            if not left:
                break
            closest = near[np.ix_(left, chosen)].max(axis=1)
        else:
            closest = np.zeros(len(left))
        values = (1 - how.diversity) * np.array([scores[pool[i]] for i in left]) - how.diversity * closest
        # Without diversity the order of the list stands (it may come from a ranker, not from these scores).
        at = int(values.argmax()) if how.diversity > 0 else 0
        chosen.append(left.pop(at))
    return [pool[i] for i in chosen]


def _bounded(pool: list[int], parents: Sequence[str], bound: int) -> list[int]:
    seen: dict[str, int] = {}
    kept = []
    for at, parent in zip(pool, parents, strict=True):
        seen[parent] = seen.get(parent, 0) + 1
        if not parent or seen[parent] <= bound:
            kept.append(at)
    return kept
