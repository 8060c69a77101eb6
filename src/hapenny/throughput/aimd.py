"""Additive increase, multiplicative decrease on time to first token and time per output token against an SLO.

Duration says nothing about a language model's load (a long answer is not a slow one); the time to its first token and
the pace of the rest do. A window in which more than `tolerance` of calls missed the SLO cuts the limit; a window in
which the limit was in use and the SLO held raises it.
"""

from __future__ import annotations

from hapenny.core.clock import Clock
from hapenny.throughput.concurrency import SLO, Sample


class AimdLimit:
    """See the module. Windows last `window_s` seconds and at least `samples` calls."""

    def __init__(
        self,
        clock: Clock,
        slo: SLO,
        *,
        initial: int = 16,
        least: int = 1,
        most: int = 1024,
        window_s: float = 1.0,
        samples: int = 8,
        tolerance: float = 0.15,
        backoff: float = 0.9,
    ) -> None:
        self._clock = clock
        self._slo = slo
        self._exact = float(initial)
        self._least, self._most = least, most
        self._window_s, self._samples = window_s, samples
        self._tolerance, self._backoff = tolerance, backoff
        self._since = clock.now()
        self._seen = self._missed = self._busiest = 0
        self._cut_at = -1e9

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return int(self._exact)

    def observe(self, sample: Sample) -> None:
        """Learns from a call that ended."""
        slow = sample.ttft_s > self._slo.ttft_s or (sample.tpot_s is not None and sample.tpot_s > self._slo.tpot_s)
        self._seen += 1
        self._missed += sample.dropped or slow
        self._busiest = max(self._busiest, sample.inflight)
        now = self._clock.now()
        if self._seen < self._samples or now - self._since < self._window_s:
            return
        if self._missed > self._tolerance * self._seen:
            self._exact = max(float(self._least), self._exact * self._backoff)
        elif self._busiest >= 0.8 * int(self._exact):
            self._exact = min(float(self._most), self._exact + max(1.0, 0.02 * self._exact))
        self._since = now
        self._seen = self._missed = self._busiest = 0
