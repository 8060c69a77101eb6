"""Where cache points go: at most four, never below the provider's minimum, only where they are expected to pay.

Theory of operation. What is learnt about reuse (`reuse.py`) says how deep to write. Its start values fit some traffic
and not other, so two ways that learn nothing are followed beside it on paper: to write nothing, and to write every
prompt to its end, once for each lifetime. What each would have cost so far is known, since every request shows what
it would have read; a cheap write is counted when its lifetime is over, as it pays later than it costs. Where one of
them is ahead by more than a share of all input, it acts, until what is learnt has caught up; so the bill ends near
that of the best of them, whatever the traffic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from typing import Literal

from msgspec import Struct

from hapenny.caching.prefix.reuse import Reuse, Tariff

_BLOCK = 512.0
MOST_POINTS = 4
MINIMUM_TOKENS = 1_024
LOOKBACK = 20
"""Segments before a point in which providers find an earlier one (Anthropic, Bedrock)."""
_CREDIT = 0.001
"""Share of all input by which dear writes may be ahead of what reads have brought."""
_BEHIND, _CAUGHT_UP = 0.006, 0.003
"""Share of all input by which what is learnt must be behind a way that learns nothing before that one acts, and by
which it may still be behind when it acts again."""
_PATIENCE = 100_000.0
"""Input tokens by which it may be behind besides, so that the first few requests decide nothing."""
_PAYS_AFTER = 0.3
"""Part of a lifetime after which a cheap write is counted: most of its reads have come by then."""


class PrefixPlan(Struct, frozen=True):
    """Depths (numbers of leading segments) behind which a cache point goes, deepest first.

    `ttls` are the lifetimes to ask for, seconds, never rising with depth, as providers want; `reads` is the depth that
    a live point is believed to cover; `writes` the tokens written beyond it; `gain` the expected net gain over plain
    input, in input tokens, premium included.
    """

    points: tuple[int, ...]
    ttls: tuple[float, ...]
    reads: int
    writes: int
    gain: float


class _Account:
    """One lifetime on offer: its tariff, what is learnt about reuse within it, and whether it has paid so far."""

    def __init__(self, tariff: Tariff, shorter: Tariff | None = None) -> None:
        self.tariff = tariff
        self.reuse = Reuse(tariff, shorter)
        self._balance = 0.0
        """What reads saved less what writes cost beyond plain input, in input tokens."""
        self._paper = 0.0
        """The same, had every write been made that was expected to pay."""
        self._papers: dict[Hashable, float] = {}
        self._swept = 0.0

    def affords(self, written: float, asked: float) -> bool:
        """Whether a write may run ahead of what reads have brought. A dear one must be covered by what has been saved
        or would have been, so that a long lifetime does not end up dearer than no caching."""
        if not self.tariff.dear:
            return True
        return self._paper >= 0 and self.tariff.premium * written <= self._balance + self._paper + _CREDIT * asked

    def book(self, saved: float, written: float) -> None:
        """Books what a read saved and a write cost."""
        self._balance += saved - self.tariff.premium * written

    def follow(
        self, chain: Sequence[Hashable], gains: Sequence[float], tokens: Sequence[int], depths: Sequence[int],
        least: int, now: float,
    ) -> None:  # fmt: skip
        """Goes on with the account on paper: every write that looks worth it is made, and nothing is paid."""
        if not self.tariff.dear:
            return
        read = next((d for d in range(len(chain), 0, -1) if self._papers.get(chain[d - 1], -1.0) >= now), 0)
        best, _ = _deepest(gains, tokens, depths, read, least)
        below = depths[read - 1] if read else 0
        self._paper += (1 - self.tariff.read) * below
        if best:
            self._paper -= self.tariff.premium * (depths[best - 1] - below)
        for depth in range(max(read, 1), max(best, read) + 1):
            if depths[depth - 1] >= least:
                self._papers[chain[depth - 1]] = now + self.tariff.ttl
        if now - self._swept > self.tariff.ttl:
            self._swept = now
            self._papers = {segment: until for segment, until in self._papers.items() if until >= now}


class _Paper:
    """What a way of placing points costs, in input tokens at the plain price."""

    def __init__(self) -> None:
        self.cost = 0.0
        self._due: deque[tuple[float, float]] = deque()

    def book(self, plain: float, saved: float, tariff: Tariff, written: float, now: float) -> None:
        """Books a request: its tokens, what a read saved, and what was written beyond it."""
        self.cost += plain - saved
        if written and tariff.dear:
            self.cost += tariff.premium * written
        elif written:
            self._due.append((now + _PAYS_AFTER * tariff.ttl, tariff.premium * written))
        while self._due and self._due[0][0] <= now:
            self.cost += self._due.popleft()[1]


class _WriteAll:
    """Every prompt written to its end, followed on paper."""

    def __init__(self, tariff: Tariff) -> None:
        self.tariff = tariff
        self.paper = _Paper()
        self._until: dict[Hashable, float] = {}
        self._swept = 0.0

    def follow(self, chain: Sequence[Hashable], depths: Sequence[int], least: int, now: float) -> None:
        """Goes on with a request."""
        until = self._until
        read = next((d for d in range(len(chain), 0, -1) if until.get(chain[d - 1], -1.0) >= now), 0)
        below, whole = (depths[read - 1] if read else 0), (depths[-1] if depths else 0)
        if read:
            until[chain[read - 1]] = now + self.tariff.ttl
        written = whole - below if whole >= least else 0
        if whole >= least:
            until[chain[-1]] = now + self.tariff.ttl
        self.paper.book(whole, (1 - self.tariff.read) * below, self.tariff, written, now)
        if now - self._swept > self.tariff.ttl:
            self._swept = now
            self._until = {segment: end for segment, end in until.items() if end >= now}


class _Live(Struct):
    """A point that was set: when it dies, and the lifetime it was given."""

    until: float
    account: _Account


class Planner:
    """Plans cache points for one model in one account: it alone knows which points it set and when they die."""

    def __init__(
        self, *tariffs: Tariff, minimum: int = MINIMUM_TOKENS, most: int = MOST_POINTS, block: float = _BLOCK
    ) -> None:
        """`tariffs`: the lifetimes to choose from, shortest first. `block`: tokens of a typical segment, the unit in
        which prompt lengths are compared."""
        self._accounts = [_Account(tariff, shorter) for tariff, shorter in zip(tariffs, (None, *tariffs), strict=False)]
        self._minimum, self._most, self._block = minimum, most, block
        self._live: dict[Hashable, _Live] = {}
        self._learnt = self._live
        """The points there would be had what is learnt always acted: the same where it does."""
        self._paper = _Paper()
        self._alls = [_WriteAll(tariff) for tariff in tariffs]
        self._acting: _WriteAll | Literal["learnt", "nothing"] = "learnt"
        self._asked = 0.0
        """Input tokens planned for."""
        self._swept = 0.0

    def plan(self, chain: Sequence[Hashable], tokens: Sequence[int], now: float) -> PrefixPlan:
        """Plans one request and learns from it.

        Args:
            chain: one hash for each leading segment that may end in a point; each covers all bytes before it.
            tokens: of each segment, same length.
            now: seconds, rising.
        """
        depths = _running(tokens)
        whole = depths[-1] if depths else 0
        self._choose()
        read = self._read(self._live, chain, now)
        below = depths[read - 1] if read else 0
        self._asked += whole
        saved = 0.0
        if read:
            live = self._live[chain[read - 1]]
            live.until = now + live.account.tariff.ttl
            saved = (1 - live.account.tariff.read) * below
            live.account.book(saved, 0)
        known = self._accounts[0].reuse.known(chain)
        learnt = self._deepest(chain, tokens, depths, now, read, known)
        best, best_gain, chosen = learnt
        if isinstance(self._acting, _WriteAll):
            tariff = self._acting.tariff
            best, best_gain = (len(chain) if whole >= self._minimum and read < len(chain) else 0), 0.0
            chosen = next(account for account in self._accounts if account.tariff is tariff)
        elif self._acting == "nothing":
            best, best_gain = 0, 0.0
        written = depths[best - 1] - below if best else 0
        chosen.book(0.0, written)
        points = self._points(chain, depths, best, read, known)
        ttls = self._set(self._live, chain, points, chosen, now)
        if self._learnt is self._live:
            self._paper.book(whole, saved, chosen.tariff, written, now)
        for each in self._alls:
            each.follow(chain, depths, self._minimum, now)
        self._sweep(now)
        return PrefixPlan(tuple(points), ttls, read, written, saved + best_gain)

    def _choose(self) -> None:
        """Who acts on the next request."""
        ways: list[tuple[float, _WriteAll | Literal["nothing"]]] = [(self._asked, "nothing")]
        ways += [(each.paper.cost, each) for each in self._alls]
        cost, other = min(ways, key=lambda way: way[0])
        behind = self._paper.cost - cost
        if self._acting == "learnt":
            if behind > _BEHIND * self._asked + _PATIENCE:
                self._acting = other
                self._learnt = {segment: _Live(live.until, live.account) for segment, live in self._live.items()}
        elif behind < _CAUGHT_UP * self._asked:
            self._acting, self._learnt = "learnt", self._live
        else:
            self._acting = other

    def _read(self, live: dict[Hashable, _Live], chain: Sequence[Hashable], now: float) -> int:
        """The depth of the deepest point that lives."""
        for depth in range(len(chain), 0, -1):
            point = live.get(chain[depth - 1])
            if point is not None and point.until >= now:
                return depth
        return 0

    def _deepest(
        self,
        chain: Sequence[Hashable],
        tokens: Sequence[int],
        depths: Sequence[int],
        now: float,
        read: int,
        known: int,
    ) -> tuple[int, float, _Account]:
        """How deep what is learnt would write beyond `read`, what that gains, and at which lifetime. Where it does not
        act, it is followed on paper from the points it would have."""
        live = self._learnt
        apart = live is not self._live
        mine = self._read(live, chain, now) if apart else read
        below = depths[mine - 1] if mine else 0
        best, best_gain, chosen = 0, 0.0, self._accounts[0]
        edges: list[float] | None = None
        for account in self._accounts:
            edges = account.reuse.observe(chain, depths[-1] / self._block if depths else 0.0, now, edges)
            gains = self._gains(account.reuse, edges, depths)
            account.follow(chain, gains, tokens, depths, self._minimum, now)
            depth, gain = _deepest(gains, tokens, depths, mine, self._minimum)
            if gain > best_gain and account.affords(depths[depth - 1] - below, self._asked):
                best, best_gain, chosen = depth, gain, account
        if apart:
            saved = 0.0
            if mine:
                point = live[chain[mine - 1]]
                point = live[chain[mine - 1]] = _Live(now + point.account.tariff.ttl, point.account)
                saved = (1 - point.account.tariff.read) * below
            written = depths[best - 1] - below if best else 0
            self._set(live, chain, self._points(chain, depths, best, mine, known), chosen, now)
            self._paper.book(depths[-1] if depths else 0, saved, chosen.tariff, written, now)
        return best, best_gain, chosen

    def _points(self, chain: Sequence[Hashable], depths: Sequence[int], best: int, read: int, known: int) -> list[int]:
        """The points of a request that is written to `best` (0: not) and read to `read`."""
        if best:
            points = [best, *self._branches(chain, best, read, known, depths)]
        else:
            points = [read, *self._shared(chain, read, depths)] if read else []
        points = points[: self._most]
        if best and read and min(points) - read >= LOOKBACK:
            # Providers look for what they have at a point and a few segments before it, no further.
            points = [*points[: self._most - 1], read]
        return points

    def forget(self, chain: Sequence[Hashable]) -> None:
        """The provider reported no read where one was believed: these points are dead."""
        for segment in chain:
            self._live.pop(segment, None)
            self._learnt.pop(segment, None)

    def _gains(self, reuse: Reuse, edges: Sequence[float], depths: Sequence[int]) -> list[float]:
        """What writing each segment gains, per token."""
        gains = [reuse.advantage(edge) for edge in edges]
        first = next((at for at, count in enumerate(depths) if count >= self._minimum), len(gains))
        if first < len(gains):
            # What lies below the minimum is only ever read through a point at the first depth that may have one.
            gains[:first] = [min(gain, gains[first]) for gain in gains[:first]]
        return gains

    def _set(
        self, live: dict[Hashable, _Live], chain: Sequence[Hashable], points: list[int], chosen: _Account, now: float
    ) -> tuple[float, ...]:
        """Sets or renews the points, deepest first; the lifetimes to ask for."""
        ttls: dict[int, float] = {}
        least = 0.0
        for depth in sorted(points, reverse=True):
            segment = chain[depth - 1]
            known = live.get(segment)
            account = known.account if known is not None and known.until >= now else chosen
            live[segment] = _Live(now + account.tariff.ttl, account)
            least = ttls[depth] = max(least, account.tariff.ttl)
        return tuple(ttls[depth] for depth in points)

    def _branches(self, chain: Sequence[Hashable], top: int, read: int, known: int, depths: Sequence[int]) -> list[int]:
        """Further points below `top`, which cost nothing: where returning prompts are likely to leave this one.

        The depth seen before comes first; then greedily the depths that save most over the learnt tails.
        """
        allowed = [d for d in range(read + 1, top) if depths[d - 1] >= self._minimum]
        chosen = [top] + ([known] if known in allowed else [])
        tails = self._accounts[0].reuse.tails.items()
        shared = [(min(len(chain) - tail, top), count) for tail, count in tails if len(chain) - tail > read]
        shared += [(min(head, top), count) for head, count in self._accounts[0].reuse.heads.items() if head > read]
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

    def _shared(self, chain: Sequence[Hashable], read: int, depths: Sequence[int]) -> list[int]:
        """Points to keep alive below the one that is read: where most prompts left this one before."""
        uses = self._accounts[0].reuse.uses
        lost = [(uses(chain[d - 1]) - uses(chain[d]), d) for d in range(1, read) if depths[d - 1] >= self._minimum]
        return [depth for count, depth in sorted(lost, reverse=True) if count > 0]

    def _sweep(self, now: float) -> None:
        if now - self._swept > min(account.tariff.ttl for account in self._accounts):
            self._swept = now
            apart = self._learnt is not self._live
            self._live = {segment: live for segment, live in self._live.items() if live.until >= now}
            self._learnt = (
                {segment: live for segment, live in self._learnt.items() if live.until >= now} if apart else self._live
            )


def _deepest(
    gains: Sequence[float], tokens: Sequence[int], depths: Sequence[int], read: int, least: int
) -> tuple[int, float]:
    """The depth beyond `read` to write to that gains most, and the gain in input tokens."""
    best, best_gain, gain = 0, 0.0, 0.0
    for depth in range(read + 1, len(gains) + 1):
        gain += gains[depth - 1] * tokens[depth - 1]
        if gain > best_gain and depths[depth - 1] >= least:
            best, best_gain = depth, gain
    return best, best_gain


def _running(tokens: Sequence[int]) -> list[int]:
    out: list[int] = []
    total = 0
    for count in tokens:
        total += count
        out.append(total)
    return out
