"""Live measures of the models in use: time to first token (TTFT), time per output token (TPOT), failures.

Both times count only what was spent waiting for upstream: a slow reader of ours does not make a model look slow.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable

from hapenny.core.clock import Clock
from hapenny.core.exchange import SERVING, Call

KEPT = 512
"""Samples of a window."""
MODELS = 512
MIN_TOKENS = 8
"""Shorter answers say nothing about the pace."""


class Window:
    """The last samples of one measure, by age and by number."""

    __slots__ = ("_samples", "_seconds", "_sorted")

    def __init__(self, seconds: float, kept: int = KEPT) -> None:
        self._seconds = seconds
        self._samples: deque[tuple[float, float]] = deque(maxlen=kept)
        self._sorted: list[float] = []

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, now: float, value: float) -> None:
        """Takes a sample; the oldest leave."""
        if len(self._samples) == self._samples.maxlen:
            self._drop()
        self._samples.append((now, value))
        insort(self._sorted, value)
        if self._samples[0][0] < now - self._seconds:
            self.expire(now)

    def expire(self, now: float) -> None:
        """Lets samples go that are too old."""
        while self._samples and self._samples[0][0] < now - self._seconds:
            self._drop()

    def quantile(self, q: float) -> float | None:
        """The `q`th quantile (0 to 1, nearest rank) of what is in the window."""
        known = self._sorted
        return known[min(len(known) - 1, int(q * len(known)))] if known else None

    def mean(self) -> float:
        """The mean of what is in the window; 0 where nothing is."""
        return sum(value for _, value in self._samples) / len(self._samples) if self._samples else 0.0

    def _drop(self) -> None:
        _, value = self._samples.popleft()
        del self._sorted[bisect_left(self._sorted, value)]


class Pace:
    """One model: seconds to the first token, per further token, of whole calls; share of calls that failed."""

    __slots__ = ("failures", "tpot", "ttft", "whole")

    def __init__(self, seconds: float) -> None:
        self.ttft = Window(seconds)
        self.tpot = Window(seconds)
        self.whole = Window(seconds)
        self.failures = Window(seconds)
        """1.0 for a failed call, 0.0 for another."""

    @property
    def failure_share(self) -> float:
        """Failed calls of the window, 0 to 1."""
        return self.failures.mean()


class Live:
    """The pace of each (model, region).

    Args:
        clock: the deployment's clock.
        window_s: how long a sample counts.
    """

    def __init__(self, clock: Clock, window_s: float = 300.0) -> None:
        self.canonical: Callable[[str], str] = str
        """The one name of a model, whatever it was called."""
        self._clock = clock
        self._window = window_s
        self._paces: OrderedDict[tuple[str, str], Pace] = OrderedDict()

    def observe(self, call: Call) -> None:
        """Takes a call that ended."""
        if call.purpose not in SERVING:
            return
        pace = self.pace(self.canonical(call.target.model), call.target.region)
        now = self._clock.now()
        if call.outcome == "failed":
            pace.failures.add(now, 1.0)
            return
        if call.began is None or call.ended is None:
            return
        pace.failures.add(now, 0.0)
        pace.whole.add(now, call.ended - call.started)
        if call.request is None or not call.request.stream:
            return  # it began when it was finished: no measure of either
        pace.ttft.add(now, call.began - call.started)
        tokens = call.tokens.output if call.tokens is not None and call.provenance == "reported" else 0
        if tokens >= MIN_TOKENS:
            spent = call.ended - call.began if call.waited is None else call.waited
            pace.tpot.add(now, spent / (tokens - 1))

    def pace(self, model: str, region: str = "") -> Pace:
        """The measures of a model."""
        key = (model, region)
        pace = self._paces.get(key)
        if pace is None:
            pace = self._paces[key] = Pace(self._window)
            if len(self._paces) > MODELS:
                self._paces.popitem(last=False)
        else:
            self._paces.move_to_end(key)
        return pace

    def ttft(self, model: str, q: float = 0.5, region: str = "") -> float | None:
        """Seconds to the first token, a quantile of the window; None: not measured."""
        window = self.pace(model, region).ttft
        window.expire(self._clock.now())
        return window.quantile(q)

    def tpot(self, model: str, q: float = 0.5, region: str = "") -> float | None:
        """Seconds per output token, a quantile of the window; None: not measured."""
        window = self.pace(model, region).tpot
        window.expire(self._clock.now())
        return window.quantile(q)

    def whole(self, model: str, q: float = 0.5, region: str = "") -> float | None:
        """Seconds of a whole call, a quantile of the window; None: not measured."""
        window = self.pace(model, region).whole
        window.expire(self._clock.now())
        return window.quantile(q)

    def snapshot(self) -> dict[str, dict[str, float | int | None]]:
        """All models, for the console: seconds, counts, shares."""
        now = self._clock.now()
        paces = {}
        for (model, region), pace in self._paces.items():
            for window in (pace.ttft, pace.tpot, pace.whole, pace.failures):
                window.expire(now)
            paces[f"{model}@{region}" if region else model] = {
                "calls": len(pace.failures),
                "ttft_p50_s": pace.ttft.quantile(0.5),
                "ttft_p95_s": pace.ttft.quantile(0.95),
                "tpot_p50_s": pace.tpot.quantile(0.5),
                "tpot_p95_s": pace.tpot.quantile(0.95),
                "whole_p95_s": pace.whole.quantile(0.95),
                "failure_share": pace.failure_share,
            }
        return paces
