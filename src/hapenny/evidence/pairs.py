"""What is known of a technique on a route, by cell and option: traffic, what it is worth, pairs and what they showed.

A cell is a part of the traffic (an intent, or the application's own label), an option is what the technique may do
there (a cheaper tier). A pair is a drawn request, what the option answers beside what everything-off answers: a net
loss in [-1, 1]. One pair in five proposes where an option had better not act, the others certify: what the proposing
ones choose, the certifying ones have not seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

CELLS = 64
"""Cells of a technique; further ones share the last."""
_OTHER = "(other)"
_PROPOSING = 5
_PRIOR = 5.0
"""Pairs' worth of the price on the whole that the price in one cell is mixed with."""
_KEPT = 40_000.0
"""Pairs after which old ones begin to fade."""


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

    def join(self, other: Sums) -> None:
        """All pairs of `other` as well."""
        self.n += other.n
        self.loss += other.loss
        self.square += other.square

    def times(self, factor: float) -> Sums:
        """The same pairs, each counted `factor` times."""
        return Sums(self.n * factor, self.loss * factor, self.square * factor)

    @property
    def mean(self) -> float:
        """Mean net loss, 0 without pairs."""
        return self.loss / self.n if self.n else 0.0

    @property
    def error(self) -> float:
        """Standard error of the mean; one pair of each outcome is assumed seen, so that it is never 0."""
        return math.sqrt((self.square + 1) / ((self.n + 1) * max(1.0, self.n)))


class Tried(Struct):
    """An option in a cell."""

    proposing: Sums = field(default_factory=Sums)
    certifying: Sums = field(default_factory=Sums)
    worse: float = 0.0
    better: float = 0.0
    seen: float = 0.0
    cost: float = 0.0
    """Nano-dollars its answers cost in all."""
    judging: float = 0.0
    """Nano-dollars that judging them cost."""


class Cell(Struct):
    """A part of the traffic."""

    asked: float = 0.0
    worth: float = 0.0
    """Nano-dollars that everything-off would have cost."""
    options: dict[str, Tried] = {}


class Pairs:
    """Traffic and pairs of one technique on one route.

    Args:
        options: what may be tried, the cheapest first.
        cells: what is known already.
        questions: of the route's requests, those that ask anew.
    """

    def __init__(self, options: Sequence[str], cells: dict[str, Cell] | None = None, questions: float = 0.0) -> None:
        self.options = tuple(options)
        self.cells = cells if cells is not None else {}
        self.questions = questions
        self._certifying: dict[str, float] = {}
        self._recount()

    def seen(self, cell: str, worth: float, *, question: bool) -> None:
        """A request; `worth`: nano-dollars with everything off."""
        known = self.cell(cell)
        known.asked += 1
        known.worth += worth
        self.questions += question

    def add(self, cell: str, option: str, net: float, cost: float, judging: float) -> None:
        """A pair: its net loss, what the option's answer cost and what judging it cost, nano-dollars."""
        tried = self.cell(cell).options.setdefault(option, Tried())
        if int(tried.seen) % _PROPOSING == 0:
            tried.proposing.add(net)
        else:
            tried.certifying.add(net)
            self._certifying[option] = self._certifying.get(option, 0.0) + 1
        tried.seen += 1
        tried.cost += cost
        tried.judging += judging
        tried.worse += net > 0
        tried.better += net < 0

    def cell(self, name: str) -> Cell:
        """A cell, made where it is new."""
        name = self.name(name)
        cell = self.cells.get(name)
        if cell is None:
            cell = self.cells[name] = Cell(options={})
        return cell

    def name(self, cell: str) -> str:
        """The name under which a cell is kept."""
        return cell if cell in self.cells or len(self.cells) < CELLS else _OTHER

    def tried(self, option: str) -> list[Tried]:
        """An option in all cells in which it was tried."""
        return [cell.options[option] for cell in self.cells.values() if option in cell.options]

    def all_of(self, option: str, cells: Iterable[str] | None = None) -> Sums:
        """All pairs of an option, in some cells or in all."""
        whole = Sums()
        for name in self.cells if cells is None else cells:
            tried = self.cells[name].options.get(option) if name in self.cells else None
            if tried is not None:
                whole.join(tried.proposing)
                whole.join(tried.certifying)
        return whole

    def ratio(self, option: str) -> float:
        """What an option costs for each dollar that everything-off would; 1 while nobody knows."""
        mine = theirs = 0.0
        for cell in self.cells.values():
            tried = cell.options.get(option)
            if tried is not None and cell.asked:
                mine += tried.cost
                theirs += tried.seen * cell.worth / cell.asked
        return mine / theirs if theirs else 1.0

    def ratio_in(self, cell: str, option: str, usual: float) -> float:
        """The same in one cell; `usual`: on the whole, which counts as much as a few pairs."""
        known = self.cells[cell]
        tried, mean = known.options.get(option), known.worth / max(1.0, known.asked)
        if tried is None or mean <= 0:
            return usual
        return (tried.cost + _PRIOR * usual * mean) / ((tried.seen + _PRIOR) * mean)

    def weight(self, cell: str) -> float:
        """Requests of a cell for each question of the route."""
        return self.cells[cell].asked / max(1.0, self.questions)

    def by_worth(self) -> list[str]:
        """Cells with traffic, those first whose requests are worth most. The order tells nothing of losses, so it may
        be used to choose by without a look at them."""
        asked = [name for name, cell in self.cells.items() if cell.asked]
        return sorted(asked, key=lambda name: -self.cells[name].worth / self.cells[name].asked)

    @property
    def asked(self) -> float:
        """All requests."""
        return sum(cell.asked for cell in self.cells.values())

    @property
    def worth(self) -> float:
        """What all requests would cost with everything off, nano-dollars."""
        return sum(cell.worth for cell in self.cells.values())

    @property
    def spent(self) -> float:
        """What all pairs cost, nano-dollars."""
        return sum(tried.cost + tried.judging for option in self.options for tried in self.tried(option))

    @property
    def certifying(self) -> float:
        """Certifying pairs of the option that has most."""
        return max(self._certifying.values(), default=0.0)

    def _recount(self) -> None:
        """Counts the certifying pairs anew: it is asked after each pair, so that they are kept by option."""
        self._certifying = {option: sum(each.certifying.n for each in self.tried(option)) for option in self.options}

    @property
    def count(self) -> float:
        """All pairs."""
        return sum(each.seen for option in self.options for each in self.tried(option))

    def forget(self) -> None:
        """Drops all pairs; the traffic stays."""
        for cell in self.cells.values():
            cell.options.clear()
        self._recount()

    def fade(self) -> bool:
        """Halves what is old, once there is much of it; whether it did."""
        if self.certifying < _KEPT:
            return False
        for cell in self.cells.values():
            cell.asked /= 2
            cell.worth /= 2
            for tried in cell.options.values():
                tried.proposing, tried.certifying = tried.proposing.times(0.5), tried.certifying.times(0.5)
                tried.worse, tried.better, tried.seen = tried.worse / 2, tried.better / 2, tried.seen / 2
                tried.cost, tried.judging = tried.cost / 2, tried.judging / 2
        self.questions /= 2
        self._recount()
        return True
