"""A fixed similarity threshold from labelled questions, for operators who want no learning: its hits stay unproven."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from hapenny.vectors import Vectors

SMALLEST = 0.5
STEP = 0.01


class Calibration(Struct, frozen=True):
    """What a threshold would have done, had the questions come in this order. Shares of all questions."""

    threshold: float
    hit: float
    wrong: float


def replay(vectors: Vectors, labels: Sequence[str], threshold: float) -> Calibration:
    """Looks up, serves the nearest at or above the threshold, stores misses."""
    stored: list[int] = []
    hits = wrong = 0
    for at in range(len(labels)):
        if stored:
            scores = vectors[stored] @ vectors[at]
            best = int(np.argmax(scores))
            if scores[best] >= threshold:
                hits += 1
                wrong += labels[stored[best]] != labels[at]
                continue
        stored.append(at)
    count = max(1, len(labels))
    return Calibration(round(threshold, 4), hits / count, wrong / count)


def calibrate(vectors: Vectors, labels: Sequence[str], max_error: float) -> Calibration | None:
    """The lowest threshold that keeps wrong answers / questions at or below `max_error` on both halves; None if none
    does. Half of the questions never see the threshold that the other half chose for itself: the stricter one counts.
    """
    half = len(labels) // 2
    parts = [(vectors[:half], labels[:half]), (vectors[half:], labels[half:])]
    chosen = 0.0
    for part_vectors, part_labels in parts:
        steps = np.arange(SMALLEST, 1.0 + STEP / 2, STEP)
        fitting = [step for step in steps if replay(part_vectors, part_labels, float(step)).wrong <= max_error]
        if not fitting:
            return None
        chosen = max(chosen, float(min(fitting)))
    return replay(vectors, labels, chosen)
