"""When it is quiet: requests by hour of the day over the last two weeks, from the ledger and as they come."""

from __future__ import annotations

from collections.abc import Mapping

HOUR = 3_600.0
DAYS = 14
_KNOWN = 24
"""Hours that must have been seen before any is called quiet: a whole day."""
QUIET = 0.5
"""Of the mean hour's requests: at most so many and an hour is quiet."""


class Load:
    """Counts of requests by hour since the epoch (UTC)."""

    def __init__(self) -> None:
        self._hours: dict[int, int] = {}

    def add(self, at: float, count: int = 1) -> None:
        """Counts requests at `at` (epoch seconds)."""
        hour = int(at // HOUR)
        self._hours[hour] = self._hours.get(hour, 0) + count
        if len(self._hours) > 24 * DAYS:
            del self._hours[min(self._hours)]

    def load(self, hours: Mapping[int, int]) -> None:
        """Adds what the ledger counted, by hour since the epoch."""
        for hour, count in sorted(hours.items())[-24 * DAYS :]:
            self.add(hour * HOUR, count)

    def quiet_hours(self, now: float) -> frozenset[int] | None:
        """Hours of the day (0-23) with at most half the mean hour's requests; None with less than a day of evidence,
        or where every hour is alike."""
        current = int(now // HOUR)
        first = max(min(self._hours, default=current), current - 24 * DAYS)
        if current - first < _KNOWN:
            return None
        seen, days = [0] * 24, [0] * 24
        for hour in range(first, current):  # the hour under way is not over
            seen[hour % 24] += self._hours.get(hour, 0)
            days[hour % 24] += 1
        means = [count / max(1, number) for count, number in zip(seen, days, strict=True)]
        limit = QUIET * sum(means) / 24
        return frozenset(hour for hour, mean in enumerate(means) if mean <= limit) or None
