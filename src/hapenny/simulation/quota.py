"""Requests and tokens per minute, as Bedrock keeps them: reserved at the start, settled at the end.

At the start input, cached and written tokens plus `max_tokens` (or the model's maximum) are taken; at the end what
was not used comes back, cache reads come back whole, and output counts `burndown` times.
"""

from __future__ import annotations

from hapenny.core.events import Tokens


class Quota:
    """Two buckets of one minute's depth, refilled evenly. `rpm` and `tpm` None: no limit."""

    def __init__(self, rpm: float | None, tpm: float | None, now: float) -> None:
        self.rpm = rpm
        self.tpm = tpm
        self._requests = rpm or 0.0
        self._tokens = tpm or 0.0
        self._at = now
        self.throttled = 0

    def reserve(self, tokens: int, now: float) -> str | None:
        """Takes one request and `tokens`; the reason when it cannot, taking nothing."""
        self._refill(now)
        if self.rpm is not None and self._requests < 1:
            self.throttled += 1
            return "Too many requests, please wait before trying again."
        if self.tpm is not None and self._tokens < tokens:
            self.throttled += 1
            return "Too many tokens, please wait before trying again."
        self._requests -= 1
        self._tokens -= tokens
        return None

    def settle(self, reserved: int, used: int, now: float) -> None:
        """Gives `reserved` back and takes `used`."""
        self._refill(now)
        self._tokens += reserved - used
        if self.tpm is not None:
            self._tokens = min(self._tokens, self.tpm)

    def available(self, now: float) -> float:
        """Tokens that can be reserved now; infinite without a limit."""
        self._refill(now)
        return self._tokens if self.tpm is not None else float("inf")

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self._at) / 60
        self._at = now
        if self.rpm is not None:
            self._requests = min(self.rpm, self._requests + passed * self.rpm)
        if self.tpm is not None:
            self._tokens = min(self.tpm, self._tokens + passed * self.tpm)


def burnt(tokens: Tokens, burndown: int) -> int:
    """What a finished call takes from the quota: cache reads are free, output counts `burndown` times."""
    return tokens.input + tokens.cache_write + tokens.cache_write_1h + burndown * tokens.output
