"""APGR and CPT as RouteLLM defines them, with ties averaged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def curve(score: Floats, gain: Floats) -> Floats:
    """Share of the strong model's total gain recovered after each prefix of prompts, highest score first."""
    _, group, count = np.unique(-score, return_inverse=True, return_counts=True)
    order = np.argsort(-score, kind="stable")
    # Prompts with the same score come in no order: each stands for the mean of its group.
    mean = (np.bincount(group, gain) / count)[group][order]
    return np.asarray(np.concatenate([[0.0], np.cumsum(mean)]) / gain.sum())


def apgr(score: Floats, gain: Floats) -> float:
    """Average performance gap recovered: the trapezoid over every prefix; .50 for a constant score."""
    points = curve(score, gain)
    return float((points[:-1] + points[1:]).mean() / 2)


def cpt(score: Floats, gain: Floats, recovered: float = 0.8) -> float:
    """The smallest share of strong calls that recovers that much of the gap."""
    points = curve(score, gain)
    return float(np.argmax(points >= recovered)) / len(gain)
