"""Opens one technique of a route to the traffic on which evidence shows that it may act, and closes it again.

Theory of operation. Traffic falls into cells (an intent, or the application's own label), a technique has options (the
cheap tiers, say). Pairs of a drawn request, what the option answers beside what everything-off answers, give a net loss
in [-1, 1] for a cell and option. A policy says which option may act in each cell; its loss over the route's traffic is
the sum over cells of their share times their mean loss.

Two thirds of the pairs certify, one third proposes. From the proposing ones comes a path of policies, from the safest
on: at falling prices of a lost answer each cell takes the option with the largest saving less that price times its
loss, where losses are shrunk to the option's mean and taken one standard error up. The certifying pairs, which the path
has not seen, test it in that order (Learn-then-Test's fixed sequence, Angelopoulos et al. 2021): the walk stops at the
first policy whose upper bound is above the limit, so the many policies need no correction. The bound is the stratified
mean plus a normal quantile of its standard error, with one lost answer added where the sample is thinnest, without
which no loss seen would mean no loss. Looks are taken as the pairs grow by .6 and share the allowed error.

In force, the share of worse answers in each audit is watched by an e-process (`LossMonitor`): the promise "net loss at
most the limit" means that worse answers are at most as frequent as better ones plus the limit. At a suspicion the
technique stops acting while the question is settled by cheap probes; a refuted technique is closed, its pairs are
forgotten and it starts anew with half the allowed error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from msgspec import Struct, field

from hapenny.evidence.eprocess import LossMonitor, MonitorState
from hapenny.evidence.special import normal_ppf

State: TypeAlias = Literal["closed", "open", "suspended", "refuted"]

CELLS = 64
"""Cells of a technique; further ones share the last."""
_OTHER = "(other)"
_FIRST_LOOK, _GROWTH, _LOOKS = 80, 1.6, 9
_LEAST = 8
"""Certifying pairs of a cell under which it stays closed."""
_SHRUNK = 30.0
"""Pairs that a cell's own mean loss must outweigh."""
_POOLED = 5.0
_PRICES: Sequence[float] = [float(price) for price in np.geomspace(1_000.0, 2.0, 60)]
"""Of a lost answer, in mean requests."""
_KEPT = 40_000.0
"""Pairs after which old ones begin to fade."""
_SUSPECT, _ALARM = 0.1, 0.004
"""Chance that a kept promise is ever suspected, and ever held refuted."""
_CAP = 0.5
"""The highest rate of worse answers that is watched for."""
_SETTLED = 40
"""Pairs without an alarm after which a suspicion is dropped."""


class Sums(Struct):
    """Pairs of one kind: their number, the sum of their losses and of the squares."""

    n: float = 0.0
    loss: float = 0.0
    square: float = 0.0

    def add(self, net: float) -> None:
        """One more pair."""
        self.n += 1
        self.loss += net
        self.square += net * net

    @property
    def mean(self) -> float:
        """Mean net loss, 0 without pairs."""
        return self.loss / self.n if self.n else 0.0


class Tried(Struct):
    """An option in a cell."""

    proposing: Sums = field(default_factory=Sums)
    certifying: Sums = field(default_factory=Sums)
    worse: float = 0.0
    better: float = 0.0
    seen: int = 0
    cost: float = 0.0
    """Nano-dollars its answers cost in all."""


class Cell(Struct):
    """A part of the traffic."""

    asked: float = 0.0
    worth: float = 0.0
    """Nano-dollars that everything-off would have cost."""
    options: dict[str, Tried] = {}


