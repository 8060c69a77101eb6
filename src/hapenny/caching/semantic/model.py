"""The chance that the found answer is wrong: one logistic model a route, learnt online from verified labels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hapenny.caching.semantic.features import NAMES

_STEPS = 8
_RIDGE = 1.0
_RIDGE_BIAS = 0.1
FIRST = 50
"""Labels before the first fit."""
KEPT = 4_000
"""Labels the model remembers: the newest."""


class ErrorModel:
    """Maximum a posteriori logistic regression under a Gaussian prior, refitted by Newton's method as labels grow."""

    def __init__(self) -> None:
        size = len(NAMES)
        self._rows = np.zeros((KEPT, size))
        self._wrong = np.zeros(KEPT)
        self._ridge = np.full(size, _RIDGE)
        self._ridge[0] = _RIDGE_BIAS
        self._count = 0
        self._next = FIRST
        self.weights: NDArray[np.float64] | None = None

    @property
    def labels(self) -> int:
        """Labels learnt in all."""
        return self._count

    def error(self, features: NDArray[np.float64]) -> float:
        """Estimated chance that serving this candidate is wrong; 1 before the first fit."""
        if self.weights is None:
            return 1.0
        return 1.0 / (1.0 + math.exp(-min(max(float(features @ self.weights), -30.0), 30.0)))

    def errors(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """`error` of many rows, shape (n, 18) -> (n,)."""
        if self.weights is None:
            return np.ones(len(rows))
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(rows @ self.weights, -30, 30))))

    def learn(self, features: NDArray[np.float64], wrong: bool) -> bool:
        """Adds a label; true when the model was fitted anew (after every 8 % more labels, and 15)."""
        slot = self._count % KEPT
        self._rows[slot], self._wrong[slot] = features, wrong
        self._count += 1
        if self._count < self._next:
            return False
        self._fit()
        self._next = self._count + min(int(self._count * 0.08), KEPT // 12) + 15
        return True

    def forget(self) -> None:
        """Starts again from nothing."""
        self._count, self._next, self.weights = 0, FIRST, None

    def _fit(self) -> None:
        count = min(self._count, KEPT)
        rows, wrong = self._rows[:count], self._wrong[:count]
        weights = self.weights if self.weights is not None else np.zeros(len(NAMES))
        for _ in range(_STEPS):
            chance = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
            slope = rows.T @ (chance - wrong) + self._ridge * weights
            curve = (rows * (chance * (1 - chance))[:, None]).T @ rows + np.diag(self._ridge)
            step = np.clip(np.linalg.solve(curve, slope), -3, 3)
            weights = weights - step
            if np.abs(step).max() < 1e-3:
                break
        self.weights = weights
