"""Serve, audit or miss: one decider a route, which keeps the operator's promise on wrong answers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Sequence
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hapenny.caching.semantic.allowance import WINDOW, Allowance
from hapenny.caching.semantic.bound import NO_EVIDENCE, Evidence, threshold
from hapenny.caching.semantic.differences import Differences
from hapenny.caching.semantic.features import NAMES, Candidate, Neighbour, candidate
from hapenny.caching.semantic.memory import Memory
from hapenny.caching.semantic.model import FIRST, ErrorModel
from hapenny.caching.semantic.terms import Terms, contradiction
from hapenny.core.clock import Clock
from hapenny.evidence.eprocess import LossMonitor
from hapenny.evidence.special import normal_ppf

Action: TypeAlias = Literal["serve", "audit", "miss"]

_EVERY = 20
_JUDGED = 3
"""Different answers a miss is compared with at most."""
_JUDGED_AMONG = 10
_ALARM = 0.01
"""Chance that the monitor closes a cache that keeps its promise, ever."""


class Promise(Struct, kw_only=True, forbid_unknown_fields=True):
    """What the operator states for a route."""

    max_error: float = 0.01
    """Wrong answers served / requests."""
    max_wrong_hits: float | None = 0.05
    """Wrong answers served / hits; the stricter of both binds."""
    confidence: float = 0.95
    audit_share: float = 0.08
    """Share of would-be hits that are answered by the model and verified; each counts as a miss. At most 0.1."""
    nearest: float = 0.4
    """Cosine below which a stored question is no neighbour."""

    def __post_init__(self) -> None:
        if not 0 < self.max_error < 1:
            raise ValueError(f"max_error: {self.max_error:g} is outside 0-1; use a share, e.g. 0.01")
        if self.max_wrong_hits is not None and not 0 < self.max_wrong_hits <= 1:
            raise ValueError(f"max_wrong_hits: {self.max_wrong_hits:g} is outside 0-1; use a share, e.g. 0.05")
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"confidence: {self.confidence:g} is outside 0.5-1; use e.g. 0.95")
        if not 0 < self.audit_share <= 0.1:
            raise ValueError(f"audit_share: {self.audit_share:g} is outside 0-0.1; use e.g. 0.08")


class Looked(Struct, frozen=True):
    """What was found for one question and what is to be done."""

    action: Action
    near: list[Neighbour]
    candidate: Candidate | None = None
    score: float = 1.0
    """The model's estimate of the chance that the candidate is wrong, before its label."""
    error: float = 1.0
    """The same as corrected by the verified labels of its band."""
    reason: str = ""
    bounded: bool = True
    """False for hits by a fixed similarity: unproven."""


class DeciderStats(Struct, kw_only=True):
    """Where a route's semantic cache stands."""

    open: bool
    threshold: float
    requests: int
    hits: int
    audits: int
    audits_wrong: int
    labels: int
    closures: int
    closed_because: str
    more_requests: int | None = None
    """About how many more requests open it, if they go on as so far; 0: it is open; None: not in sight."""
    more_days: float | None = None
    """The same in days at the pace so far."""
    outlook: str = ""
    """The same in words."""


class _Dump(Struct):
    model: bytes
    recent: bytes
    requests: int
    differences: bytes
    allowance: tuple[float, float, float, float]


