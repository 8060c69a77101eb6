"""Where cache points go: at most four, never below the provider's minimum, only where they are expected to pay."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from msgspec import Struct

from hapenny.caching.prefix.reuse import Reuse, Tariff

_BLOCK = 512.0
MOST_POINTS = 4
MINIMUM_TOKENS = 1_024
LOOKBACK = 20
"""Segments before a point in which providers find an earlier one (Anthropic, Bedrock)."""
_AHEAD = 0.01
"""Share of all input by which writes may be ahead of what reads have brought."""
_WRITES_AHEAD = 10
"""Cheap writes that may be besides."""
_MEMORY = 400.0
"""Prompts over which a policy on paper is followed, older ones fading."""
_WARM = 20.0
"""Prompts before a policy on paper is believed."""
_LEAD = 0.01
"""Share of the input by which writing everything must have gained more than the learner before it is done."""


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


class _Paper:
    """Points that were only set on paper, and until when each would live."""

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._until: dict[Hashable, float] = {}
        self._swept = 0.0

    def read(self, chain: Sequence[Hashable], now: float) -> int:
        """The deepest depth with a point that lives; 0 for none."""
        return next((d for d in range(len(chain), 0, -1) if self._until.get(chain[d - 1], -1.0) >= now), 0)

    def set(self, segment: Hashable, now: float) -> None:
        """Sets a point, or renews it."""
        self._until[segment] = now + self._ttl

    def sweep(self, now: float) -> None:
        """Forgets what is dead, once a lifetime."""
        if now - self._swept > self._ttl:
            self._swept = now
            self._until = {segment: until for segment, until in self._until.items() if until >= now}


class _Everything:
    """On paper: a point at the end of every prompt, as who does not plan would write it. A learner that knows nothing
    yet of a kind of traffic, or nothing that helps, is no worse than this for long."""

    def __init__(self, tariff: Tariff) -> None:
        self._tariff = tariff
        self._points = _Paper(tariff.ttl)
        self._prompts = self._asked = self._gained = self._learnt = 0.0

    def follow(self, chain: Sequence[Hashable], depths: Sequence[int], least: int, learnt: float, now: float) -> None:
        """Plans one more prompt. `learnt`: what the learner gained on it, in input tokens."""
        if not depths:
            return
        read = self._points.read(chain, now)
        below = depths[read - 1] if read else 0
        gained = (1 - self._tariff.read) * below
        if read:
            self._points.set(chain[read - 1], now)
        if depths[-1] >= least and read < len(chain):
            gained -= self._tariff.premium * (depths[-1] - below)
            self._points.set(chain[-1], now)
        keep = 1 - 1 / _MEMORY
        self._prompts = self._prompts * keep + 1
        self._asked = self._asked * keep + depths[-1]
        self._gained = self._gained * keep + gained
        self._learnt = self._learnt * keep + learnt
        self._points.sweep(now)

    @property
    def learner_pays(self) -> bool:
        """Whether what the learner would have written pays of late."""
        return self._prompts >= _WARM and self._learnt > 0.0

    @property
    def leads(self) -> bool:
        """Whether it pays of late, and better than what is learnt."""
        ahead = self._gained - max(0.0, self._learnt)
        return self._prompts >= _WARM and ahead > _LEAD * self._asked


class _Account:
    """One lifetime on offer: its tariff, what is learnt about reuse within it, and whether it has paid so far."""

    def __init__(self, tariff: Tariff, shorter: Tariff | None = None) -> None:
        self.tariff = tariff
        self.reuse = Reuse(tariff, shorter)
        self._balance = 0.0
        """What reads saved less what writes cost beyond plain input, in input tokens."""
        self._paper = 0.0
        """The same, had every write been made that was expected to pay."""
        self._points = _Paper(tariff.ttl)
        self._every = _Everything(tariff)

    @property
    def everything(self) -> bool:
        """Whether to write the whole prompt, whatever is learnt of its parts."""
        return not self.tariff.dear and self._every.leads

    def affords(self, written: float, asked: float) -> bool:
        """Whether a write may run ahead of what reads have brought: by little, whatever is learnt, as traffic may be
        like none that was seen before and turn from what paid. So caching never costs much more than none. A dear write
        may also be covered by what would have been saved, once what is learnt pays on paper."""
        cost = self.tariff.premium * written
        if self.tariff.dear:
            covered = max(0.0, self._paper) if self._every.learner_pays else 0.0
            return cost <= self._balance + covered + _AHEAD * asked
        return cost <= self._balance + _AHEAD * asked + _WRITES_AHEAD * cost

    def book(self, saved: float, written: float) -> None:
        """Books what a read saved and a write cost."""
        self._balance += saved - self.tariff.premium * written

    def follow(
        self, chain: Sequence[Hashable], gains: Sequence[float], tokens: Sequence[int], depths: Sequence[int],
        least: int, now: float,
    ) -> None:  # fmt: skip
        """Goes on with the accounts on paper: every write that looks worth it is made, or every one, and nothing is
        paid."""
        before = self._paper
        self._learn_on_paper(chain, gains, tokens, depths, least, now)
        self._every.follow(chain, depths, least, self._paper - before, now)

    def _learn_on_paper(
        self, chain: Sequence[Hashable], gains: Sequence[float], tokens: Sequence[int], depths: Sequence[int],
        least: int, now: float,
    ) -> None:  # fmt: skip
        read = self._points.read(chain, now)
        best, _ = _deepest(gains, tokens, depths, read, least)
        below = depths[read - 1] if read else 0
        self._paper += (1 - self.tariff.read) * below
        if best:
            self._paper -= self.tariff.premium * (depths[best - 1] - below)
        for depth in range(max(read, 1), max(best, read) + 1):
            if depths[depth - 1] >= least:
                self._points.set(chain[depth - 1], now)
        self._points.sweep(now)


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
        read = next((d for d in range(len(chain), 0, -1) if self._lives(chain[d - 1], now)), 0)
        below = depths[read - 1] if read else 0
        self._asked += depths[-1] if depths else 0
        saved = 0.0
        if read:
            live = self._live[chain[read - 1]]
            live.until = now + live.account.tariff.ttl
            saved = (1 - live.account.tariff.read) * below
            live.account.book(saved, 0)
        known = self._accounts[0].reuse.known(chain)
        best, best_gain, chosen = 0, 0.0, self._accounts[0]
        edges: list[float] | None = None
        for account in self._accounts:
            edges = account.reuse.observe(chain, depths[-1] / self._block if depths else 0.0, now, edges)
            gains = self._gains(account.reuse, edges, depths)
            account.follow(chain, gains, tokens, depths, self._minimum, now)
            depth, gain = _deepest(gains, tokens, depths, read, self._minimum)
            if account.everything and depths and depths[-1] >= self._minimum and read < len(chain):
                depth, gain = len(chain), max(gain, 1e-9 * depths[-1])
            if gain > best_gain and account.affords(depths[depth - 1] - below, self._asked):
                best, best_gain, chosen = depth, gain, account
        written = depths[best - 1] - below if best else 0
        chosen.book(0.0, written)
        if best:
            points = [best, *self._branches(chain, best, read, known, depths)]
        else:
            points = [read, *self._shared(chain, read, depths)] if read else []
        points = points[: self._most]
        if best and read and min(points) - read >= LOOKBACK:
            # Providers look for what they have at a point and a few segments before it, no further.
            points = [*points[: self._most - 1], read]
        ttls = self._set(chain, points, chosen, now)
        self._sweep(now)
        return PrefixPlan(tuple(points), ttls, read, written, saved + best_gain)

    def forget(self, chain: Sequence[Hashable]) -> None:
        """The provider reported no read where one was believed: these points are dead."""
        for segment in chain:
            self._live.pop(segment, None)

    def _lives(self, segment: Hashable, now: float) -> bool:
        live = self._live.get(segment)
        return live is not None and live.until >= now

    def _gains(self, reuse: Reuse, edges: Sequence[float], depths: Sequence[int]) -> list[float]:
        """What writing each segment gains, per token."""
        gains = [reuse.advantage(edge) for edge in edges]
        first = next((at for at, count in enumerate(depths) if count >= self._minimum), len(gains))
        if first < len(gains):
            # What lies below the minimum is only ever read through a point at the first depth that may have one.
            gains[:first] = [min(gain, gains[first]) for gain in gains[:first]]
        return gains

    def _set(self, chain: Sequence[Hashable], points: list[int], chosen: _Account, now: float) -> tuple[float, ...]:
        """Sets or renews the points, deepest first; the lifetimes to ask for."""
        ttls: dict[int, float] = {}
        least = 0.0
        for depth in sorted(points, reverse=True):
            segment = chain[depth - 1]
            account = self._live[segment].account if self._lives(segment, now) else chosen
            self._live[segment] = _Live(now + account.tariff.ttl, account)
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
            self._live = {segment: live for segment, live in self._live.items() if live.until >= now}


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
