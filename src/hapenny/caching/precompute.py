"""Pre-computation: which questions to answer ahead, in the cheapest way, within a budget.

A question's demand is forecast from when it was asked: an exponentially decayed rate (half-life a day), times how much
the coming hours lie above its own mean in the hours of the week. What is asked predictably, expensively and is not
stored yet comes first; a question is only answered ahead if it is expected to save more than it costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

HALF_LIFE = 86_400.0
_HOUR = 3_600.0
_WEEK = 168


class Asked(Struct, frozen=True):
    """One request of the ledger: fingerprint of the question, epoch seconds, what it cost in nano-dollars."""

    fingerprint: str
    at: float
    cost: int


class Planned(Struct, frozen=True):
    """A question to answer ahead. Money in nano-dollars."""

    fingerprint: str
    expected: float
    """Requests expected within the horizon."""
    cost: int
    saves: int
    """Expected saving, its own cost subtracted."""


class Demand:
    """How often each question is asked, learnt from the ledger; bounded to the 50,000 most recent questions."""

    def __init__(self, most: int = 50_000) -> None:
        self._most = most
        self._questions: dict[str, _Question] = {}

    def add(self, requests: Iterable[Asked]) -> None:
        """Reads requests in order of time."""
        for asked in requests:
            question = self._questions.pop(asked.fingerprint, None) or _Question()
            question.see(asked.at, asked.cost)
            self._questions[asked.fingerprint] = question
            if len(self._questions) > self._most:
                self._questions.pop(next(iter(self._questions)))

    def plan(
        self,
        now: float,
        *,
        horizon: float,
        budget: int,
        stored: Callable[[str], bool],
        discount: float = 0.5,
        least: float = 2.0,
    ) -> list[Planned]:
        """What to answer ahead, best first, within `budget` nano-dollars.

        Args:
            horizon: seconds an answer stays fresh.
            stored: whether a question is answered already.
            discount: price of the cheapest way against on demand: 0.5 for batch.
            least: requests a question must be expected to bring.
        """
        found: list[Planned] = []
        for fingerprint, question in self._questions.items():
            if stored(fingerprint):
                continue
            expected = question.expected(now, horizon)
            mean = question.cost / question.uses
            cost = math.ceil(mean * discount)
            saves = int(expected * mean) - cost
            if expected >= least and saves > 0:
                found.append(Planned(fingerprint, expected, cost, saves))
        found.sort(key=lambda planned: (-planned.saves / max(planned.cost, 1), planned.fingerprint))
        out: list[Planned] = []
        for planned in found:
            if planned.cost <= budget:
                budget -= planned.cost
                out.append(planned)
        return out


class _Question:
    __slots__ = ("cost", "first", "last", "rate", "uses", "week")

    def __init__(self) -> None:
        self.rate = 0.0
        self.last = 0.0
        self.first = 0.0
        self.uses = 0
        self.cost = 0
        self.week: dict[int, int] = {}

    def see(self, at: float, cost: int) -> None:
        if not self.uses:
            self.first = at
        self.rate = self.rate * 0.5 ** ((at - self.last) / HALF_LIFE) + 1.0 if self.uses else 1.0
        self.last, self.uses, self.cost = at, self.uses + 1, self.cost + cost
        hour = int(at // _HOUR) % _WEEK
        self.week[hour] = self.week.get(hour, 0) + 1

    def expected(self, now: float, horizon: float) -> float:
        """Requests within `horizon` seconds: decayed count over its window, times the coming hours' share."""
        decayed = self.rate * 0.5 ** (max(0.0, now - self.last) / HALF_LIFE)
        span = max(now - self.first, _HOUR)
        window = HALF_LIFE / math.log(2) * (1 - 0.5 ** (span / HALF_LIFE))
        return float(decayed / window * horizon * self._season(now, horizon))

    def _season(self, now: float, horizon: float) -> float:
        """How much the coming hours lie above the question's mean hour; 1 with under two weeks of evidence."""
        if self.uses < 20 or self.last - self.first < 2 * _WEEK * _HOUR:
            return 1.0
        hours = max(1, min(_WEEK, round(horizon / _HOUR)))
        start = int(now // _HOUR)
        coming = sum(self.week.get((start + step) % _WEEK, 0) for step in range(hours)) / hours
        return (coming + 0.5) / (sum(self.week.values()) / _WEEK + 0.5)


def warm_up(stored: Sequence[tuple[str, int]], most: int) -> list[str]:
    """After a deploy or a new epoch: the fingerprints to answer first, by hits of the entries that went (key, hits)."""
    ranked = sorted(stored, key=lambda item: (-item[1], item[0]))
    return [fingerprint for fingerprint, hits in ranked[:most] if hits > 0]