class Decider:
    """Starts closed, opens as verified labels arrive, closes at once when they speak against the promise.

    Pooled over all namespaces of a route: an answer need not earn its own evidence.
    """

    def __init__(self, promise: Promise, clock: Clock, *, fixed: float | None = None) -> None:
        """`fixed`: a similarity threshold instead of the bound; hits by it are marked unproven."""
        self.promise = promise
        self._clock = clock
        self._fixed = fixed
        self._z = normal_ppf(promise.confidence)
        self.model = ErrorModel()
        self._differences = Differences()
        self._evidence = NO_EVIDENCE
        self._stale = False
        """Whether labels came since `_evidence` was read."""
        self.hidden = 0.0
        """Upper estimate of the share of wrong answers that labels call right: the judge's error, priced in."""
        self._monitor = LossMonitor(promise.max_error, _ALARM)
        self._recent: deque[NDArray[np.float64] | None] = deque(maxlen=WINDOW)
        self._scores: NDArray[np.float64] = np.zeros(0)
        self._threshold = 0.0
        self._wait = 0
        self._share = 0.0
        self._allowance = Allowance()
        self._began = clock.wall()
        self._counts = DeciderStats(
            open=False, threshold=0.0, requests=0, hits=0, audits=0, audits_wrong=0, labels=0, closures=0,
            closed_because="no evidence yet",
        )  # fmt: skip

    def look(
        self, asked: Terms, near: Sequence[Neighbour], memory: Memory, *, max_error: float | None = None
    ) -> Looked:
        """Decides on one question; `near` are its neighbours, nearest first.

        Args:
            max_error: the caller's own limit; it only ever makes the cache more careful.
        """
        counts = self._counts
        counts.requests += 1
        self._allowance.request()
        close = [neighbour for neighbour in near if neighbour.similarity >= self.promise.nearest]
        if not close:
            self._see(None)
            return Looked("miss", close, reason="no neighbour")
        nearest = candidate(asked, close, memory, self._differences)
        against = contradiction(asked, nearest.terms, memory.variety(nearest.answer))
        if against:
            self._see(None)
            return Looked("miss", close, nearest, reason=against)
        score = self.model.error(nearest.features)
        self._see(nearest.features)
        if self._fixed is not None:
            action: Action = "serve" if nearest.similarity >= self._fixed else "miss"
            counts.hits += action == "serve"
            return Looked(action, close, nearest, score, score, "fixed similarity", bounded=False)
        limit = self._threshold
        if max_error is not None and max_error < self.promise.max_error:
            limit = min(limit, self._compute(max_error)) if max_error > 0 else 0.0
        if score > limit or limit == 0.0:
            return Looked("miss", close, nearest, score, reason="closed" if limit == 0.0 else "not sure enough")
        error = self._evidence.estimate(score)
        if self._clock.random.random() < self.promise.audit_share:
            counts.audits += 1
            return Looked("audit", close, nearest, score, error, "audit")
        counts.hits += 1
        self._allowance.spend(error / (1 - self.hidden))
        return Looked("serve", close, nearest, score, error)

    def verify(self, looked: Looked, memory: Memory) -> Generator[int, bool | None, int | None]:
        """What to find out about a question that the model has just answered.

        Yields entries; send True if the entry's answer equals the new one, None if nobody looked. Returns the answer to
        store the question under, or None for a new one. The first entry is the candidate whose label counts.
        """
        seen: set[int] = set()
        nearest = looked.candidate
        if nearest is not None and not looked.reason.startswith(_CONTRADICTED):
            equal = yield nearest.entry
            if equal is not None:
                self._learn(looked, nearest, wrong=not equal)
                memory.judged(nearest.entry, nearest.answer, equal)
            if equal:
                return nearest.answer
            seen.add(nearest.answer)
        for neighbour in looked.near[:_JUDGED_AMONG]:
            if neighbour.answer in seen:
                continue
            if len(seen) >= _JUDGED:
                break
            seen.add(neighbour.answer)
            self._counts.labels += 1
            if (yield neighbour.entry):
                return neighbour.answer
        return None

    def take(self, looked: Looked, *, wrong: bool) -> None:
        """A label that another gateway of this deployment came by. What it spent of the promise it has booked."""
        if looked.candidate is not None:
            self._learn(looked, looked.candidate, wrong=wrong, ours=False)

    def report_wrong(self, looked: Looked) -> None:
        """A served answer was reported wrong: a label, and evidence for the monitor."""
        if looked.candidate is not None:
            self._counts.labels += 1
            self._differences.learn(looked.candidate.differing, True)
            self.model.learn(looked.candidate.features, True)
            self._allowance.spend(1 - looked.error)
            self._stale = True
        self._watch(wrong=True)
        self._refresh()

    def close(self, reason: str, *, forget: bool = False) -> None:
        """Serves nothing until new evidence has come; `forget` also drops the model (another embedder)."""
        self.model.void()
        self._evidence, self._stale = NO_EVIDENCE, False
        self._monitor = LossMonitor(self.promise.max_error, _ALARM)
        # What was spent was reckoned with evidence that is void: nothing is carried over from before.
        self._allowance = Allowance()
        if forget:
            self.model.forget()
            self._differences = Differences()
            self._recent.clear()
        self._threshold = 0.0
        self._counts.closures += 1
        self._counts.closed_because = reason

    def stats(self) -> DeciderStats:
        """A copy of the counters."""
        counts = self._counts
        values = {name: getattr(counts, name) for name in counts.__struct_fields__}
        opened = self._threshold > 0 or self._fixed is not None
        values.update(open=opened, threshold=self._threshold, closed_because="" if opened else counts.closed_because)
        more = 0 if opened else self._more_requests()
        days = (self._clock.wall() - self._began) / 86_400
        pace = counts.requests / days if days > 0 else 0.0
        values["more_requests"], values["more_days"] = more, more / pace if more is not None and pace else None
        values["outlook"] = outlook(values["more_requests"], values["more_days"], counts.labels)
        return DeciderStats(**values)

    def _more_requests(self) -> int | None:
        """How many more requests open it, if labels go on to come as they did: the labels there are, counted several
        times over, until they would do."""
        requests, labels = self._counts.requests, self.model.labels
        if not labels or not requests:
            return None
        if self.model.weights is None:
            return math.ceil(requests * (2 * FIRST - labels) / labels)
        scores, wrong = self.model.evidence()
        if not len(scores):
            return None
        for times in _TIMES:
            evidence = Evidence(np.repeat(scores, times), np.repeat(wrong, times))
            if self._compute(self.promise.max_error, evidence) > 0:
                return math.ceil(requests * (times - 1)) or _EVERY
        return None

    def dumps(self) -> bytes:
        """Labels, model, the record of words, the recent requests' features and what is left of the promise."""
        recent = [row for row in self._recent if row is not None]
        rows = np.array(recent, dtype="<f4").tobytes() if recent else b""
        allowance = self._allowance
        account = (allowance.asked, allowance.spent, allowance.expected, allowance.found)
        return msgspec.msgpack.encode(
            _Dump(self.model.dumps(), rows, len(self._recent), self._differences.dumps(), account)
        )

    def loads(self, data: bytes) -> None:
        """Goes on where a dump stopped; ValueError or `MsgspecError` on nonsense."""
        dump = msgspec.msgpack.decode(data, type=_Dump)
        differences = Differences()
        differences.loads(dump.differences)
        self.model.loads(dump.model)
        self._differences, self._allowance = differences, Allowance(*dump.allowance)
        rows = np.frombuffer(dump.recent, "<f4").reshape(-1, len(NAMES)).astype(float)
        self._recent.extend([None] * max(0, dump.requests - len(rows)))
        self._recent.extend(rows)
        self._stale = True
        self._refresh()

    def _learn(self, looked: Looked, nearest: Candidate, *, wrong: bool, ours: bool = True) -> None:
        self._counts.labels += 1
        self._stale = True
        if looked.action == "audit":
            if ours:
                self._counts.audits_wrong += wrong
                self._allowance.audited(looked.error, wrong)
            self._watch(wrong=wrong)
        self._differences.learn(nearest.differing, wrong)
        # An audit that found a hit wrong is looked at now, not at the next turn.
        if self.model.learn(nearest.features, wrong) or (looked.action == "audit" and wrong):
            self._refresh()

    def _watch(self, *, wrong: bool) -> None:
        """Each audit stands for the share of requests that would be hits: its loss is that of a request."""
        if self._monitor.update(self._share if wrong else 0.0):
            self.close("violation")

    def _see(self, features: NDArray[np.float64] | None) -> None:
        self._recent.append(features)
        self._wait += 1
        if self._wait >= _EVERY:
            self._refresh()

    def _refresh(self) -> None:
        """Scores the recent requests with the model as it is now, and finds the threshold."""
        self._wait = 0
        if self.model.weights is None:
            return
        if self._stale:
            self._evidence, self._stale = Evidence(*self.model.evidence()), False
        rows = [row for row in self._recent if row is not None]
        self._scores = self.model.errors(np.array(rows)) if rows else np.zeros(0)
        limit = self._allowance.limit(self.promise.max_error, self._z)
        before, self._threshold = self._threshold, self._compute(limit)
        if before > 0 and self._threshold == 0.0:
            self._counts.closures += 1
            self._counts.closed_because = "labels speak against the promise"
        self._share = float(np.mean(self._scores <= self._threshold) * len(rows) / len(self._recent)) if rows else 0.0

    def _compute(self, max_error: float, evidence: Evidence | None = None) -> float:
        most = self.promise.max_wrong_hits
        return threshold(
            self._evidence if evidence is None else evidence,
            self._scores,
            len(self._recent),
            max_error=max_error * (1 - self.hidden),
            max_wrong_hits=None if most is None else most * (1 - self.hidden),
            z=self._z,
        )


def outlook(requests: int | None, days: float | None, labels: int) -> str:
    """How far a cache is from opening, in words."""
    if requests == 0:
        return "open"
    if requests is None:
        return "not in sight: the answers compared so far differ too often" if labels else "no labels yet"
    pace = "" if days is None else f", {days:.1f} days at this pace" if days >= 0.1 else ", within hours at this pace"
    return f"about {requests:,} more requests{pace}"


_TIMES = (1, 2, 3, 5, 8, 13, 21)
"""How many times the labels so far are counted; beyond that nothing can be said."""

_CONTRADICTED = ("number", "negation", "order", "opposite")
