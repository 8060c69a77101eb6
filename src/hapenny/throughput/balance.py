"""Which endpoint a call goes to: power of two choices over peak-EWMA, with prefix affinity for servers that cache.

P2C: Mitzenmacher 2001; peak-EWMA: Finagle. Prefix affinity: rendezvous hashing (Thaler and Ravishankar 1998) of the
prompt's prefix picks a home endpoint, which is left when it is much busier than another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hapenny.core.clock import Clock
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.queue import Job, Priority


class Balancer:
    """Orders endpoints for one call. `leave_home` is the load ratio at which affinity gives way."""

    def __init__(self, clock: Clock, *, affinity: bool = False, leave_home: float = 2.0) -> None:
        self._clock = clock
        self._affinity = affinity
        self._leave_home = leave_home

    def order(self, endpoints: Sequence[Endpoint], job: Job, *, last: str = "") -> list[Endpoint]:
        """Endpoints that may take `job` now, best first: healthy, with a free place, cheapest class first.

        `last`: an endpoint that has just failed this job, kept for the end.
        """
        usable = [e for e in endpoints if e.free >= 1 and e.breaker.wait_s() <= 0]
        if len(usable) < 2:
            return usable
        # A probe is one call an interval: take it before anything else, or an ejected endpoint never comes back.
        probes = [e for e in usable if e.breaker.state == "open" and e.name != last]
        rest = [e for e in usable if e.breaker.state == "closed" and e.name != last]
        failed = [e for e in usable if e.name == last]
        ordered = probes[:1]
        if job.hurry is not None and rest:
            return [*probes[:1], *job.hurry.order(rest, self._clock.now()), *failed, *probes[1:]]
        hurried = job.priority != Priority.BACKGROUND
        for patient, factor in sorted({(e.patient and hurried, e.cost_factor) for e in rest}):
            group = [e for e in rest if (e.patient and hurried, e.cost_factor) == (patient, factor)]
            ordered += self._spread(group, job)
        return ordered + failed + probes[1:]

    def _spread(self, equals: list[Endpoint], job: Job) -> list[Endpoint]:
        if len(equals) < 2:
            return equals
        by_load = sorted(equals, key=lambda e: e.load())
        if self._affinity and job.prefix:
            home = max(equals, key=lambda e: _score(job.prefix, e.name))
            if home.inflight <= self._leave_home * (by_load[0].inflight + 1):
                return [home] + [e for e in by_load if e is not home]
            return by_load
        first, second = self._clock.random.sample(equals, 2)
        chosen = first if first.load() <= second.load() else second
        return [chosen] + [e for e in by_load if e is not chosen]


def _score(prefix: str, name: str) -> bytes:
    return hashlib.blake2b(f"{prefix}\0{name}".encode(), digest_size=8).digest()
