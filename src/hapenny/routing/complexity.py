"""Cold start: how hard a prompt looks when nothing is known about the local traffic.

A linear score over nine shape measures (length in tokens and symbols first), fitted on public routing outcomes by
`python -m benchmarks.routing.cold`. It orders prompts; it does not know what "hard enough" means here, so tiers that
rest on it alone start in shadow.
"""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec
import numpy as np

from hapenny.routing.intents.features import SHAPE, Features, Floats, extract

MEASURES = SHAPE[:9]
CLIP = 3.0


class Weights(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Standardisation and slope per measure of MEASURES, the score's `centre` and `spread`, and their source."""

    source: str
    mean: list[float]
    deviation: list[float]
    slope: list[float]
    centre: float
    spread: float


# Steps on the 0-1 scale. The use-case table of the tiers: preprocessing is easy, expert reasoning is hard.
_INTENTS = {
    "summarization": -0.25,
    "classification": -0.30,
    "chunking": -0.30,
    "compression": -0.30,
    "extraction": -0.25,
    "translation": -0.15,
    "chitchat": -0.30,
    "chat": -0.10,
    "code": 0.10,
    "math": 0.15,
    "reasoning": 0.20,
    "expert_reasoning": 0.35,
}


@functools.cache
def default_weights() -> Weights:
    """The shipped weights."""
    data = Path(__file__).with_name("cold.json").read_bytes()
    return msgspec.json.decode(data, type=Weights)


def raw_score(features: Features, weights: Weights) -> float:
    """The linear score in standard units; only its order means anything."""
    mean, scale, slope = _arrays(weights)
    z = np.minimum(np.maximum((features.shape[:9] - mean) / scale, -CLIP), CLIP)
    return float(z @ slope)


def score(text: str, intent: str | None = None, weights: Weights | None = None) -> float:
    """How hard `text` looks, from 0 (easy) to 1 (hard); .5 is the middle of the prompts it was fitted on.

    A known use case as `intent` (summarization, classification, expert_reasoning, ...) moves the score by a fixed step.
    """
    used = weights or default_weights()
    z = (raw_score(extract(text), used) - used.centre) / used.spread
    level = 0.5 + 0.5 * z / (1 + abs(z))
    return min(1.0, max(0.0, level + _INTENTS.get(intent or "", 0.0)))


_ARRAYS: dict[int, tuple[Weights, tuple[Floats, Floats, Floats]]] = {}


def _arrays(weights: Weights) -> tuple[Floats, Floats, Floats]:
    known = _ARRAYS.get(id(weights))
    if known is None or known[0] is not weights:
        arrays = (np.array(weights.mean), np.array(weights.deviation), np.array(weights.slope))
        if len(_ARRAYS) > 64:
            _ARRAYS.clear()
        known = _ARRAYS[id(weights)] = (weights, arrays)
    return known[1]
