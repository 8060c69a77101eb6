"""From verified labels to a threshold: how much traffic may be served so that the promise holds.

Scores (estimated chances of error) fall into bands. Each band has an error rate from its labels, which were scored
before they were learnt, shrunk towards a pessimistic reading of the model by a few pseudo-labels. The rate of wrong
answers among all requests at a threshold is the sum over bands of traffic share x error rate; its upper confidence
bound adds the bands' margins (gamma quantiles by Wilson and Hilferty 1931) in quadrature, as they are independent.

A model that is too sure of itself is so in all low bands at once, and their pseudo-labels would believe it. So a second
bound, which believes no model, must hold as well: the upper bound on the error of all labels at or below the threshold
(Jeffreys' half event added), times the traffic there. No threshold opens before its own region has been verified.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

EDGES = np.array([0.001, 0.003, 0.01, 0.03, 0.1, 0.3])
"""Between the seven bands."""
_MIDDLES = np.array([0.0005, 0.002, 0.006, 0.018, 0.055, 0.17, 0.6])
_PSEUDO = 12.0
_MOST = 2_000
_REMEMBERED = 4_000
_LEAST = 20
"""Labels at or below a threshold before it may open."""
_PESSIMISM = 1.5
_FLOOR = 0.003
"""The prior error of a band: 1.5 times what the model says plus 0.3 %: no model is trusted below that unproven."""


class Bands:
    """Verified labels by band of the score they had when they were decided."""

    def __init__(self) -> None:
        size = len(_MIDDLES)
        self.labels = np.zeros(size)
        self.wrong = np.zeros(size)
        self._scores = np.zeros(size)
        self._all: deque[tuple[float, bool]] = deque(maxlen=_REMEMBERED)

    def add(self, score: float, wrong: bool) -> None:
        """Counts a label."""
        band = self.band(score)
        self.labels[band] += 1
        self.wrong[band] += wrong
        self._scores[band] += score
        self._all.append((score, wrong))
        if self.labels[band] > _MOST:
            # Old evidence fades: half of it goes, so that a slow change is seen.
            for counts in (self.labels, self.wrong, self._scores):
                counts[band] /= 2

    def clear(self) -> None:
        """Forgets all evidence."""
        self.labels[:] = self.wrong[:] = self._scores[:] = 0
        self._all.clear()

    def band(self, score: float) -> int:
        """Which band a score falls into."""
        return int(np.searchsorted(EDGES, score))

    def predicted(self) -> NDArray[np.float64]:
        """Mean score of the labels in each band."""
        return np.where(self.labels > 0, self._scores / np.maximum(self.labels, 1), _MIDDLES)

    def rates(self, z: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Error rate of each band, and its upper bound at `z` standard deviations."""
        predicted = self.predicted()
        events = self.wrong + _PSEUDO * (_PESSIMISM * predicted + _FLOOR)
        trials = self.labels + _PSEUDO
        events = np.maximum(events, 0.05)
        return events / trials, np.maximum(_upper(events, z), events) / trials

    def below(self, scores: NDArray[np.float64], z: float) -> NDArray[np.float64]:
        """Upper bound on the error of all labels up to each of the sorted `scores`; infinite on fewer than 20."""
        if not self._all:
            return np.full(len(scores), np.inf)
        labels = np.array(sorted(self._all))
        count = np.searchsorted(labels[:, 0], scores, side="right")
        wrong = np.concatenate([[0.0], np.cumsum(labels[:, 1])])[count]
        return np.asarray(
            np.where(count >= _LEAST, np.minimum(_upper(wrong + 0.5, z) / np.maximum(count, 1), 1.0), np.inf)
        )

    def estimate(self, score: float) -> float:
        """Error of one decision with this score, as the labels of its band correct it."""
        rate = float(self.rates(0.0)[0][self.band(score)])
        return min(1.0, score * rate / max(float(self.predicted()[self.band(score)]), 1e-4))


def threshold(
    bands: Bands,
    scores: NDArray[np.float64],
    requests: int,
    *,
    max_error: float,
    max_wrong_hits: float | None,
    z: float,
) -> float:
    """The largest score that may be served; 0 if none.

    Args:
        scores: of the recent requests that had a candidate.
        requests: how many recent requests there were in all.
        max_error: wrong answers / requests.
        max_wrong_hits: wrong answers / hits, or None.
        z: standard deviations of the upper bound.
    """
    if not len(scores):
        return 0.0
    ranked = np.sort(scores)
    band = np.searchsorted(EDGES, ranked)
    rate, upper = bands.rates(z)
    factor = rate / np.maximum(bands.predicted(), 1e-4)
    wrong = np.cumsum(np.minimum(ranked * factor[band], 1.0))
    margin = np.zeros(len(ranked))
    for at in range(len(rate)):
        margin += (np.cumsum(band == at) * (upper[at] - rate[at])) ** 2
    wrong += np.sqrt(margin)
    hits = np.arange(1, len(ranked) + 1)
    wrong = np.maximum(wrong, bands.below(ranked, z / 2) * hits)
    # Equal scores are served together or not at all.
    fits = np.append(ranked[1:] != ranked[:-1], True) & (wrong <= max_error * requests)
    if max_wrong_hits is not None:
        fits &= wrong <= max_wrong_hits * hits
    served = np.flatnonzero(fits)
    return float(ranked[served[-1]]) if len(served) else 0.0


def _upper(events: NDArray[np.float64], z: float) -> NDArray[np.float64]:
    """Upper bound on a rate's events: the gamma quantile, by Wilson and Hilferty's cube."""
    return np.asarray(events * np.maximum(1 - 1 / (9 * events) + z / (3 * np.sqrt(events)), 0) ** 3)
