"""Kinds of prompts that a scorer was trained on, as prototypes of their shape: who is near none is unlike all.

A distance to the middle of all training prompts says little where they are of several kinds: between sums and essays
lies code. So the shapes are grouped (k-means, Lloyd 1982), and the border is what all but a hundredth of prompts stay
within when their part was held out of the grouping.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hapenny.routing.intents.features import Floats

CLIP = 4.0
"""Standard deviations beyond which a measure is no stranger still."""
MOST = 32
_ROWS_EACH = 8
_MOST_ROWS = 4_000
_PARTS = 4
_ROUNDS = 8
_WITHIN = 0.99
_SEED = 11


def learn(shapes: Floats) -> tuple[list[list[float]], float]:
    """Prototypes, and the distance to the nearest beyond which a prompt is unlike them; none of too few rows.

    Args:
        shapes: standardised measures of the training prompts, shape (n, measures).
    """
    rows = np.clip(shapes, -CLIP, CLIP)
    if len(rows) > _MOST_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(np.intp)]
    count = min(MOST, len(rows) // _ROWS_EACH)
    if count < 2:
        return [], 0.0
    part = np.arange(len(rows)) % _PARTS
    held = [nearest(rows[part == each], _groups(rows[part != each], count)) for each in range(_PARTS)]
    border = float(np.quantile(np.concatenate(held), _WITHIN))
    # Prompts that are all alike have a narrow border: one standard deviation in every measure is no other kind.
    return _groups(rows, count).round(4).tolist(), max(border, rows.shape[1] ** 0.5)


def nearest(rows: Floats, prototypes: Floats) -> Floats:
    """The distance of each row to its nearest prototype."""
    squares = (rows**2).sum(axis=1)[:, None] - 2 * rows @ prototypes.T + (prototypes**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares.min(axis=1), 0.0)))


class Kinds:
    """Prototypes made ready to look one prompt up."""

    __slots__ = ("_norms", "_prototypes")

    def __init__(self, prototypes: list[list[float]]) -> None:
        self._prototypes = np.array(prototypes)
        self._norms = (self._prototypes**2).sum(axis=1)

    def distance(self, row: Floats) -> float:
        """Of a standardised row to its nearest prototype."""
        near = np.minimum(np.maximum(row, -CLIP), CLIP)
        square = float(near @ near) + float((self._norms - 2 * (self._prototypes @ near)).min())
        return math.sqrt(max(0.0, square))


def _groups(rows: Floats, count: int) -> npt.NDArray[np.float64]:
    chance = np.random.default_rng(_SEED)
    middles = np.array(rows[chance.choice(len(rows), count, replace=False)], np.float64)
    for _ in range(_ROUNDS):
        owner = ((middles**2).sum(axis=1) - 2 * rows @ middles.T).argmin(axis=1)
        for place in range(count):
            own = rows[owner == place]
            if len(own):
                middles[place] = own.mean(axis=0)
    return middles
