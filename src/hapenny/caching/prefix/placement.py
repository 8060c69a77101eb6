"""Where cache points go: at most four, never below the provider's minimum, only where they are expected to pay."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from msgspec import Struct

from hapenny.caching.prefix.reuse import Reuse, Tariff

_BLOCK = 512.0
MOST_POINTS = 4
MINIMUM_TOKENS = 1_024
_DEAR = 0.5
"""Premium from which a write must be covered by what reads have saved."""
_CREDIT = 0.001
"""Share of all input that such writes may be ahead."""


class Plan(Struct, frozen=True):
    """Depths (numbers of leading segments) behind which a cache point goes, deepest first.

    `reads` is the depth that a live point is believed to cover; `writes` the tokens written beyond it; `gain` the
    expected net gain over plain input, in input tokens, premium included.
    """

    points: tuple[int, ...]
    reads: int
    writes: int
    gain: float


class Planner:
    """Plans cache points for one model in one account: it alone knows which points it set and when they die."""

    def __init__(
        self, tariff: Tariff, *, minimum: int = MINIMUM_TOKENS, most: int = MOST_POINTS, block: float = _BLOCK
    ) -> None:
        """`block`: tokens of a typical segment, the unit in which prompt lengths are compared."""
        self.tariff = tariff
        self._minimum, self._most, self._block = minimum, most, block
        self._reuse = Reuse(tariff)
        self._live: dict[Hashable, float] = {}
        self._balance = 0.0
        """What reads saved less what writes cost beyond plain input, in input tokens."""
        self._asked = 0.0
        """Input tokens planned for."""
        self._swept = 0.0

    def plan(self, chain: Sequence[Hashable], tokens: Sequence[int], now: float) -> Plan:
        """Plans one request and learns from it.

        Args:
            chain: one hash for each leading segment that may end in a point; each covers all bytes before it.
            tokens: of each segment, same length.
            now: seconds, rising.
        """
        depth_tokens = _running(tokens)
        blocks = depth_tokens[-1] / self._block if depth_tokens else 0.0
        known = self._reuse.known(chain)
        read = next((d for d in range(len(chain), 0, -1) if self._live.get(chain[d - 1], -1.0) >= now), 0)
        gains = self._reuse.advantages(chain, blocks, now)
        self._reuse.observe(chain, blocks, now)
        first = next((at for at, count in enumerate(depth_tokens) if count >= self._minimum), len(chain))
        if first < len(chain):
            # What lies below the minimum is only ever read through a point at the first depth that may have one.
            gains[:first] = [min(gain, gains[first]) for gain in gains[:first]]
        best, best_gain, gain = 0, 0.0, 0.0
        for depth in range(read + 1, len(chain) + 1):
            gain += gains[depth - 1] * tokens[depth - 1]
            if gain > best_gain and depth_tokens[depth - 1] >= self._minimum:
                best, best_gain = depth, gain
        self._asked += depth_tokens[-1] if depth_tokens else 0.0
        saved = (1 - self.tariff.read) * depth_tokens[read - 1] if read else 0.0
        written = depth_tokens[best - 1] - (depth_tokens[read - 1] if read else 0) if best else 0
        if best and self._balance + saved - self.tariff.premium * written < -self._credit():
            best, best_gain, written = 0, 0.0, 0
        self._balance += saved - self.tariff.premium * written
        if best:
            points = [best, *self._branches(chain, best, read, known, depth_tokens)]
        else:
            points = [read, *self._shared(chain, read, depth_tokens)] if read else []
        points = points[: self._most]
        for depth in points:
            self._live[chain[depth - 1]] = now + self.tariff.ttl
        self._sweep(now)
        return Plan(tuple(points), read, written, saved + best_gain)

    def _credit(self) -> float:
        """How far writes may run ahead of what reads have brought: dear ones hardly, so that a long lifetime never ends
        up dearer than no caching."""
        return _CREDIT * self._asked if self.tariff.premium >= _DEAR else math.inf

    def forget(self, chain: Sequence[Hashable]) -> None:
        """The provider reported no read where one was believed: these points are dead."""
        for segment in chain:
            self._live.pop(segment, None)

    def _branches(
        self, chain: Sequence[Hashable], top: int, read: int, known: int, depth_tokens: Sequence[int]
    ) -> list[int]:
        """Further points below `top`, which cost nothing: where returning prompts are likely to leave this one.

        The depth seen before comes first; then greedily the depths that save most over the learnt tails.
        """
        allowed = [d for d in range(read + 1, top) if depth_tokens[d - 1] >= self._minimum]
        chosen = [top] + ([known] if known in allowed else [])
        tails = self._reuse.tails.items()
        shared = [(min(len(chain) - tail, top), count) for tail, count in tails if len(chain) - tail > read]
        shared += [(min(head, top), count) for head, count in self._reuse.heads.items() if head > read]
        candidates = {depth for depth, _ in shared} & set(allowed)
        while len(chosen) < self._most:
            scored = [
                (sum(count * (depth - max((c for c in chosen if c <= s), default=read))
                     for s, count in shared
                     if s >= depth > max((c for c in chosen if c <= s), default=read)), depth)
                for depth in candidates.difference(chosen)
            ]  # fmt: skip
            if not scored or max(scored)[0] <= 0:
                break
            chosen.append(max(scored)[1])
        return chosen[1:]

    def _shared(self, chain: Sequence[Hashable], read: int, depth_tokens: Sequence[int]) -> list[int]:
        """Points to keep alive below the one that is read: where most prompts left this one before."""
        lost = [
            (self._reuse.uses(chain[d - 1]) - self._reuse.uses(chain[d]), d)
            for d in range(1, read)
            if depth_tokens[d - 1] >= self._minimum
        ]
        return [depth for count, depth in sorted(lost, reverse=True) if count > 0]

    def _sweep(self, now: float) -> None:
        if now - self._swept > self.tariff.ttl:
            self._swept = now
            self._live = {segment: until for segment, until in self._live.items() if until >= now}


def _running(tokens: Sequence[int]) -> list[int]:
    out: list[int] = []
    total = 0
    for count in tokens:
        total += count
        out.append(total)
    return out
