"""What others do, on the same streams: one similarity threshold for all, and a bound for each entry by itself."""

from __future__ import annotations

import math
import random

from benchmarks.caching.data import Stream
from benchmarks.caching.replay import Judge, Run
from hapenny.evidence.special import normal_ppf

_FIRST = 6
"""Observations of an entry before it may serve, its two seeds among them, as vCache counts them."""
_STEEP = 60.0
_SEPARABLE = 0.2
_CONFIDENCES = [(place + 0.5) / 50 for place in range(50)]
"""Over so many confidences vCache takes the least chance of asking the model."""
_DEVIATIONS = [normal_ppf(confidence) for confidence in _CONFIDENCES]


def static(stream: Stream, threshold: float) -> Run:
    """GPTCache's way: serve the nearest stored question at or above a fixed cosine; store every miss."""
    stored: set[int] = set()
    run = Run(len(stream.labels))
    for at, label in enumerate(stream.labels):
        found = next(
            (
                (key, value)
                for key, value in zip(stream.near[at], stream.similarities[at], strict=True)
                if key in stored
            ),
            None,
        )
        if found is not None and found[1] >= threshold:
            run.hits += 1
            run.wrong += stream.labels[found[0]] != label
        else:
            stored.add(at)
    return run


class _Entry:
    """A stored question with its own labels: similarity of the asker, and whether the answer was right."""

    def __init__(self) -> None:
        # One certain label at either end keeps the fit finite.
        self.labels: list[tuple[float, bool]] = [(0.0, False), (1.0, True)]
        self._slope = self._middle = self._spread = 0.0

    def learn(self, similarity: float, right: bool) -> None:
        """Adds a label and fits P(right | s) = 1 / (1 + exp(-slope (s - middle))) by maximum likelihood."""
        self.labels.append((similarity, right))
        highest_wrong = max(s for s, y in self.labels if not y)
        lowest_right = min(s for s, y in self.labels if y)
        if highest_wrong < lowest_right:
            # Separable: the likelihood has no maximum; a steep curve between, as uncertain as few labels make it.
            self._slope, self._middle = _STEEP, (highest_wrong + lowest_right) / 2
            self._spread = math.sqrt(_SEPARABLE / len(self.labels))
            return
        offset, slope = -4.0, 8.0
        for _ in range(12):
            ga = gb = 0.0
            haa, hab, hbb = 1e-3, 0.0, 1e-3
            for s, y in self.labels:
                p = 1 / (1 + math.exp(-max(-30.0, min(30.0, offset + slope * s))))
                w = p * (1 - p)
                ga += p - y
                gb += (p - y) * s
                haa += w
                hab += w * s
                hbb += w * s * s
            gb += 1e-3 * (slope - 8.0)
            ga += 1e-3 * (offset + 4.0)
            det = max(haa * hbb - hab * hab, 1e-9)
            da, db = (hbb * ga - hab * gb) / det, (haa * gb - hab * ga) / det
            offset, slope = offset - max(-5.0, min(5.0, da)), max(0.5, slope - max(-10.0, min(10.0, db)))
            if abs(da) + abs(db) < 1e-3:
                break
        self._slope, self._middle = slope, -offset / slope
        # Delta method for middle = -offset / slope.
        da, db = -1 / slope, offset / slope**2
        variance = (hbb * da * da - 2 * hab * da * db + haa * db * db) / det
        self._spread = math.sqrt(max(variance, 0.0))

    def explore(self, similarity: float, delta: float) -> float:
        """The least chance of asking the model that keeps P(wrong) <= delta, over several confidences."""
        if len(self.labels) < _FIRST:
            return 1.0
        best = 1.0
        for confidence, deviation in zip(_CONFIDENCES, _DEVIATIONS, strict=True):
            middle = self._middle + deviation * self._spread
            right = confidence / (1 + math.exp(max(-30.0, min(30.0, -self._slope * (similarity - middle)))))
            best = min(best, 1 - delta / max(1 - right, 1e-9))
        return max(best, 0.0)


def per_entry(stream: Stream, delta: float, *, noise: float = 0.0) -> Run:
    """A bound for each entry (in the manner of vCache, written anew from its description): the nearest entry serves
    with a chance that keeps its own estimated error below delta; wrong answers found become entries."""
    entries: dict[int, _Entry] = {}
    judge, chance = Judge(stream.labels, noise, stream.order), random.Random(stream.order)
    run = Run(len(stream.labels))
    for at, label in enumerate(stream.labels):
        found = next(
            (
                (key, value)
                for key, value in zip(stream.near[at], stream.similarities[at], strict=True)
                if key in entries
            ),
            None,
        )
        if found is None:
            entries[at] = _Entry()
            continue
        key, similarity = found
        if chance.random() >= entries[key].explore(similarity, delta):
            run.hits += 1
            run.wrong += stream.labels[key] != label
            continue
        right = judge.equal(at, key)
        run.labels += 1
        entries[key].learn(similarity, right)
        if not right:
            entries[at] = _Entry()
    return run
