"""Bounded retry: backoff with jitter inside one deadline, and a budget that keeps retries a small share of calls.

Pure: the caller makes the calls and does the waiting. The budget is Finagle's `RetryBudget` (a deposit a first call,
a withdrawal a retry), so that an outage is met with at most `share` more calls than there are requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from hapenny.core.clock import Clock


class Backoff(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """When to try again. Delay before retry k (from 1) is `base_s * factor**(k-1)` +/- `jitter_s`, at least 0."""

    tries: Annotated[int, Meta(description="Attempts, the first one among them; at most 5.")] = 3
    base_s: Annotated[float, Meta(description="The first delay.")] = 0.1
    factor: Annotated[float, Meta(description="Each further delay is this much longer.")] = 2.0
    jitter_s: Annotated[float, Meta(description="Delays are up to this much shorter or longer, by chance.")] = 0.1
    max_delay_s: Annotated[float, Meta(description="The longest delay.")] = 5.0

    def __post_init__(self) -> None:
        if not 1 <= self.tries <= 5:
            raise ValueError(f"tries: {self.tries} is not within 1 and 5; each request costs at most so many calls")
        if self.base_s < 0 or self.jitter_s < 0 or self.max_delay_s < 0:
            raise ValueError("base_s, jitter_s and max_delay_s are seconds and cannot be negative")
        if self.factor < 1:
            raise ValueError(f"factor: {self.factor} would shorten each delay; use 1 or more")

    def delays(self, clock: Clock) -> Iterator[float]:
        """The waits in seconds before the second, third, ... attempt; `tries - 1` of them."""
        for retry in range(self.tries - 1):
            yield self.delay(retry, clock)

    def delay(self, retry: int, clock: Clock) -> float:
        """Seconds to wait before retry number `retry` (from 0)."""
        exact = self.base_s * self.factor**retry
        return min(self.max_delay_s, max(0.0, exact + clock.random.uniform(-self.jitter_s, self.jitter_s)))

    def after(self, attempt: int, clock: Clock, begin_by: float | None, hint_s: float | None = None) -> float | None:
        """Seconds to wait after failed attempt number `attempt` (from 1), or None to give up.

        `begin_by`: the limit on `clock.now()` inside which the next attempt has to start. `hint_s`: the server's own
        `retry-after`, which lengthens the wait; jitter is added on top, so that waiters do not return together.
        """
        if attempt >= self.tries:
            return None
        wait = self.delay(attempt - 1, clock)
        if hint_s is not None and hint_s > 0:
            wait = max(wait, hint_s + clock.random.uniform(0.0, self.jitter_s))
        if begin_by is not None and clock.now() + wait >= begin_by:
            return None
        return wait


class RetryBudget:
    """Extra calls as a share of first calls: each first call deposits `share`, each extra call withdraws 1.

    `reserve` is the largest balance, and `initial` the first one; both in calls. Over any span the extra calls are at
    most `share` x first calls + `reserve`.
    """

    def __init__(self, share: float = 0.1, *, reserve: float = 10.0, initial: float = 1.0) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share: {share} is not a fraction of 0 to 1")
        self.share = share
        self.reserve = reserve
        self.balance = min(initial, reserve)
        self.refused = 0

    def first(self) -> None:
        """Notes a first call."""
        self.balance = min(self.reserve, self.balance + self.share)

    def take(self) -> bool:
        """Whether one extra call may be made now; if so it is paid for."""
        if self.balance < 1.0:
            self.refused += 1
            return False
        self.balance -= 1.0
        return True
