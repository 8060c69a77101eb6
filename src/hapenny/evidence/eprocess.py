"""E-process monitors: has the loss risen above what was promised? Valid however often one looks.

Betting on the mean of bounded losses (Waudby-Smith and Ramdas 2024): wealth is a product of 1 + bet * (loss - limit),
mixed over a grid of bets, so that under "mean loss <= limit" it exceeds 1/delta with probability at most delta, ever
(Ville). Started again and again with weights that add to one, so that a late change is seen as well: a mixture of
e-processes is an e-process (Shin, Ramdas, Rinaldo 2023, e-detectors, gives the background).
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from hapenny.evidence.special import Floats

_BETS = 12
_STARTS = 48


class LossMonitor:
    """Watches losses in [0, 1] against `limit`; `alarmed` stays true once the evidence reached 1/delta.

    A new bettor enters every `every` observations; the poorest leaves when there are more than 48 (wealth thrown away
    only makes the test more careful).
    """

    def __init__(self, limit: float, delta: float = 0.05, every: int = 50) -> None:
        if not 0 < limit < 1 or not 0 < delta < 1:
            raise ValueError(f"limit and delta must be between 0 and 1, not {limit} and {delta}")
        self.limit, self.delta, self.every = limit, delta, every
        self.n, self.total, self.peak = 0, 0.0, 0.0
        # Bets up to 1/limit keep every factor positive; spaced geometrically because the excess is unknown.
        self._bets: Floats = 0.95 / limit * np.geomspace(0.01, 1.0, _BETS)
        self._logs: Floats = np.full((1, _BETS), -math.log(_BETS))
        self._entered = 1
        self._weights: Floats = np.array([_weight(1)])
        self._waiting = 1.0 - _weight(1)

    def update(self, loss: float, limit: float | None = None) -> bool:
        """Adds one loss; true when the alarm is (or was) raised. `limit`: of the mean of this loss, known before it and
        at most the monitor's own; by default that."""
        if not 0 <= loss <= 1:
            raise ValueError(f"loss must be in [0, 1], not {loss}")
        against = self.limit if limit is None else min(limit, self.limit)
        if self.n and self.n % self.every == 0:
            self._enter()
        self.n += 1
        self.total += loss
        self._logs += np.log1p(self._bets * (loss - against))
        self.peak = max(self.peak, self.wealth)
        return self.alarmed

    def _enter(self) -> None:
        self._entered += 1
        weight = _weight(self._entered)
        self._waiting = max(0.0, self._waiting - weight)
        self._weights = np.append(self._weights, weight)
        self._logs = np.vstack([self._logs, np.full((1, _BETS), -math.log(_BETS))])
        if len(self._weights) > _STARTS:
            poorest = int(np.argmin(np.log(self._weights) + np.logaddexp.reduce(self._logs, axis=1)))
            self._weights = np.delete(self._weights, poorest)
            self._logs = np.delete(self._logs, poorest, axis=0)

    @property
    def wealth(self) -> float:
        """The e-value now: evidence against "mean loss is at most the limit"."""
        logs = np.log(self._weights) + np.logaddexp.reduce(self._logs, axis=1)
        return float(np.exp(min(700.0, float(np.logaddexp.reduce(logs))))) + self._waiting

    @property
    def alarmed(self) -> bool:
        """Whether the promise has been refuted at level delta."""
        return self.peak >= 1 / self.delta

    @property
    def mean(self) -> float:
        """Mean loss seen so far (0 before the first)."""
        return self.total / self.n if self.n else 0.0

    def state(self) -> MonitorState:
        """Everything needed to go on after a restart."""
        return MonitorState(
            limit=self.limit,
            delta=self.delta,
            every=self.every,
            n=self.n,
            total=self.total,
            peak=self.peak,
            logs=self._logs.tolist(),
            entered=self._entered,
            weights=self._weights.tolist(),
            waiting=self._waiting,
        )

    @classmethod
    def restore(cls, state: MonitorState) -> LossMonitor:
        """The monitor that wrote `state`."""
        monitor = cls(state.limit, state.delta, state.every)
        monitor.n, monitor.total, monitor.peak = state.n, state.total, state.peak
        monitor._logs, monitor._entered = np.array(state.logs), state.entered
        monitor._weights, monitor._waiting = np.array(state.weights), state.waiting
        return monitor


class MonitorState(msgspec.Struct, kw_only=True):
    """A `LossMonitor` as plain data."""

    limit: float
    delta: float
    every: int
    n: int
    total: float
    peak: float
    logs: list[list[float]]
    entered: int
    weights: list[float]
    waiting: float


def _weight(start: int) -> float:
    return 1.0 / (start * (start + 1))
