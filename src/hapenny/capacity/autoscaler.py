"""The scaling controller: how many servers the traffic of the next minutes wants, told by tokens and not by requests.

Theory of operation. A request is as much work as its tokens: requests a second say little where one prompt has fifty
tokens and the next 5,000. The controller follows the level of work that arrives (prompt tokens, and answers as long as
answers have lately been, weighted). It measures how far work has outrun that level by the time a server started then
would have served: the *bursts* of the last hours. Level times bursts is what may come. Of the numbers of servers it
wants the one that costs least in the mean over it: a server costs one an hour, work that finds none spills over at
`spill_price` times what it would have cost on a full server (a newsvendor's choice, on what was measured). Where
nothing can spill, work that finds no server counts a hundredfold, so that the number carries 99 of 100 bursts.

How long a level should look back differs: a trend wants a quick one; bursts that are over before a server has started
want a slow one. Four run side by side (`LEVELS`), each with its own bursts, and the one whose wants would have cost
least over the last hours is followed.

More servers are started at once. Fewer only when fewer have been enough for `calm_s`; each is drained before it stops.
By default that is as long as a server's absence would cost more than its staying, if it were wanted again:
`spill_price` times the time to start (the rule for renting skis). A forecast may only raise the want
(`forecast.DayForecast` answers only while over the past day it has been nearer to what came than the last value).
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable

from msgspec import Struct

LEVELS = (60.0, 180.0, 600.0, 1800.0)
"""Seconds over which the levels are smoothed."""
_FIRST = 1
"""Which of them is followed while nothing is known."""
_MEMORY_S = 2 * 3600.0
"""How far back bursts are remembered, and about how far back the levels are judged."""
_PLAIN = (0.85, 0.9, 0.95, 1.0, 1.0, 1.05, 1.1, 1.15, 1.2)
"""Bursts where none has been measured."""


class ScalerOptions(Struct, frozen=True, kw_only=True):
    """How the controller decides; times in seconds."""

    work_per_s: float
    """Weighted tokens that a server does a second when it is full."""
    target: float = 0.95
    """Share of that which it is to do: what is left holds the time to first token."""
    least: int = 1
    most: int = 64
    start_s: float = 180.0
    """From the start of a server until it serves."""
    fast_s: float = 90.0
    """How long a burst is: what is shorter, queues absorb."""
    calm_s: float | None = None
    """How long fewer servers must have been enough before one is stopped; None: by the prices."""
    output_weight: float = 5.0
    """What an answer's token weighs against a prompt's."""
    spill_price: float | None = None
    """What work costs that spills over, against the same on a full server; None: nothing can spill."""
    output_tokens: float = 200.0
    """How long answers are taken to be before any has ended."""

    @property
    def calm(self) -> float:
        """Seconds that fewer servers must have been enough."""
        return self.calm_s if self.calm_s is not None else (self.spill_price or 3.0) * self.start_s

    @property
    def price(self) -> float:
        """What work costs that finds no server."""
        return self.spill_price if self.spill_price is not None else 100.0


class Wanted(Struct, frozen=True, kw_only=True):
    """What the controller wants now, and why."""

    servers: int
    work_per_s: float
    """Weighted tokens a second that arrive: the level that is followed."""
    headroom: float
    """What the wanted servers carry, against that."""
    waiting_s: float
    """Seconds of all servers' work that wait inside."""
    why: str


