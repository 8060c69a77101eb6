"""Opens one technique of a route to the traffic on which evidence shows that it may act, and closes it again.

Theory of operation. Pairs (`pairs`) show what the options of a technique lose in each cell of the traffic; of the
policies that may be chosen (`policy`) the one is taken that promises most, by an upper bound U of its loss. A policy
with U above the limit acts on the share limit / U of its requests, drawn by session: the worst case fits the limit, and
the share grows as U falls. Looks are taken as the pairs grow by a quarter; the allowed error is divided among the times
by which they grow by .6, since nearer looks are nearly the same look. A small share of the requests on which a
technique may act is always left to everything-off: there a cheap answer beside the dear one is evidence for little.

In force, worse answers among such pairs are watched (`suspicion`). A suspicion stops the technique at once, and a
sequential test of probes settles it: refuted, it is closed, its pairs are forgotten, and it starts anew with half the
allowed error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from hapenny.evidence import policy as policies
from hapenny.evidence.pairs import Cell, Pairs
from hapenny.evidence.policy import Policy
from hapenny.evidence.special import normal_ppf
from hapenny.evidence.suspicion import Suspicion

State: TypeAlias = Literal["closed", "open", "suspended", "refuted"]

FIRST_LOOK, _NEXT, GROWTH, _LOOKS = 60, 1.25, 1.6, 8
_NEAR = 1.5
"""How much more of the error looks take in all that are nearer than the growth it is divided by; simulated worlds
(`studies.certificates`) show that it suffices."""
_CONTROL = 0.03
"""Share of the route's requests that everything-off answers though the technique might, for comparison."""
_CONTROL_RANGE = (0.04, 0.1)
"""The same as a share of the requests on which it might act: at least, and at most."""
_LEAST_SHARE = 0.05
"""A policy that may act on less than that is not worth its doubts."""
_COMPARED = 40
"""Pairs of each of two options from which on it counts which loses less."""
_ELSEWHERE, _OTHERWISE = 0.3, 0.1
"""Chance of a request outside the aim to be drawn, as a share of that of one inside; and of another option than the
one that is aimed at to be tried beside it."""


class Kept(Struct):
    """An opening as it outlives a restart."""

    options: list[str]
    cells: dict[str, Cell]
    questions: float
    policy: Policy
    part: float
    state: State
    bound: float
    due: float
    begun: float
    generation: int
    doubts: list[float]
    why: str
    aim: Policy


class Standing(Struct, frozen=True, kw_only=True):
    """Where a technique stands on a route, for reports. Losses are shares of the route's answers."""

    technique: str
    state: State
    why: str
    limit: float
    bound: float
    """Upper bound of what the policy in force loses; 0 while nothing is open."""
    loss: float
    """What its pairs show."""
    pairs: int
    share: float
    """Of the route's requests that it may act on."""
    cells: dict[str, str]


