"""Opens one technique of a route to the traffic on which evidence shows that it may act, and closes it again.

Theory of operation. Traffic falls into cells (an intent, or the application's own label), a technique has options (the
cheap tiers, say). Pairs of a drawn request, what the option answers beside what everything-off answers, give a net loss
in [-1, 1] for a cell and option. A policy says which option may act in each cell; its loss over the route's traffic is
the sum over cells of their share times their mean loss.

One pair in four proposes, the others certify. From the proposing ones comes an order of (cell, option) by loss for each
saving, losses shrunk to the option's mean; of its beginnings the one is taken that promises most, and only that one is
tested on the certifying pairs, which its choice has not seen: so the many that were possible need no correction. The
upper bound U of its loss is the stratified mean plus a normal quantile of its standard error, with lost answers added
where the sample is thinnest, as for a Poisson count, since no loss seen is not no loss. A policy with U above the limit
acts on the share limit / U of its requests, drawn by session: the worst case fits the limit, and the share grows as U
falls. Looks are taken as the pairs grow by .6 and share the allowed error. A small share of the requests on which a
technique may act is always left to everything-off: there a cheap answer beside the dear one is evidence for little.

In force, worse answers among such pairs are watched: the promise "net loss at most the limit" means that worse answers
are at most as frequent as better ones plus the limit. Page's cumulative sum (1954) against a rate 2.5 times as high
raises a suspicion; then the technique stops acting, and Wald's sequential test of the two rates settles it by probes. A
refuted technique is closed, its pairs are forgotten, and it starts anew with half the allowed error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct, field

from hapenny.evidence.special import normal_ppf

State: TypeAlias = Literal["closed", "open", "suspended", "refuted"]

CELLS = 64
"""Cells of a technique; further ones share the last."""
_OTHER = "(other)"
FIRST_LOOK, GROWTH, _LOOKS = 80, 1.6, 8
_LEAST = 25
"""Certifying pairs of a cell under which it is looked at together with other small ones."""
_SHRUNK = 40.0
"""Pairs that a cell's own mean loss must outweigh."""
_POOLED = 5.0
_ENOUGH = 5_000.0
_KEPT = 40_000.0
"""Pairs after which old ones begin to fade."""
CONTROL = 0.08
"""Share of the requests on which a technique may act that everything-off answers."""
_LEAST_SHARE = 0.05
"""A policy that may act on less than that is not worth its doubts."""
_WORSE = 2.5
"""How much more frequent worse answers are, against which they are watched."""
_SUSPECT, _REFUTED, _CLEARED = 2.7, 4.6, -2.3
"""Sums of log likelihood ratios: a suspicion; odds of 100 to 1 for it; of 10 to 1 against it."""


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
    part: float
    state: State
    bound: float
    looks: int
    generation: int
    doubt: float
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
        self.part = 0.0
        """Share of the policy's requests on which it acts."""
        self._looks = self._generation = 0
        self._doubt = 0.0

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
        (tried.proposing if tried.seen % 4 == 0 else tried.certifying).add(net)
        tried.seen += 1
        tried.cost += cost
        tried.worse += net > 0
        tried.better += net < 0

    def acts(self, cell: str, place: float = 0.0) -> str | None:
        """The option that may act in a cell now; None: none. `place`: of the session, drawn in [0, 1)."""
        if self.state != "open" or place >= min(self.part, 1 - CONTROL):
            return None
        return self.policy.get(self._name(cell))

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

    def promising(self, option: str) -> bool:
        """Whether a dearer option seems to lose less than the cheapest one, so that it is worth as many pairs."""
        return option == self.options[0] or self._pooled(option)[0] <= self._pooled(self.options[0])[0]

    # -- opening -------------------------------------------------------------------------------------------------

    def look(self, limit: float, hidden: float = 0.0) -> bool:
        """Looks at the evidence if a look is due; true if what may act has changed.

        Args:
            limit: the share of the route's answers that the technique may lose.
            hidden: the share of losses that verdicts hide; the limit is lowered by it.
        """
        self._limit = limit
        if self.state == "suspended" or self._pairs() < FIRST_LOOK * GROWTH**self._looks:
            return False
        self._fade()
        z = normal_ppf(1 - self._spend())
        self._looks += 1
        allowed = limit * (1 - hidden)
        policy = self._proposed(allowed, z)
        upper = self._upper(policy, z, certifying=True) if policy else 0.0
        part = min(1.0, allowed / upper) if upper > 0 else 1.0
        before = (self.policy, round(self.part, 3), self.state)
        if not policy or part < _LEAST_SHARE:
            self.policy, self.part, self.bound, self.state = {}, 0.0, 0.0, "closed"
            self.why = "the evidence does not bear any opening within the limit"
        else:
            self.policy, self.part, self.bound = policy, part, max(0.0, part * upper / (1 - hidden))
            self.state, self.why = "open", ""
        return before != (self.policy, round(self.part, 3), self.state)

    def _spend(self) -> float:
        part = self._delta * 0.5**self._generation / (_LOOKS + 1)
        return float(part if self._looks < _LOOKS else part * 0.5 ** (self._looks - _LOOKS + 1))

    def _proposed(self, allowed: float, z: float) -> dict[str, str]:
        """The beginning of the order that promises most, by the proposing pairs alone."""
        means = {option: self._pooled(option) for option in self.options}
        worth_of_all = max(1e-9, sum(cell.worth for cell in self._cells.values()))
        items: list[tuple[float, float, tuple[str, ...], str]] = []
        for names in self._groups():
            for option in self.options:
                cells = [self._cells[name] for name in names if option in self._cells[name].options]
                if len(cells) < len(names) or sum(each.options[option].certifying.n for each in cells) < _LEAST:
                    continue
                proposing = [each.options[option].proposing for each in cells]
                n = sum(sums.n for sums in proposing)
                loss = (sum(sums.loss for sums in proposing) + _SHRUNK * means[option][0]) / (n + _SHRUNK)
                saving = sum(self._saving(each, option) for each in cells) / worth_of_all
                weight = sum(self._weight(name) for name in names)
                if saving > 0:
                    items.append((weight * loss / saving, saving, names, option))
        best: dict[str, str] = {}
        policy: dict[str, str] = {}
        most, saved = 0.0, dict[str, float]()
        for _, saving, names, option in sorted(items):
            if saving <= saved.get(names[0], 0.0):
                continue
            saved[names[0]] = saving
            policy = policy | dict.fromkeys(names, option)
            upper = self._upper(policy, z, certifying=False)
            promised = sum(saved.values()) * (min(1.0, allowed / upper) if upper > 0 else 1.0)
            if promised > most:
                most, best = promised, policy
        return best

    def _groups(self) -> list[tuple[str, ...]]:
        """Cells, the small ones together: pairs of the option that has most decide which are small."""
        small: list[str] = []
        groups: list[tuple[str, ...]] = []
        for name, cell in self._cells.items():
            pairs = max((tried.certifying.n for tried in cell.options.values()), default=0.0)
            if pairs >= _LEAST:
                groups.append((name,))
            elif pairs:
                small.append(name)
        return [*groups, tuple(small)] if small else groups

    def _saving(self, cell: Cell, option: str) -> float:
        tried = cell.options[option]
        return cell.worth - cell.asked * tried.cost / max(1, tried.seen)

    def _pooled(self, option: str) -> tuple[float, float]:
        both = [cell.options[option].proposing for cell in self._cells.values() if option in cell.options]
        n = sum(each.n for each in both)
        square = (sum(each.square for each in both) + 1) / (n + 1)
        return (sum(each.loss for each in both) / n if n else 0.0), square

    def _upper(self, policy: dict[str, str], z: float, *, certifying: bool) -> float:
        """Upper bound of the policy's loss, as a share of the route's questions; or what it is likely to be, by the
        proposing pairs. Small cells count as one."""
        small = {name for group in self._groups() if len(group) > 1 for name in group}
        sums: dict[tuple[str, str], tuple[float, Sums, float]] = {}
        for name, option in policy.items():
            tried = self._cells[name].options[option]
            key = ("" if name in small else name, option)
            weight, total, pairs = sums.get(key, (0.0, Sums(), 0.0))
            mine = tried.certifying if certifying else tried.proposing
            total = Sums(total.n + mine.n, total.loss + mine.loss, total.square + mine.square)
            sums[key] = (weight + self._weight(name), total, pairs + tried.certifying.n)
        each = list(sums.values())
        pooled = (sum(total.square for _, total, _ in each) + 1) / (sum(total.n for _, total, _ in each) + 1)
        mean = sum(weight * self._shrunk(total, option, certifying) for (_, option), (weight, total, _) in sums.items())
        variance = sum(
            weight**2 * (total.square + _POOLED * pooled) / (total.n + _POOLED) / max(1.0, pairs)
            for weight, total, pairs in each
        )
        thinnest = max(weight / max(1.0, pairs) for weight, _, pairs in each)
        # Rare losses are skewed: the last term is Poisson's, by which the normal bound falls short.
        return mean + z * math.sqrt(variance + thinnest**2) + (z * z + 2) / 3 * thinnest

    def _shrunk(self, total: Sums, option: str, certifying: bool) -> float:
        if certifying:
            return total.mean
        return (total.loss + _SHRUNK * self._pooled(option)[0]) / (total.n + _SHRUNK)

    # -- watching ------------------------------------------------------------------------------------------------

    def watch(self, net: float, limit: float) -> State | None:
        """Takes the net loss of an audit or probe in a cell of the policy; the state that comes of it, if it changes.
        `limit`: share of the route's answers that the technique may lose."""
        if self.state not in ("open", "suspended"):
            return None
        rate = min(0.3, limit / max(self.share * self.part, 0.02) + self._better())
        bad = min(0.9, _WORSE * rate)
        self._doubt += math.log(bad / rate) if net > 0 else math.log((1 - bad) / (1 - rate))
        if self.state == "open":
            self._doubt = max(0.0, self._doubt)
            if self._doubt < _SUSPECT:
                return None
            self.state, self.why, self._doubt = "suspended", "suspicion: worse answers among few audits", 0.0
            return "suspended"
        if self._doubt >= _REFUTED:
            return self.refute("audits refute the promise")
        if self._doubt <= _CLEARED:
            self.state, self.why, self._doubt = "open", "", 0.0
            return "open"
        return None

    def refute(self, why: str) -> State:
        """Closes the technique at once; what was known is forgotten."""
        self.state, self.why = "refuted", why
        self.policy, self.part, self.bound = {}, 0.0, 0.0
        for cell in self._cells.values():
            cell.options.clear()
        self._looks, self._doubt = 2, 0.0
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
    def few(self) -> bool:
        """Whether there are fewer pairs than it takes to show its limit at all, as much as they scatter."""
        if not self._limit:
            return True
        square = min(self._pooled(option)[1] for option in self.options)
        return self._pairs() < min(_ENOUGH, square * (normal_ppf(1 - self._spend()) / self._limit) ** 2)

    @property
    def compared(self) -> float:
        """Share of the requests on which it may act that everything-off answers."""
        return max(CONTROL, 1.0 - self.part) if self.policy else 1.0

    @property
    def thin(self) -> bool:
        """Whether more evidence may open more: nothing is open, or less than nine tenths."""
        return self.state != "open" or self.share * self.part < 0.9

    def standing(self, limit: float) -> Standing:
        """Where it stands."""
        loss = sum(
            self._weight(name) * self._cells[name].options[option].certifying.mean
            for name, option in self.policy.items()
            if option in self._cells[name].options
        )
        return Standing(
            technique=self.technique, state=self.state, why=self.why, limit=limit, bound=self.bound, loss=loss,
            pairs=int(self._all_pairs()), share=self.share * min(self.part, 1 - CONTROL), cells=dict(self.policy),
        )  # fmt: skip

    def dumps(self) -> bytes:
        """What `loads` takes over after a restart."""
        return msgspec.msgpack.encode(
            Kept(
                list(self.options), self._cells, self._questions, self.policy, self.part, self.state, self.bound,
                self._looks, self._generation, self._doubt, self.why,
            )
        )  # fmt: skip

    def loads(self, data: bytes) -> None:
        """Goes on from a dump, if it is of the same options. `MsgspecError` or ValueError on nonsense."""
        kept = msgspec.msgpack.decode(data, type=Kept)
        if kept.options != list(self.options):
            return
        self._cells, self._questions, self.policy, self.part = kept.cells, kept.questions, kept.policy, kept.part
        self.state, self.bound, self.why = kept.state, kept.bound, kept.why
        self._looks, self._generation, self._doubt = kept.looks, kept.generation, kept.doubt

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
