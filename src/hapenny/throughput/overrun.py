"""What calls turn out to cost beyond what they reserved, and so what a mirror of a refilling bucket keeps spare.

A provider replaces what a call reserved by what it used the moment the call ends; we learn of it a little later, and a
call that we make in between arrives at a counter that holds less than we believe: it is refused. Ends come as they
please (a Poisson process), so what is not known yet has the mean `rate * LAG_S * m1` and the variance
`rate * LAG_S * m2` with the moments of one call's overrun (Wald's identities). So much is left in the bucket, one
root mean square of a single overrun at least: one end may fall into any gap. A bucket that refills loses nothing by it:
it only never falls that low.
"""

from __future__ import annotations

import math

from hapenny.core.clock import Clock

LAG_S = 0.05
"""How late the end of a call is known here, with the time that the next call takes there (assumed: 25 ms each way)."""
SPREAD = 2.0
"""Standard deviations of what is not known that are kept spare."""
MOST_SHARE = 0.1
"""Of the bucket, however much calls overrun."""
_GAIN = 0.02


class Overrun:
    """Moments of what ended calls cost beyond what they had reserved. Units are the provider's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mean = self._square = 0.0
        self._gap: float | None = None  # seconds between two ends, a moving mean
        self._at = -math.inf

    def ended(self, units: float, reserved: float) -> None:
        """A call that had reserved so much cost `units`."""
        over = max(0.0, units - reserved)
        self._mean += _GAIN * (over - self._mean)
        self._square += _GAIN * (over * over - self._square)
        now = self._clock.now()
        if self._at > -math.inf:
            gap = now - self._at
            self._gap = gap if self._gap is None else self._gap + _GAIN * (gap - self._gap)
        self._at = now

    def spare(self, capacity: float) -> float:
        """Units to be left in a bucket of so many."""
        unknown = LAG_S / self._gap if self._gap else 0.0
        # Of ends that are rarer than one in the gap, one may still fall into it.
        several = math.sqrt(max(1.0, SPREAD * SPREAD * unknown) * self._square)
        return min(MOST_SHARE * capacity, unknown * self._mean + several)
