"""From verified labels to a threshold: how much traffic may be served so that the promise holds.

The evidence is every verified label under the score that the model of this moment gives it *without* that label (see
`model.ErrorModel.evidence`). Labels scored once, by the model of their own time, would not do: a model that grows more
confident moves doubtful questions into bands that were verified with plain ones.

Two upper bounds on the wrong answers at a threshold must both stay within the promise:

- One by score band: each band has an error rate from its labels, shrunk towards a pessimistic reading of the model by a
  few pseudo-labels. The bound adds the bands' margins (gamma quantiles by Wilson and Hilferty 1931) in quadrature, as
  they are independent.
- One that believes no model: the labels at or below the threshold, each weighted by the traffic it stands for. Misses
  are all verified, would-be hits by audits alone, so labels crowd around the threshold, where the doubtful ones are;
  their plain mean would say how often a wider threshold errs there, not over its traffic. Neighbouring labels share the
  traffic between them (post-stratification), and the weighted sum gets the gamma bound of Fay and Feuer (1997).
  No threshold opens before its own region has been verified.

Each is taken at part of the deviations of the stated confidence (`BAND`, `BELOW`), as both must err for the promise to
break; that it holds so is measured, not proven: `benchmarks.caching` replays it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EDGES = np.array([0.001, 0.003, 0.01, 0.03, 0.1, 0.3])
"""Between the seven bands."""
_MIDDLES = np.array([0.0005, 0.002, 0.006, 0.018, 0.055, 0.17, 0.6])
_PSEUDO = 12.0
_MOST = 1 / 3
"""No answer is served that is more probably wrong than this, nor any group of hits that may be, by its upper bound:
however little the promise on all requests would feel it, such hits are of no use to anyone."""
_LEAST = 20
"""Labels at or below a threshold before it may open."""
BAND, BELOW = 0.9, 0.5
"""Parts of the stated deviations that each bound takes."""
_GROUP = 20
"""Labels that share the traffic between them."""
_UNSEEN = 0.5
"""The wrong answer that may come next, as part of the dearest label's traffic (Jeffreys' half event)."""
_PESSIMISM = 1.5
_FLOOR = 0.003
"""The prior error of a band: 1.5 times what the model says plus 0.3 %: no model is trusted below that unproven."""


class Evidence:
    """Verified labels by score."""

    def __init__(self, scores: NDArray[np.float64], wrong: NDArray[np.float64]) -> None:
        """`scores`, `wrong` (0 or 1): of each label, in any order, shape (n,)."""
        ranked = np.argsort(scores, kind="stable")
        self._scores = scores[ranked]
        self._wrong = wrong = wrong[ranked]
        groups = len(scores) // _GROUP
        self._ends = self._scores[np.arange(1, groups + 1) * _GROUP - 1]
        self._group = np.minimum(np.searchsorted(self._ends, self._scores), max(groups - 1, 0))
        self._sizes = np.bincount(self._group, minlength=groups)
        size, band = len(_MIDDLES), np.searchsorted(EDGES, self._scores)
        self.labels = np.bincount(band, minlength=size).astype(float)
        events = np.bincount(band, wrong, minlength=size)
        summed = np.bincount(band, self._scores, minlength=size)
        self.predicted = np.where(self.labels > 0, summed / np.maximum(self.labels, 1), _MIDDLES)
        """Mean score of the labels in each band."""
        self._events = np.maximum(events + _PSEUDO * (_PESSIMISM * self.predicted + _FLOOR), 0.05)

    def rates(self, z: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Error rate of each band, and its upper bound at `z` standard deviations."""
        trials = self.labels + _PSEUDO
        return self._events / trials, np.maximum(_upper(self._events, z), self._events) / trials

    def below(self, ranked: NDArray[np.float64], z: float) -> NDArray[np.float64]:
        """Upper bound on the wrong answers among requests of the sorted scores `ranked`, up to each of them; infinite
        where fewer than 20 labels are below."""
        groups = len(self._ends)
        if not groups:
            return np.full(len(ranked), np.inf)
        at = np.minimum(np.searchsorted(self._ends, ranked), groups - 1)
        # Equal scores across a whole group leave the later one empty.
        weight = np.bincount(at, minlength=groups) / np.maximum(self._sizes, 1)
        dearest = np.maximum.accumulate(weight)[at]
        mine = self._wrong * weight[self._group]
        count = np.searchsorted(self._scores, ranked, side="right")
        events = np.concatenate([[0.0], np.cumsum(mine)])[count] + _UNSEEN * dearest
        spread = np.concatenate([[0.0], np.cumsum(mine * weight[self._group])])[count] + _UNSEEN * dearest**2
        effective = np.maximum(events**2 / np.maximum(spread, 1e-12), 1e-3)
        upper = events * _upper(effective, z) / effective
        return np.asarray(np.where(count >= _LEAST, upper, np.inf))

    def estimate(self, score: float) -> float:
        """Error of one decision with this score, as the labels of its band correct it."""
        band = int(np.searchsorted(EDGES, score))
        rate = float(self._events[band] / (self.labels[band] + _PSEUDO))
        return min(1.0, score * rate / max(float(self.predicted[band]), 1e-4))


NO_EVIDENCE = Evidence(np.zeros(0), np.zeros(0))


def threshold(
    evidence: Evidence,
    scores: NDArray[np.float64],
    requests: int,
    *,
    max_error: float,
    max_wrong_hits: float | None,
    z: float,
) -> float:
    """The largest score that may be served; 0 if none.

    Args:
        evidence: verified labels.
        scores: of the recent requests that had a candidate.
        requests: how many recent requests there were in all.
        max_error: wrong answers / requests.
        max_wrong_hits: wrong answers / hits, or None.
        z: standard deviations of the stated confidence.
    """
    if not len(scores):
        return 0.0
    ranked = np.sort(scores)
    band = np.searchsorted(EDGES, ranked)
    rate, upper = evidence.rates(BAND * z)
    factor = rate / np.maximum(evidence.predicted, 1e-4)
    wrong = np.cumsum(np.minimum(ranked * factor[band], 1.0))
    margin = np.zeros(len(ranked))
    for at in range(len(rate)):
        margin += (np.cumsum(band == at) * (upper[at] - rate[at])) ** 2
    wrong += np.sqrt(margin)
    hits = np.arange(1, len(ranked) + 1)
    wrong = np.maximum(wrong, evidence.below(ranked, BELOW * z))
    # Equal scores are served together or not at all.
    fits = np.append(ranked[1:] != ranked[:-1], True) & (wrong <= max_error * requests) & (ranked <= _MOST)
    fits &= wrong <= (_MOST if max_wrong_hits is None else min(max_wrong_hits, _MOST)) * hits
    served = np.flatnonzero(fits)
    return float(ranked[served[-1]]) if len(served) else 0.0


def _upper(events: NDArray[np.float64], z: float) -> NDArray[np.float64]:
    """Upper bound on a rate's events: the gamma quantile, by Wilson and Hilferty's cube."""
    return np.asarray(events * np.maximum(1 - 1 / (9 * events) + z / (3 * np.sqrt(events)), 0) ** 3)
