"""What it gains to cache a stretch of prompt now rather than at its next use, learnt online.

Every request shows which of its segments were seen before, whether we cached them or not, so nothing need be spent to
learn. Segments fall into kinds (seen before or new, how long the prompt is, how long ago, how near to the prompt's
end). A kind's *edge* D, in units of the segment's input price, obeys

    D = P(it comes again in time) * ((1 - read) + min(D', premium))

with D' the edge at that next use: a segment that is cached then costs `read` instead of 1, and one that is not may be
written then, which costs the premium, or left alone, which gives up D'. Writing now pays where D exceeds the premium.
D is learnt by temporal differences (Sutton 1988), and as `min` bounds it, it stays estimable for hot segments.

Where a longer lifetime is on offer beside a shorter one, what it adds has an edge L of its own: a next use within the
shorter lifetime only hands it on, one after it finds the segment still there,

    L = P(again in the shorter's time) * min(L', premium) + P(later, but in time) * ((1 - read) + min(L' + d, premium))

with d = min(D', premium) of the shorter, which would have had to be written anew.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import TypeAlias

from msgspec import Struct

Kind: TypeAlias = tuple[str, int, int, int, int]

_PSEUDO = 30.0
_TRUST, _TRUST_DEAR = 0.7, 0.85
"""Part of the learnt edge that is believed: the depth that looks best is one whose edge looks better than it is. A dear
write has the account on paper to answer for it."""
_EDGE = {"seen": 0.54, "new": 0.105}
"""The edge before evidence: a second use often brings a third; a first use brings none."""
_REMEMBERED = 200_000
_NEAR_END = 4
"""Segments: prompts that leave further from the end share a beginning rather than a history."""


class _Seen(Struct):
    at: float
    uses: int
    kind: Kind
    counted: bool
    length: int


class Tariff(Struct, frozen=True):
    """What a provider charges for its prompt cache, as multiples of the input price."""

    ttl: float
    """Seconds a cache point lives after its last use."""
    write: float
    read: float = 0.1

    @property
    def premium(self) -> float:
        """What writing costs beyond plain input."""
        return self.write - 1.0

    @property
    def dear(self) -> bool:
        """Whether one read does not pay for a write by far: such writes must prove themselves first."""
        return self.premium >= 0.5

    @property
    def break_even(self) -> float:
        """Reads a write needs to pay: (w - 1) / (1 - r)."""
        return self.premium / (1.0 - self.read)


class Reuse:
    """The learner of one tariff. Memory is bounded: 200,000 segments, oldest out."""

    def __init__(self, tariff: Tariff, shorter: Tariff | None = None) -> None:
        """`shorter`: a shorter lifetime on offer beside this one."""
        self.tariff = tariff
        self._shorter = shorter
        self._scale, self._most_ago = (5 / tariff.ttl, 3) if shorter is None else (5 / shorter.ttl, 5)
        # A dear write must earn its evidence: every use counts as unanswered at once. A cheap one may wait for
        # two thirds of the lifetime before a use that brought no other counts.
        self._patience = 0.0 if tariff.dear else tariff.ttl * 2 / 3
        self._seen: OrderedDict[Hashable, _Seen] = OrderedDict()
        self._ripening: list[tuple[float, int, Hashable, float]] = []
        self._order = 0
        self._exposed: dict[Hashable, float] = {}
        self._edges: dict[Hashable, float] = {}
        self.tails: dict[int, int] = {}
        """How often a returning prompt left the earlier one this many segments before its end."""
        self.heads: dict[int, int] = {}
        """How often one left it early, this many segments after its beginning."""

    def known(self, chain: Sequence[Hashable]) -> int:
        """How many leading segments were seen before."""
        count = 0
        while count < len(chain) and chain[count] in self._seen:
            count += 1
        return count

    def uses(self, segment: Hashable) -> int:
        """How often a segment was seen."""
        seen = self._seen.get(segment)
        return seen.uses if seen is not None else 0

    def advantage(self, edge: float) -> float:
        """What writing a segment now gains over waiting: what is believed of its edge, less the premium."""
        return (_TRUST_DEAR if self.tariff.dear else _TRUST) * edge - self.tariff.premium

    def observe(
        self, chain: Sequence[Hashable], blocks: float, now: float, shorter: Sequence[float] | None = None
    ) -> list[float]:
        """The edge of each segment as it was known before this request, from which it then learns.

        Args:
            chain: hashes of the segments.
            blocks: length of the prompt.
            now: seconds, rising.
            shorter: the edges of the shorter lifetime, on which this one's stand.
        """
        kinds = self._kinds(chain, blocks, now)
        edges = [self._edge(kind) for kind in kinds]
        self._ripen(now)
        known = self.known(chain)
        if known >= 2:
            tail = max(0, self._seen[chain[known - 1]].length - known)
            if tail > _NEAR_END:
                self.heads[known] = self.heads.get(known, 0) + 1
            self.tails[tail] = self.tails.get(tail, 0) + 1
        for at, (segment, kind) in enumerate(zip(chain, kinds, strict=True)):
            seen = self._seen.pop(segment, None)
            uses = 1
            if at < known and seen is not None:
                uses = seen.uses + 1
                if not seen.counted:
                    self._add(self._exposed, seen.kind, 1.0)
                if now - seen.at <= self.tariff.ttl:
                    again = self._again(now - seen.at, edges[at], shorter[at] if shorter is not None else 0.0)
                    self._add(self._edges, seen.kind, again)
            self._seen[segment] = _Seen(now, uses, kind, False, len(chain))
            self._order += 1
            heapq.heappush(self._ripening, (now + self._patience, self._order, segment, now))
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

        return edges if shorter is None else [edge + below for edge, below in zip(edges, shorter, strict=True)]

    def _again(self, gap: float, edge: float, shorter: float) -> float:
        """What it was worth that a segment was cached when it came again, `edge` and `shorter` being its edges now."""
        if self._shorter is not None:
            if gap <= self._shorter.ttl:
                return min(edge, self.tariff.premium)
            edge += min(shorter, self._shorter.premium)
        return 1.0 - self.tariff.read + min(edge, self.tariff.premium)

    def _kinds(self, chain: Sequence[Hashable], blocks: float, now: float) -> list[Kind]:
        known = self.known(chain)
        size = int(2 * math.log2(max(1.0, blocks)))
        before = min(2, self._seen[chain[known - 1]].uses) if known >= 2 else 0
        # What a returning prompt adds is used again if it is short (the next turn), not if it is a pasted document.
        more = blocks * (len(chain) - known) / max(len(chain), 1)
        added = int(2 * math.log2(max(1.0, more))) if before else size
        grown = min(4, int(math.log2(more))) if more >= 1 else -1
        out: list[Kind] = []
        for at, segment in enumerate(chain):
            if at < known:
                seen = self._seen[segment]
                ago = min(self._most_ago, int(math.log2(1 + (now - seen.at) * self._scale)))
                out.append(("seen", min(seen.uses, 4), ago, size // 4, grown))
            else:
                left = len(chain) - 1 - at
                near = 0 if left < 1 else 1 if left < 4 else 2 if left < 16 else 3
                out.append(("new", before, added, near, 0))
        return out

    def _ripen(self, now: float) -> None:
        """Counts uses as unanswered that were not answered in time."""
        while self._ripening and self._ripening[0][0] <= now:
            _, _, segment, at = heapq.heappop(self._ripening)
            seen = self._seen.get(segment)
            if seen is not None and seen.at == at and not seen.counted:
                seen.counted = True
                self._add(self._exposed, seen.kind, 1.0)

    def _edge(self, kind: Kind) -> float:
        return self._mean(self._edges, kind, _EDGE[kind[0]])

    def _mean(self, table: dict[Hashable, float], kind: Kind, prior: float) -> float:
        """A kind's mean, shrunk to that of its first two fields, shrunk to the prior."""
        coarse = kind[:2]
        base = (table.get(coarse, 0.0) + _PSEUDO * prior) / (self._exposed.get(coarse, 0.0) + _PSEUDO)
        return (table.get(kind, 0.0) + _PSEUDO * base) / (self._exposed.get(kind, 0.0) + _PSEUDO)

    @staticmethod
    def _add(table: dict[Hashable, float], kind: Kind, amount: float) -> None:
        for name in (kind, kind[:2]):
            table[name] = table.get(name, 0.0) + amount