class Kept(Struct):
    """An opening as it outlives a restart."""

    options: list[str]
    cells: dict[str, Cell]
    questions: float
    policy: dict[str, str]
    state: State
    bound: float
    looks: int
    generation: int
    suspicion: MonitorState | None
    settling: int
    why: str


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
        self.technique, self.options, self._delta = technique, tuple(options), delta
        self._cells: dict[str, Cell] = {}
        self._questions = 0.0
        self.policy: dict[str, str] = {}
        self.state: State = "closed"
        self.why = "no evidence yet"
        self.bound = 0.0
        self._limit = 0.0
        self._looks = self._generation = 0
        self._suspicion: LossMonitor | None = None
        self._settling = 0

    # -- traffic and evidence ------------------------------------------------------------------------------------

    def seen(self, cell: str, worth: float, *, question: bool = True) -> None:
        """A request of the route that the technique could have acted on or not; `worth`: nano-dollars with everything
        off; `question`: it asks anew and does not bring a tool's result."""
        known = self._cell(cell)
        known.asked += 1
        known.worth += worth
        self._questions += question

    def add(self, cell: str, option: str, net: float, cost: float = 0.0) -> None:
        """A pair: the net loss in [-1, 1] of an option's answer, and what it cost, nano-dollars."""
        tried = self._cell(cell).options.setdefault(option, Tried())
        (tried.proposing if tried.seen % 3 == 0 else tried.certifying).add(net)
        tried.seen += 1
        tried.cost += cost
        tried.worse += net > 0
        tried.better += net < 0

    def acts(self, cell: str) -> str | None:
        """The option that may act in a cell now; None: none."""
        return self.policy.get(self._name(cell)) if self.state == "open" else None

    def would(self, cell: str) -> str | None:
        """The same, also while it is suspended."""
        return self.policy.get(self._name(cell)) if self.state in ("open", "suspended") else None

    def hopeful(self, cell: str, option: str) -> bool:
        """Whether more pairs of an option in a cell may open it: not once they show that it loses too much."""
        tried = self._cell(cell).options.get(option)
        if tried is None or tried.seen < 30:
            return True
        both = Sums(
            tried.proposing.n + tried.certifying.n,
            tried.proposing.loss + tried.certifying.loss,
            tried.proposing.square + tried.certifying.square,
        )
        error = math.sqrt((both.square + 1) / (both.n * (both.n + 1)))
        return both.mean - 2 * error < max(4 * self._limit, 0.02)

    # -- opening -------------------------------------------------------------------------------------------------

    def look(self, limit: float, hidden: float = 0.0) -> bool:
        """Looks at the evidence if a look is due; true if what may act has changed.

        Args:
            limit: the share of the route's answers that the technique may lose.
            hidden: the share of losses that verdicts hide; the limit is lowered by it.
        """
        self._limit = limit
        if self.state == "suspended" or self._pairs() < _FIRST_LOOK * _GROWTH**self._looks:
            return False
        self._fade()
        z = normal_ppf(1 - self._spend())
        self._looks += 1
        best: dict[str, str] = {}
        bound, before = 0.0, None
        for price in _PRICES:
            policy = self._proposed(price)
            if policy == before:
                continue
            before = policy
            if not policy:
                continue
            upper = self._upper(policy, z)
            if upper > limit * (1 - hidden):
                break
            best, bound = policy, upper / (1 - hidden)
        changed = best != self.policy
        self.policy, self.bound = best, max(0.0, bound)
        if best:
            self.state, self.why = "open", ""
        else:
            self.state, self.why = "closed", "the evidence does not bear any opening within the limit"
        if changed:
            self._suspicion = None
        return changed

    def _spend(self) -> float:
        part = self._delta * 0.5**self._generation / (_LOOKS + 1)
        return float(part if self._looks < _LOOKS else part * 0.5 ** (self._looks - _LOOKS + 1))

    def _proposed(self, price: float) -> dict[str, str]:
        """The policy at a price of a lost answer."""
        means = {option: self._pooled(option) for option in self.options}
        mean_worth = sum(cell.worth for cell in self._cells.values()) / max(1.0, self._asked())
        policy = {}
        for name, cell in self._cells.items():
            best = 0.0
            for option, tried in cell.options.items():
                own = tried.proposing
                if tried.certifying.n < _LEAST or option not in means:
                    continue
                pooled, square = means[option]
                loss = (own.loss + _SHRUNK * pooled) / (own.n + _SHRUNK)
                spread = math.sqrt((own.square + _SHRUNK * square) / (own.n + _SHRUNK) / (own.n + _SHRUNK))
                worth = cell.worth / max(1.0, cell.asked)
                saving = (worth - tried.cost / max(1, tried.seen)) / max(mean_worth, 1e-9)
                value = saving - price * (loss + spread)
                if saving > 0 and value > best:
                    best, policy[name] = value, option
        return policy

    def _pooled(self, option: str) -> tuple[float, float]:
        both = [cell.options[option].proposing for cell in self._cells.values() if option in cell.options]
        n = sum(each.n for each in both)
        square = (sum(each.square for each in both) + 1) / (n + 1)
        return (sum(each.loss for each in both) / n if n else 0.0), square

    def _upper(self, policy: dict[str, str], z: float) -> float:
        """Upper bound of the policy's loss, as a share of the route's questions."""
        each = [(self._weight(name), self._cells[name].options[option].certifying) for name, option in policy.items()]
        pooled = (sum(sums.square for _, sums in each) + 1) / (sum(sums.n for _, sums in each) + 1)
        mean = sum(weight * sums.mean for weight, sums in each)
        variance = sum(
            weight**2 * (sums.square + _POOLED * pooled) / (sums.n + _POOLED) / sums.n for weight, sums in each
        )
        thinnest = max(weight / sums.n for weight, sums in each)
        return mean + z * math.sqrt(variance + thinnest**2)

    # -- watching ------------------------------------------------------------------------------------------------

    def watch(self, net: float, limit: float) -> State | None:
        """Takes the net loss of an audit, or while suspended of a probe, in a cell of the policy; the state that comes
        of it, if it changes. `limit`: share of the route's answers that the technique may lose."""
        if self.state not in ("open", "suspended"):
            return None
        monitor = self._suspicion
        if monitor is None:
            monitor = self._suspicion = LossMonitor(_CAP, _ALARM)
        share = max(self.share, 0.02)
        monitor.update(float(net > 0), limit=min(_CAP, limit / share + self._better()))
        if self.state == "open":
            if monitor.wealth >= 1 / _SUSPECT:
                self.state, self.why, self._settling = "suspended", "suspicion: worse answers among few audits", 0
                return "suspended"
            return None
        self._settling += 1
        if monitor.alarmed:
            return self.refute("audits refute the promise")
        if self._settling >= _SETTLED and monitor.wealth < 1 / _SUSPECT:
            self.state, self.why, self._suspicion = "open", "", None
            return "open"
        return None

    def refute(self, why: str) -> State:
        """Closes the technique at once; what was known is forgotten."""
        self.state, self.why = "refuted", why
        self.policy, self.bound = {}, 0.0
        for cell in self._cells.values():
            cell.options.clear()
        self._looks, self._suspicion, self._settling = 2, None, 0
        self._generation += 1
        return self.state

    def _better(self) -> float:
        """How often the options in force are better than everything-off."""
        each = [self._cells[name].options.get(option, Tried()) for name, option in self.policy.items()]
        pairs = sum(tried.seen for tried in each)
        return (sum(tried.better for tried in each) + 1) / (pairs + 20)

    @property
    def share(self) -> float:
        """Share of the route's requests that the policy covers."""
        return sum(self._cells[name].asked for name in self.policy) / max(1.0, self._asked())

    # -- the rest ------------------------------------------------------------------------------------------------

    @property
    def thin(self) -> bool:
        """Whether more evidence may open more: nothing is open, or less than nine tenths."""
        return self.state != "open" or self.share < 0.9

    def standing(self, limit: float) -> Standing:
        """Where it stands."""
        loss = sum(
            self._weight(name) * self._cells[name].options[option].certifying.mean
            for name, option in self.policy.items()
            if option in self._cells[name].options
        )
        return Standing(
            technique=self.technique, state=self.state, why=self.why, limit=limit, bound=self.bound, loss=loss,
            pairs=int(self._all_pairs()), share=self.share, cells=dict(self.policy),
        )  # fmt: skip

    def dumps(self) -> bytes:
        """What `loads` takes over after a restart."""
        return msgspec.msgpack.encode(
            Kept(
                list(self.options), self._cells, self._questions, self.policy, self.state, self.bound, self._looks,
                self._generation, self._suspicion.state() if self._suspicion is not None else None, self._settling,
                self.why,
            )
        )  # fmt: skip

    def loads(self, data: bytes) -> None:
        """Goes on from a dump, if it is of the same options. `MsgspecError` or ValueError on nonsense."""
        kept = msgspec.msgpack.decode(data, type=Kept)
        if kept.options != list(self.options):
            return
        self._cells, self._questions, self.policy = kept.cells, kept.questions, kept.policy
        self.state, self.bound, self.why = kept.state, kept.bound, kept.why
        self._looks, self._generation, self._settling = kept.looks, kept.generation, kept.settling
        self._suspicion = LossMonitor.restore(kept.suspicion) if kept.suspicion is not None else None

    def _cell(self, name: str) -> Cell:
        name = self._name(name)
        cell = self._cells.get(name)
        if cell is None:
            cell = self._cells[name] = Cell(options={})
        return cell

    def _name(self, cell: str) -> str:
        return cell if cell in self._cells or len(self._cells) < CELLS else _OTHER

    def _weight(self, cell: str) -> float:
        """Requests of a cell for each question of the route."""
        return self._cells[cell].asked / max(1.0, self._questions)

    def _asked(self) -> float:
        return sum(cell.asked for cell in self._cells.values())

    def _pairs(self) -> float:
        """Certifying pairs of the option that has most."""
        return max(
            (
                sum(cell.options[option].certifying.n for cell in self._cells.values() if option in cell.options)
                for option in self.options
            ),
            default=0.0,
        )

    def _all_pairs(self) -> float:
        return sum(tried.seen for cell in self._cells.values() for tried in cell.options.values())

    def _fade(self) -> None:
        """Halves what is old, once there is much of it."""
        if self._pairs() < _KEPT:
            return
        for cell in self._cells.values():
            cell.asked /= 2
            cell.worth /= 2
            for tried in cell.options.values():
                for sums in (tried.proposing, tried.certifying):
                    sums.n, sums.loss, sums.square = sums.n / 2, sums.loss / 2, sums.square / 2
                tried.worse, tried.better, tried.seen = tried.worse / 2, tried.better / 2, tried.seen // 2
                tried.cost /= 2
        self._questions /= 2
        self._looks = max(0, self._looks - 1)
