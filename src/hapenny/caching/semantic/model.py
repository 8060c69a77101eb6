"""The chance that the found answer is wrong: one logistic model a route, learnt online from verified labels.

The same labels are the evidence for the bound, so each is scored as if the model had not seen it: one Newton step back
from the fit without the label (the leave-one-out estimate of Pregibon 1981 and Cook and Weisberg 1982 for logistic
regression), at the cost of one matrix product a fit.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hapenny.caching.semantic.features import NAMES

_STEPS = 8
_RIDGE = 3.0
_RIDGE_BIAS = 0.1
FIRST = 50
"""Labels before the first fit."""
KEPT = 4_000
"""Labels the model remembers: the newest."""


class _Dump(Struct):
    size: int
    count: int
    next: int
    rows: bytes
    wrong: bytes
    valid: bytes
    weights: bytes


class ErrorModel:
    """Maximum a posteriori logistic regression under a Gaussian prior, refitted by Newton's method as labels grow."""

    def __init__(self) -> None:
        size = len(NAMES)
        self.rows = np.zeros((KEPT, size))
        self._wrong = np.zeros(KEPT)
        self._unseen = np.ones(KEPT)
        """Scores as if the label had not been learnt."""
        self._valid = np.zeros(KEPT, dtype=bool)
        """Whether the label is evidence for the bound; those from before a closure only teach the model."""
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
        """`error` of many rows, shape (n, 19) -> (n,)."""
        if self.weights is None:
            return np.ones(len(rows))
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(rows @ self.weights, -30, 30))))

    def learn(self, features: NDArray[np.float64], wrong: bool) -> bool:
        """Adds a label; true when the model was fitted anew (after every 8 % more labels, and 15)."""
        slot = self._count % KEPT
        self.rows[slot], self._wrong[slot] = features, wrong
        self._unseen[slot], self._valid[slot] = self.error(features), True
        self._count += 1
        if self._count < self._next:
            return False
        self._fit()
        self._next = self._count + min(int(self._count * 0.08), KEPT // 12) + 15
        return True

    def evidence(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score without itself, and whether it was wrong, of every label that counts; none before the first fit."""
        valid = self._valid if self.weights is not None else np.zeros(KEPT, dtype=bool)
        return self._unseen[valid], self._wrong[valid]

    def void(self) -> None:
        """What was verified so far is no evidence any more; the model stays, as a guess."""
        self._valid[:] = False

    def forget(self) -> None:
        """Starts again from nothing."""
        self._count, self._next, self.weights = 0, FIRST, None
        self._valid[:] = False

    def dumps(self) -> bytes:
        """Labels and weights: numbers alone, from which no text can be told."""
        count = min(self._count, KEPT)
        weights = self.weights if self.weights is not None else np.zeros(0)
        return msgspec.msgpack.encode(
            _Dump(
                self.rows.shape[1], self._count, self._next, self.rows[:count].astype("<f4").tobytes(),
                self._wrong[:count].astype("u1").tobytes(), self._valid[:count].astype("u1").tobytes(),
                weights.astype("<f8").tobytes(),
            )
        )  # fmt: skip

    def loads(self, data: bytes) -> None:
        """Takes over a dump; ValueError for one of another shape."""
        dump = msgspec.msgpack.decode(data, type=_Dump)
        size, count = len(NAMES), min(dump.count, KEPT)
        rows, weights = np.frombuffer(dump.rows, "<f4"), np.frombuffer(dump.weights, "<f8")
        if dump.size != size or len(rows) != count * size or len(dump.wrong) != count or len(weights) not in (0, size):
            raise ValueError("labels of another version")
        self.rows[:count] = rows.reshape(count, size)
        self._wrong[:count] = np.frombuffer(dump.wrong, "u1")
        self._valid[:] = False
        self._valid[:count] = np.frombuffer(dump.valid, "u1")
        self._count, self._next = dump.count, dump.next
        self.weights = weights.copy() if len(weights) else None
        if self.weights is not None:
            self._rescore(self.weights)

    def _rescore(self, weights: NDArray[np.float64]) -> None:
        """Scores every label without itself."""
        count = min(self._count, KEPT)
        rows, wrong = self.rows[:count], self._wrong[:count]
        logit = np.clip(rows @ weights, -30, 30)
        chance = 1 / (1 + np.exp(-logit))
        weight = np.maximum(chance * (1 - chance), 1e-9)
        curve = (rows * weight[:, None]).T @ rows + np.diag(self._ridge)
        leverage = weight * np.einsum("ij,ij->i", rows @ np.linalg.inv(curve), rows)
        logit = logit - leverage / weight * (wrong - chance) / np.maximum(1 - leverage, 0.1)
        self._unseen[:count] = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))

    def _fit(self) -> None:
        count = min(self._count, KEPT)
        rows, wrong = self.rows[:count], self._wrong[:count]
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
        self._rescore(weights)
