"""Pre-computation: which questions to answer ahead, in the cheapest way, within a budget.

A question's demand is forecast from when it was asked: an exponentially decayed rate (half-life a day), times how much
the coming hours lie above its own mean in the hours of the week. An answer ahead saves one answer on demand if the
question comes at all while it is fresh (later requests would have found the first one's answer), so its worth is the
chance of that, by Poisson's law, times the price on demand, less what it costs itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import msgspec
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
    """Requests expected while the answer is fresh and the present one is not."""
    cost: int
    saves: int
    """Expected saving, its own cost subtracted, and with what nobody's waiting is worth."""


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

    def expected(self, fingerprint: str, since: float, until: float, now: float) -> float:
        """Requests expected between two moments (epoch seconds)."""
        question = self._questions.get(fingerprint)
        return question.expected(now, since, until) if question is not None else 0.0

    def plan(
        self,
        now: float,
        *,
        horizon: float,
        budget: int,
        stored: Callable[[str], bool],
        discount: float = 0.5,
        least: float = 2.0,
        delay: float = 0.0,
        expires: Callable[[str], float] = lambda fingerprint: 0.0,
        wait_worth: float = 0.25,
    ) -> list[Planned]:
        """What to answer ahead, best first, within `budget` nano-dollars.

        Args:
            horizon: seconds an answer stays fresh.
            stored: whether a question needs no answer now.
            discount: price of the cheapest way against on demand: 0.5 for batch.
            least: requests a question must be expected to bring.
            delay: seconds until the answer is there.
            expires: until when the answer that is there now serves; 0: there is none.
            wait_worth: what it is worth that nobody waits, as a share of the price on demand.
        """
        found: list[Planned] = []
        for fingerprint, question in self._questions.items():
            if stored(fingerprint):
                continue
            lands = now + delay
            expected = question.expected(now, max(lands, expires(fingerprint)), lands + horizon)
            mean = question.cost / question.uses
            cost = math.ceil(mean * discount)
            saves = int(-math.expm1(-expected) * mean * (1 + wait_worth)) - cost
            if expected >= least and saves > 0:
                found.append(Planned(fingerprint, expected, cost, saves))
        found.sort(key=lambda planned: (-planned.saves / max(planned.cost, 1), planned.fingerprint))
        out: list[Planned] = []
        for planned in found:
            if planned.cost <= budget:
                budget -= planned.cost
                out.append(planned)
        return out

    def dumps(self) -> bytes:
        """What `loads` takes over after a restart; keyed fingerprints and counts, no text."""
        return msgspec.msgpack.encode({name: question.state() for name, question in self._questions.items()})

    def loads(self, data: bytes) -> None:
        """Takes over a dump. `MsgspecError` or ValueError on nonsense."""
        for name, state in msgspec.msgpack.decode(data, type=dict[str, _State]).items():
            self._questions.setdefault(name, _Question(state))


class _State(Struct, array_like=True):
    rate: float = 0.0
    last: float = 0.0
    first: float = 0.0
    uses: int = 0
    cost: int = 0
    week: dict[int, int] = {}


class _Question:
    __slots__ = ("cost", "first", "last", "rate", "uses", "week")

    def __init__(self, state: _State | None = None) -> None:
        state = state or _State()
        self.rate, self.last, self.first = state.rate, state.last, state.first
        self.uses, self.cost, self.week = state.uses, state.cost, dict(state.week)

    def state(self) -> _State:
        return _State(self.rate, self.last, self.first, self.uses, self.cost, self.week)

    def see(self, at: float, cost: int) -> None:
        if not self.uses:
            self.first = at
        self.rate = self.rate * 0.5 ** ((at - self.last) / HALF_LIFE) + 1.0 if self.uses else 1.0
        self.last, self.uses, self.cost = at, self.uses + 1, self.cost + cost
        hour = int(at // _HOUR) % _WEEK
        self.week[hour] = self.week.get(hour, 0) + 1

    def expected(self, now: float, since: float, until: float) -> float:
        """Requests between two moments: decayed count over its window, times those hours' share."""
        if until <= since:
            return 0.0
        decayed = self.rate * 0.5 ** (max(0.0, now - self.last) / HALF_LIFE)
        span = max(now - self.first, _HOUR)
        window = HALF_LIFE / math.log(2) * (1 - 0.5 ** (span / HALF_LIFE))
        return float(decayed / window * (until - since) * self._season(since, until - since))

    def _season(self, since: float, seconds: float) -> float:
        """How much those hours lie above the question's mean hour; 1 with under two weeks of evidence."""
        if self.uses < 20 or self.last - self.first < 2 * _WEEK * _HOUR:
            return 1.0
        hours = max(1, min(_WEEK, round(seconds / _HOUR)))
        start = int(since // _HOUR)
        coming = sum(self.week.get((start + step) % _WEEK, 0) for step in range(hours)) / hours
        return (coming + 0.5) / (sum(self.week.values()) / _WEEK + 0.5)
