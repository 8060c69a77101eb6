"""What will be asked, and when it is quiet: forecasts from what was asked before.

A question's demand is forecast from when it was asked: an exponentially decayed rate (half-life a day), times how much
the coming hours lie above its own mean in the hours of the week. An answer ahead saves one answer on demand if the
question comes at all while it is fresh (later requests would have found the first one's answer), so its worth is the
chance of that, by Poisson's law, times the price on demand, less what it costs itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

HALF_LIFE = 86_400.0
HOUR = 3_600.0
DAYS = 14
"""Days whose requests are counted by hour."""
QUIET = 0.5
"""Of the mean hour's requests: at most so many and an hour is quiet."""
_WEEK = 168
_KNOWN = 24
"""Hours that must have been seen before any is called quiet: a whole day."""


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
    """How often each question is asked; bounded to the `most` recent questions."""

    def __init__(self, most: int = 50_000) -> None:
        self.most = most
        self._questions: dict[str, _Question] = {}

    def add(self, requests: Iterable[Asked]) -> None:
        """Reads requests in order of time."""
        for asked in requests:
            question = self._questions.pop(asked.fingerprint, None) or _Question()
            question.see(asked.at, asked.cost)
            self._questions[asked.fingerprint] = question
            if len(self._questions) > self.most:
                self._questions.pop(next(iter(self._questions)))

    def uses(self, fingerprint: str) -> int:
        """How often a question was asked so far."""
        question = self._questions.get(fingerprint)
        return question.uses if question is not None else 0

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
        worth: list[Planned] = []
        for fingerprint, question in self._questions.items():
            if stored(fingerprint):
                continue
            lands = now + delay
            expected = question.expected(now, max(lands, expires(fingerprint)), lands + horizon)
            mean = question.cost / question.uses
            cost = math.ceil(mean * discount)
            saves = int(-math.expm1(-expected) * mean * (1 + wait_worth)) - cost
            if expected >= least and saves > 0:
                worth.append(Planned(fingerprint, expected, cost, saves))
        worth.sort(key=lambda planned: (-planned.saves / max(planned.cost, 1), planned.fingerprint))
        out: list[Planned] = []
        for planned in worth:
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
        hour = int(at // HOUR) % _WEEK
        self.week[hour] = self.week.get(hour, 0) + 1

    def expected(self, now: float, since: float, until: float) -> float:
        """Requests between two moments: decayed count over its window, times those hours' share."""
        if until <= since:
            return 0.0
        decayed = self.rate * 0.5 ** (max(0.0, now - self.last) / HALF_LIFE)
        span = max(now - self.first, HOUR)
        window = HALF_LIFE / math.log(2) * (1 - 0.5 ** (span / HALF_LIFE))
        return float(decayed / window * (until - since) * self._season(since, until - since))

    def _season(self, since: float, seconds: float) -> float:
        """How much those hours lie above the question's mean hour; 1 with under two weeks of evidence."""
        if self.uses < 20 or self.last - self.first < 2 * _WEEK * HOUR:
            return 1.0
        hours = max(1, min(_WEEK, round(seconds / HOUR)))
        start = int(since // HOUR)
        coming = sum(self.week.get((start + step) % _WEEK, 0) for step in range(hours)) / hours
        return (coming + 0.5) / (sum(self.week.values()) / _WEEK + 0.5)


class Load:
    """Counts of requests by hour since the epoch (UTC), of the last two weeks."""

    def __init__(self) -> None:
        self._hours: dict[int, int] = {}

    @property
    def requests(self) -> int:
        """All that are counted."""
        return sum(self._hours.values())

    def add(self, at: float, count: int = 1) -> None:
        """Counts requests at `at` (epoch seconds)."""
        hour = int(at // HOUR)
        self._hours[hour] = self._hours.get(hour, 0) + count
        if len(self._hours) > 24 * DAYS:
            del self._hours[min(self._hours)]

    def load(self, hours: Mapping[int, int]) -> None:
        """Adds what the ledger counted, by hour since the epoch."""
        for hour, count in sorted(hours.items())[-24 * DAYS :]:
            self.add(hour * HOUR, count)

    def quiet_hours(self, now: float) -> frozenset[int] | None:
        """Hours of the day (0-23) with at most half the mean hour's requests; None with less than a day of evidence,
        or where every hour is alike."""
        current = int(now // HOUR)
        first = max(min(self._hours, default=current), current - 24 * DAYS)
        if current - first < _KNOWN:
            return None
        seen, days = [0] * 24, [0] * 24
        for hour in range(first, current):  # the hour under way is not over
            seen[hour % 24] += self._hours.get(hour, 0)
            days[hour % 24] += 1
        means = [count / max(1, number) for count, number in zip(seen, days, strict=True)]
        limit = QUIET * sum(means) / 24
        return frozenset(hour for hour, mean in enumerate(means) if mean <= limit) or None


class OffPeak:
    """When answers are asked for one by one: in hours that are named, else in learnt quiet ones.

    Args:
        load: requests by hour.
        named: hours of the day (UTC, 0-23); empty: any. None: they are learnt.
        ttl: seconds an answer lives.
    """

    def __init__(self, load: Load, named: Sequence[int] | None, ttl: float) -> None:
        self._load = load
        self._named = named
        self._ttl = ttl

    def hours(self, now: float) -> frozenset[int] | None:
        """Hours of the day that are off peak, as known at `now` (epoch seconds); None: any."""
        return self._load.quiet_hours(now) if self._named is None else frozenset(self._named) or None

    def contains(self, at: float, now: float) -> bool:
        """Whether a moment is off peak. Where hours are learnt, also when an answer of the last such hour would not
        have lived until then."""
        hours = self.hours(now)
        if hours is None or int(at // HOUR) % 24 in hours:
            return True
        ended = at // HOUR * HOUR
        while int(ended // HOUR - 1) % 24 not in hours:
            ended -= HOUR
        return self._named is None and at - ended > self._ttl

    def after(self, at: float, now: float) -> float:
        """The first moment from `at` on that is off peak."""
        while not self.contains(at, now):
            at = (at // HOUR + 1) * HOUR
        return at
