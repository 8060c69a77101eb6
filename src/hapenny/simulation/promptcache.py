"""The provider's prompt cache: prefixes that end at a cache point, alive for a time that each hit renews.

Explicit (Anthropic, Nova): a prefix shorter than the model's minimum is silently not cached; a cache point also finds
an older prefix that ends up to twenty blocks before it; what lies between is written. Automatic (OpenAI): every block
boundary above the minimum is kept, writes are free. A prefix becomes readable when its answer begins.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from msgspec import Struct

from hapenny.catalog import Card
from hapenny.simulation.prompt import Part

SECONDS = {"5m": 300.0, "1h": 3600.0}
LOOKBACK = 20
LIMIT = 100_000


class PrefixMatch(Struct, frozen=True):
    """What the cache did for one prompt, in tokens."""

    read: int = 0
    write: int = 0
    write_1h: int = 0
    keep: tuple[tuple[bytes, float], ...] = ()
    """Prefixes to store, with their lifetime in seconds, once the answer begins."""


class PromptCache:
    """All accounts' prefixes of one provider."""

    def __init__(self) -> None:
        self._until: OrderedDict[bytes, tuple[float, float]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def look(self, scope: str, card: Card, parts: Sequence[Part], now: float) -> PrefixMatch:
        """Searches the longest known prefix and renews it; `scope` separates accounts, regions and models."""
        if card.cache_mode is None:
            return PrefixMatch()
        explicit = card.cache_mode == "explicit"
        points = [index for index, part in enumerate(parts) if part.ttl] if explicit else list(range(len(parts)))
        if not points:
            return PrefixMatch()
        digest = hashlib.blake2b(scope.encode(), digest_size=16)
        ends: list[tuple[bytes, int]] = []
        total = 0
        for part in parts[: points[-1] + 1]:
            digest.update(len(part.content).to_bytes(8, "big") + part.content)
            total += part.tokens
            ends.append((digest.copy().digest(), total))
        least = card.cache_min or 0
        hit = self._longest(ends, points, explicit, now)
        read = ends[hit][1] if hit >= 0 else 0
        if not explicit:
            keep = tuple((key, 300.0) for key, tokens in ends if tokens >= least)
            if read < least:
                return PrefixMatch(keep=keep)
            return PrefixMatch(read=read - read % 128, keep=keep)
        written = {"5m": 0, "1h": 0}
        stored: list[tuple[bytes, float]] = []
        at = read
        for index in points:
            key, tokens = ends[index]
            if tokens < least or index <= hit:
                continue
            ttl = parts[index].ttl if parts[index].ttl in card.cache_ttls else "5m"
            written[ttl] += tokens - at
            at = tokens
            stored.append((key, SECONDS[ttl]))
        if hit >= 0:
            self.hits += 1
        elif stored:
            self.misses += 1
        return PrefixMatch(read=read, write=written["5m"], write_1h=written["1h"], keep=tuple(stored))

    def keep(self, match: PrefixMatch, now: float) -> None:
        """Makes what a call wrote readable: called when its answer begins."""
        for key, seconds in match.keep:
            known = self._until.get(key)
            if known is None or known[0] < now + seconds:
                self._until[key] = (now + seconds, seconds)
                self._until.move_to_end(key)
        while len(self._until) > LIMIT:
            self._until.popitem(last=False)

    def _longest(self, ends: list[tuple[bytes, int]], points: list[int], explicit: bool, now: float) -> int:
        for point in reversed(points):
            for index in range(point, max(-1, point - LOOKBACK - 1) if explicit else point - 1, -1):
                known = self._until.get(ends[index][0])
                if known is not None and known[0] > now:
                    self._until[ends[index][0]] = (now + known[1], known[1])
                    return index
        return -1
