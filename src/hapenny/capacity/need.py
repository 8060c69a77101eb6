"""What a trace needs of a quota: tokens and requests in the provider's window, as percentiles over its windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hapenny.simulation.workload.trace import Arrival


class Spread(Struct, frozen=True):
    """Percentiles over the windows of a trace, a minute's worth each."""

    p50: float
    p95: float
    p99: float
    most: float

    @classmethod
    def of(cls, values: NDArray[np.floating[Any]]) -> Spread:
        """Of one value a window."""
        p50, p95, p99 = np.percentile(values, (50, 95, 99))
        return cls(float(p50), float(p95), float(p99), float(values.max()))


class Need(Struct, frozen=True, kw_only=True):
    """What is needed a minute."""

    tokens: Spread
    """As a provider counts them: prompt tokens that no cache read, and answers by their burndown."""
    reserved: Spread
    """As it counts them when a request comes in: prompt and the answer's limit."""
    requests: Spread
    a_day: float
    """Tokens a day at the trace's mean rate."""


def need(
    arrivals: Sequence[Arrival], *, burndown: float = 5.0, max_tokens: int | None = None, window_s: float = 60.0
) -> Need:
    """The need of a trace.

    Args:
        burndown: what an answer's token counts against a quota.
        max_tokens: the limit that requests state; None: each as long as its answer, the least that a limit can be.
        window_s: what the provider counts over.
    """
    at = np.array([each.at for each in arrivals])
    fresh = np.array([each.input - each.cached for each in arrivals], dtype=float)
    output = np.array([each.output for each in arrivals], dtype=float)
    limits = output if max_tokens is None else np.full(len(output), float(max_tokens))
    bins = max(1, int(np.ceil((at[-1] + 1e-9) / window_s)))
    place = np.minimum((at / window_s).astype(int), bins - 1)

    def spread(values: NDArray[np.float64]) -> Spread:
        return Spread.of(np.bincount(place, weights=values, minlength=bins) * (60.0 / window_s))

    counted = fresh + burndown * output
    return Need(
        tokens=spread(counted),
        reserved=spread(fresh + limits),
        requests=spread(np.ones(len(at))),
        a_day=float(counted.sum() / max(at[-1], window_s) * 86_400),
    )
