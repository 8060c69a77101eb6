"""Seeded draws that depend on names alone: the same on every machine and in every version of Python."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TypeVar

T = TypeVar("T")
_NORMAL = NormalDist()


def number(*parts: object) -> float:
    """A number in [0, 1) that depends on `parts` alone."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class Draws:
    """A stream of draws named by `parts` (xorshift over a hashed state: `random` may change between versions)."""

    def __init__(self, *parts: object) -> None:
        digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
        self._state = int.from_bytes(digest, "big") or 1

    def random(self) -> float:
        """Uniform in [0, 1)."""
        state = self._state
        state ^= state >> 12
        state ^= (state << 25) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 27
        self._state = state
        return ((state * 0x2545F4914F6CDD1D & 0xFFFFFFFFFFFFFFFF) >> 11) / 2**53

    def below(self, count: int) -> int:
        """Uniform in 0 … count - 1."""
        return int(self.random() * count)

    def between(self, low: int, high: int) -> int:
        """Uniform in low … high."""
        return low + self.below(high - low + 1)

    def choice(self, items: Sequence[T]) -> T:
        """One of `items`."""
        return items[self.below(len(items))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different ones, in drawn order."""
        rest = list(items)
        drawn = []
        for place in range(min(count, len(rest))):
            other = place + self.below(len(rest) - place)
            rest[place], rest[other] = rest[other], rest[place]
            drawn.append(rest[place])
        return drawn

    def weighted(self, weights: Sequence[float]) -> int:
        """An index with these weights."""
        at = self.random() * sum(weights)
        for index, weight in enumerate(weights):
            at -= weight
            if at < 0:
                return index
        return len(weights) - 1

    def popular(self, count: int, skew: float = 1.0) -> int:
        """An index below `count` that is drawn as 1 / rank ** skew (Zipf), by inversion of the integral."""
        if count <= 1:
            return 0
        at = self.random()
        if abs(skew - 1.0) < 1e-9:
            return min(count - 1, int(math.exp(at * math.log(count + 1)) - 1))
        power = 1.0 - skew
        return min(count - 1, int((at * ((count + 1) ** power - 1) + 1) ** (1 / power) - 1))

    def exponential(self, mean: float) -> float:
        """An exponential gap."""
        return -mean * math.log(1.0 - self.random())

    def bursty(self, mean: float, spread: float = 2.0) -> float:
        """A gap of a bursty renewal process: hyperexponential with coefficient of variation `spread`."""
        share = 0.5 * (1 + math.sqrt((spread**2 - 1) / (spread**2 + 1)))
        quick = self.random() < share
        rate = 2 * share / mean if quick else 2 * (1 - share) / mean
        return self.exponential(1 / rate)

    def lognormal(self, p50: float, p95: float) -> float:
        """Log-normal by its median and 95th percentile, cut at three sigma."""
        if p95 <= p50:
            return p50
        sigma = math.log(p95 / p50) / _NORMAL.inv_cdf(0.95)
        z = _NORMAL.inv_cdf(min(max(self.random(), 1e-9), 1 - 1e-9))
        return p50 * math.exp(sigma * max(-3.0, min(3.0, z)))
