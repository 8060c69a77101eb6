"""A gradient limit on the pace of output, after Netflix concurrency-limits' Gradient2.

Where the original compares durations, which differ by answer length, this compares time per output token: the limit
follows (long-run pace / pace of late) and leaves room for a queue of its square root.
"""

from __future__ import annotations

import math

from hapenny.core.clock import Clock
from hapenny.throughput.concurrency import Sample


class GradientLimit:
    """See the module. Needs no SLO; drops cut the limit by a tenth, at most once a second."""

    def __init__(
        self,
        clock: Clock,
        *,
        initial: int = 16,
        least: int = 1,
        most: int = 1024,
        tolerance: float = 1.5,
        smoothing: float = 0.1,
    ) -> None:
        self._clock = clock
        self._exact = float(initial)
        self._least, self._most = least, most
        self._tolerance, self._smoothing = tolerance, smoothing
        self._long: float | None = None
        self._short: float | None = None
        self._cut_at = -math.inf

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return int(self._exact)

    def observe(self, sample: Sample) -> None:
        """Learns from a call that ended."""
        if sample.dropped:
            now = self._clock.now()
            if now - self._cut_at >= 1.0:
                self._cut_at = now
                self._exact = max(float(self._least), self._exact * 0.9)
            return
        if sample.tpot_s is None or sample.tpot_s <= 0:
            return
        pace = sample.tpot_s
        self._short = pace if self._short is None else self._short + 0.2 * (pace - self._short)
        self._long = pace if self._long is None else self._long + 0.002 * (pace - self._long)
        if self._long > 2 * self._short:
            self._long *= 0.95  # the load has gone: forget the slow times sooner
        if sample.inflight < 0.5 * self._exact:
            return
        gradient = max(0.5, min(1.0, self._tolerance * self._long / self._short))
        target = self._exact * gradient + math.sqrt(self._exact)
        self._exact += self._smoothing * (target - self._exact)
        self._exact = max(float(self._least), min(float(self._most), self._exact))