class Autoscaler:
    """Call `arrived` and `answered` for each request, `wants` at each tick.

    Args:
        options: of the controller.
        forecast: (seconds ahead) -> weighted tokens a second, or None where it knows no better than the last value.
    """

    def __init__(self, options: ScalerOptions, forecast: Callable[[float], float | None] | None = None) -> None:
        self.options = options
        self._forecast = forecast
        self._pending = 0.0
        self._requests = 0
        self._output = options.output_tokens
        self._since: float | None = None
        self._before = 0.0
        self._fast: float | None = None
        self._levels = [_Level(span, options) for span in LEVELS]
        self._peaks: deque[tuple[float, int]] = deque()

    def arrived(self, input_tokens: float) -> None:
        """A request came."""
        self._pending += input_tokens
        self._requests += 1

    def answered(self, output_tokens: float) -> None:
        """An answer has ended: answers are as long as the last few hundred were."""
        self._output += 0.005 * (output_tokens - self._output)

    def wants(self, now: float, waiting: float = 0.0, running: int = 0) -> Wanted:
        """How many servers are wanted.

        Args:
            now: seconds, of a clock that only goes on.
            waiting: weighted tokens that wait inside the servers.
            running: servers that run or start. As long as the controller itself has not looked on for the time by which
                it takes one away, it takes none away.
        """
        options = self.options
        if self._since is None:
            self._since = self._before = now
            self._peaks.append((now, max(running, options.least)))
        self._observe(now)
        followed = min(self._levels, key=lambda each: each.cost) if self._fast is not None else self._levels[_FIRST]
        if followed.cost == math.inf:
            followed = self._levels[_FIRST]
        level, count = followed.value, followed.count
        # What waits is to be worked off within the time that a server takes to start.
        owed = waiting / max(options.start_s, 1.0) / (options.work_per_s * options.target)
        if owed > 0.5:
            count = self._bounded(count + math.floor(owed + 0.5))
        why = f"{level:.0f} tokens/s over {followed.span:.0f} s"
        foreseen = self._forecast(options.start_s) if self._forecast is not None else None
        if foreseen is not None and foreseen > level:
            more = followed.cheapest(foreseen)
            if more > count:
                count, why = more, f"forecast {foreseen:.0f} tokens/s"
        while self._peaks and self._peaks[-1][1] <= count:
            self._peaks.pop()
        self._peaks.append((now, count))
        while self._peaks[0][0] < now - options.calm:
            self._peaks.popleft()
        held = self._peaks[0][1]
        if held > count:
            why += f"; {count} wanted, held for {options.calm:.0f} s"
        return Wanted(
            servers=held,
            work_per_s=level,
            headroom=held * options.work_per_s * options.target / level if level > 0 else 1.0,
            waiting_s=waiting / max(1e-9, options.work_per_s * max(1, held)),
            why=why,
        )

    def _bounded(self, count: int) -> int:
        return min(self.options.most, max(self.options.least, count))

    def _observe(self, now: float) -> None:
        """Tells the levels what arrived since the last tick."""
        options, span = self.options, now - self._before
        if span <= 0:
            return
        rate = (self._pending + self._requests * options.output_weight * self._output) / span
        self._pending, self._requests, self._before = 0.0, 0, now
        assert self._since is not None
        seen = now - self._since
        self._fast = _smoothed(self._fast, rate, span, min(options.fast_s, seen))
        for level in self._levels:
            level.observe(now, rate, self._fast, span, seen)


class _Level:
    """Work smoothed over one span, the bursts above it, and what following it would have cost."""

    def __init__(self, span: float, options: ScalerOptions) -> None:
        self.span = span
        self.value = 0.0
        self.count = options.least
        self.cost = math.inf
        self._options = options
        self._carried = options.work_per_s * options.target
        self._value: float | None = None
        self._past: deque[tuple[float, float, int]] = deque()
        self._bursts: deque[tuple[float, float]] = deque()
        self._ordered: list[float] = []
        self._paid = self._weight = 0.0

    def observe(self, now: float, rate: float, fast: float, span: float, seen: float) -> None:
        """Work came at `rate` for `span` seconds; `seen`: for how long anybody has looked."""
        options = self._options
        self._value = self.value = _smoothed(self._value, rate, span, min(self.span, seen))
        if seen >= min(self.span, 180.0):
            self._past.append((now, self.value, self.count))
            while len(self._past) > 1 and self._past[1][0] <= now - options.start_s:
                self._past.popleft()
            then, was, wanted = self._past[0]
            if then <= now - options.start_s and was > 0:
                self._burst(now, fast / was)
                over = max(0.0, fast / self._carried - wanted)
                keep = math.exp(-span / _MEMORY_S)
                self._paid = keep * self._paid + (wanted + options.price * over) * span
                self._weight = keep * self._weight + span
                # A level is judged from the time on by which all of them have been.
                if seen >= 2 * options.start_s + 180.0:
                    self.cost = self._paid / self._weight
        self.count = self.cheapest(self.value)

    def _burst(self, now: float, ratio: float) -> None:
        self._bursts.append((now, ratio))
        insort(self._ordered, ratio)
        while self._bursts[0][0] < now - _MEMORY_S:
            _, old = self._bursts.popleft()
            del self._ordered[bisect_left(self._ordered, old)]

    def cheapest(self, level: float) -> int:
        """The number of servers that costs least in the mean over what may come."""
        options = self._options
        bursts = self._ordered if len(self._ordered) >= 12 else _PLAIN
        unit, total = level / self._carried, len(bursts)
        count = options.least
        # One more server pays while it would be used for more than 1 / price of the time, parts of it counted.
        while count < options.most:
            used = 0.0
            for burst in reversed(bursts):
                over = burst * unit - count
                if over <= 0:
                    break
                used += over if over < 1 else 1.0
            if options.price * used <= total:
                break
            count += 1
        return count


def _smoothed(old: float | None, new: float, span: float, over: float) -> float:
    return new if old is None else old + (1 - math.exp(-span / over)) * (new - old)