class Opening:
    """One technique on one route.

    Args:
        technique: its name.
        options: what may be tried, the cheapest first.
        delta: chance that a policy in force ever loses more than its limit.
    """

    def __init__(self, technique: str, options: Sequence[str], delta: float = 0.05) -> None:
        self.technique, self.options, self.delta = technique, tuple(options), delta
        self._pairs = Pairs(options)
        self.policy: Policy = {}
        self.state: State = "closed"
        self.why = "no evidence yet"
        self.bound = 0.0
        self._limit = 0.0
        self.part = 0.0
        """Share of the policy's requests on which it acts."""
        self._due = float(FIRST_LOOK)
        self._begun = 0.0
        """Pairs there were when the error began to be spent anew."""
        self._generation = 0
        self._suspicion = Suspicion()
        self._aim: Policy = {}

    # -- traffic and evidence ------------------------------------------------------------------------------------

    def seen(self, cell: str, worth: float, *, question: bool = True) -> None:
        """A request of the route that the technique could have acted on or not; `worth`: nano-dollars with everything
        off; `question`: it asks anew and does not bring a tool's result."""
        self._pairs.seen(cell, worth, question=question)

    def add(self, cell: str, option: str, net: float, cost: float = 0.0, judging: float = 0.0) -> None:
        """A pair: the net loss in [-1, 1] of an option's answer, and what it cost and what judging it did,
        nano-dollars."""
        self._pairs.add(cell, option, net, cost, judging)

    def acts(self, cell: str, place: float = 0.0) -> str | None:
        """The option that may act in a cell now; None: none. `place`: of the session, drawn in [0, 1)."""
        if self.state != "open" or place >= min(self.part, 1 - self.control):
            return None
        return self.policy.get(self._pairs.name(cell))

    def would(self, cell: str) -> str | None:
        """The same, also while it is suspended."""
        return self.policy.get(self._pairs.name(cell)) if self.state in ("open", "suspended") else None

    def wanted(self, cell: str, draw: Callable[[float], bool]) -> list[str]:
        """The options whose answers to a request of this cell are worth their price as evidence: those that are watched
        there, and those that may open more. `draw`: true with the chance it is told."""
        doubted = self.would(cell)
        aimed = self._aim.get(self._pairs.name(cell))
        options = []
        for option in self.options:
            if option != doubted:
                if self.state == "suspended" or not self.thin:
                    continue
                if not self._hopeful(cell, option) or self._dominated(option):
                    continue
                if aimed is not None and option != aimed and not draw(_OTHERWISE):
                    continue
            options.append(option)
        return options

    def interest(self, cell: str) -> float:
        """How much a pair of this cell is worth, beside those that are aimed at, in (0, 1]."""
        return 1.0 if not self._aim or self._pairs.name(cell) in self._aim else _ELSEWHERE

    def _hopeful(self, cell: str, option: str) -> bool:
        """Whether more pairs of an option in a cell may open it: not once they show that it loses too much."""
        both = self._pairs.all_of(option, [self._pairs.name(cell)])
        return both.n < 30 or both.mean - 2 * both.error < max(4 * self._limit, 0.02)

    def _dominated(self, option: str) -> bool:
        """Whether another option costs less and loses no more, by what pairs show."""
        mine = self._pairs.all_of(option)
        if mine.n < _COMPARED:
            return False
        price = self._pairs.ratio(option)
        others = [(other, self._pairs.all_of(other)) for other in self.options if other != option]
        return any(
            sums.n >= _COMPARED and sums.mean <= mine.mean and self._pairs.ratio(other) < price
            for other, sums in others
        )

    # -- opening -------------------------------------------------------------------------------------------------

    def look(self, limit: float, hidden: float = 0.0) -> bool:
        """Looks at the evidence if a look is due; true if what may act has changed.

        Args:
            limit: the share of the route's answers that the technique may lose.
            hidden: the share of losses that verdicts hide; the limit is lowered by it.
        """
        less = self.state == "open" and limit < self._limit * 0.999
        self._limit = limit
        certifying = self._pairs.certifying
        if self.state == "suspended" or (certifying < self._due and not less):
            return False
        if self._pairs.fade():
            certifying = self._pairs.certifying
            self._begun = certifying / GROWTH
        allowed = limit * (1 - hidden)
        z = normal_ppf(1 - self._spend(certifying))
        if certifying >= self._due:
            self._due = _NEXT * certifying
        borne = policies.best(self._pairs, allowed, z)
        self._aim = policies.aim(self._pairs, allowed, z)
        part = min(1.0, allowed / borne.upper) if borne.upper > 0 else 1.0
        before = (self.policy, round(self.part, 3), self.state)
        if not borne.policy or part < _LEAST_SHARE:
            self.policy, self.part, self.bound = {}, 0.0, 0.0
            self.state = "closed"
            self.why = "the evidence does not bear any opening within the limit"
        else:
            self.policy, self.part = borne.policy, part
            self.bound = max(0.0, part * borne.upper / (1 - hidden))
            self.state, self.why = "open", ""
        return before != (self.policy, round(self.part, 3), self.state)

    def _spend(self, pairs: float) -> float:
        """The error that a look at so many pairs may make."""
        grown = pairs / max(self._begun, FIRST_LOOK)
        turn = max(0, int(math.log(max(1.0, grown)) / math.log(GROWTH)))
        part = self.delta * 0.5**self._generation / (_NEAR * (_LOOKS + 1))
        return float(part * 0.5 ** max(0, turn - _LOOKS + 1))

    # -- watching ------------------------------------------------------------------------------------------------

    def watch(self, net: float, limit: float) -> State | None:
        """Takes the net loss of an audit or probe in a cell of the policy; the state that comes of it, if it changes.
        `limit`: share of the route's answers that the technique may lose."""
        if self.state not in ("open", "suspended"):
            return None
        usual = min(0.3, limit / max(self.share * self.part, 0.02) + self._better())
        self._suspicion.take(net > 0, usual, settling=self.state == "suspended")
        if self._suspicion.lasting:
            return self.refute("audits refute the promise, little by little")
        if self.state == "open":
            if not self._suspicion.raised:
                return None
            self.state, self.why = "suspended", "suspicion: worse answers among few audits"
            self._suspicion.reset()
            return "suspended"
        if self._suspicion.proven:
            return self.refute("audits refute the promise")
        if self._suspicion.cleared:
            self.state, self.why = "open", ""
            self._suspicion.reset()
            return "open"
        return None

    def refute(self, why: str) -> State:
        """Closes the technique at once; what was known is forgotten."""
        self.state, self.why = "refuted", why
        self.policy, self.part, self.bound, self._aim = {}, 0.0, 0.0, {}
        self._pairs.forget()
        self._suspicion = Suspicion()
        self._generation += 1
        self._due = self._begun = FIRST_LOOK * GROWTH**2
        return self.state

    def _better(self) -> float:
        """How often the options in force are better than everything-off."""
        each = [self._pairs.cells[name].options.get(option) for name, option in self.policy.items()]
        tried = [one for one in each if one is not None]
        return (sum(one.better for one in tried) + 1) / (sum(one.seen for one in tried) + 20)

    @property
    def share(self) -> float:
        """Share of the route's requests that the policy covers."""
        return sum(self._pairs.cells[name].asked for name in self.policy) / max(1.0, self._pairs.asked)

    # -- the rest ------------------------------------------------------------------------------------------------

    @property
    def asked(self) -> float:
        """Requests seen."""
        return self._pairs.asked

    @property
    def control(self) -> float:
        """Share of the requests in cells of the policy that everything-off always answers."""
        least, most = _CONTROL_RANGE
        return min(most, max(least, _CONTROL / max(self.share, 1e-9)))

    @property
    def compared(self) -> float:
        """Share of the requests on which it may act that everything-off answers."""
        return max(self.control, 1.0 - self.part) if self.policy else 1.0

    @property
    def thin(self) -> bool:
        """Whether more evidence may open more: the cheapest option acts on less than nine tenths."""
        if self.state != "open":
            return True
        cells = self._pairs.cells
        cheapest = sum(cells[name].asked for name, option in self.policy.items() if option == self.options[0])
        return self.part * cheapest < 0.9 * self._pairs.asked

    def standing(self, limit: float) -> Standing:
        """Where it stands."""
        pairs = self._pairs
        loss = sum(
            pairs.weight(name) * pairs.cells[name].options[option].certifying.mean
            for name, option in self.policy.items()
            if option in pairs.cells[name].options
        )
        return Standing(
            technique=self.technique, state=self.state, why=self.why, limit=limit, bound=self.bound, loss=loss,
            pairs=int(pairs.count), share=self.share * min(self.part, 1 - self.control), cells=dict(self.policy),
        )  # fmt: skip

    def kept(self) -> Kept:
        """What `keep` takes over; its cells are the opening's own."""
        return Kept(
            list(self.options), self._pairs.cells, self._pairs.questions, self.policy, self.part, self.state,
            self.bound, self._due, self._begun, self._generation, self._suspicion.sums, self.why, self._aim,
        )  # fmt: skip

    def dumps(self) -> bytes:
        """What `loads` takes over after a restart."""
        return msgspec.msgpack.encode(self.kept())

    def loads(self, data: bytes) -> None:
        """Goes on from a dump, if it is of the same options. `MsgspecError` or ValueError on nonsense."""
        self.keep(msgspec.msgpack.decode(data, type=Kept))

    def keep(self, kept: Kept) -> None:
        """Goes on from there, if it is of the same options; its cells are the opening's own from now on."""
        if kept.options != list(self.options):
            return
        self._pairs = Pairs(self.options, kept.cells, kept.questions)
        self.policy, self.part, self._aim = kept.policy, kept.part, kept.aim
        self.state, self.bound, self.why = kept.state, kept.bound, kept.why
        self._due, self._begun, self._generation = kept.due, kept.begun, kept.generation
        self._suspicion = Suspicion(kept.doubts)
