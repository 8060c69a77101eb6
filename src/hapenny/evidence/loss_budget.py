"""The loss budget of each route: divided among the techniques that can change an answer, and opened as evidence allows.

Theory of operation. The operator states `max_quality_loss`: of the answers that everything-off gets right, the share
that may be lost, net. Each technique that is on has a part of it. Some keep their part themselves (the semantic cache
has a decider of its own; a cascade acts from the first request on, and is watched); the others are closed until an
`Opening` lets them act, cell by cell. A closed technique needs no part: it lends it to the tiers, where it saves most,
until it claims it by a certificate of its own; then the tiers are looked at again under what is left. So does one that
stands aside because it costs more than it saves.

Where no model judges, nothing opens: words and vectors cannot tell a right answer from a wrong one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from hapenny.core.exchange import Exchange
from hapenny.core.log import get_logger
from hapenny.core.messages import ToolResult
from hapenny.evidence.opening import Opening, Standing
from hapenny.evidence.outlook import outlook
from hapenny.telemetry.figures import Ahead

_log = get_logger("hapenny.audits")

WEIGHTS: Mapping[str, float] = {
    "tiers": 6, "semantic": 2, "cascade": 2, "prune": 2, "window": 1, "templates": 1, "prose": 1,
}  # fmt: skip
"""Parts of a route's loss budget, before they are divided among those that are on."""
EVIDENCED = ("tiers", "templates", "window", "prune", "prose")
"""Techniques that are closed until evidence lets them act."""
TIERS = "tiers"
SAMPLED: Mapping[str, int] = {"prune": 8, "prose": 8}
"""Techniques whose decision takes milliseconds of processor time: while closed they watch one request in so many."""
_WATCHED = 500.0
"""Requests of a route of which all are watched."""
_DELTA = 0.05
"""Chance that any technique of a route ever loses more than its part while it is open."""


def parts(limit: float, techniques: Collection[str]) -> dict[str, float]:
    """The part of each technique that is on."""
    whole = sum(WEIGHTS.get(name, 1.0) for name in techniques)
    return {name: limit * WEIGHTS.get(name, 1.0) / whole for name in techniques} if whole else {}


def cell(exchange: Exchange) -> str:
    """The part of the traffic a request belongs to: its intent, else the application's label, the model it is compared
    with where that is its own, and whether it may call a tool or brings a tool's result."""
    name = exchange.intent if exchange.intent != "unknown" else exchange.context.feature or ""
    if exchange.asked is not None and exchange.asked.named is not None:
        name = f"{name}@{exchange.baseline.model}"  # another baseline than the route's
    if brings_result(exchange):
        return f"{name}+result"
    return f"{name}+tools" if exchange.original.tools else name


def brings_result(exchange: Exchange) -> bool:
    """Whether a request goes on after a tool call."""
    last = exchange.original.messages[-1] if exchange.original.messages else None
    return last is not None and any(isinstance(block, ToolResult) for block in last.content)


def place(technique: str, exchange: Exchange) -> float:
    """Where a request stands among all that a technique may act on, in [0, 1): the same for all of a session."""
    context = exchange.context
    who = context.session or context.user or exchange.id
    digest = hashlib.blake2b(f"{technique}\0{context.tenant}\0{who}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class RouteBudget:
    """The budget of one route.

    Args:
        limit: the route's `max_quality_loss`.
        techniques: those on that can change an answer.
        options: what each technique may try, the cheapest first; those without are not opened here.
        at_once: whether all act from the first request on, as the operator said.
        judged: whether a model judges.
        aside: whether a technique of that name stands aside for now and needs no part.
    """

    def __init__(
        self,
        limit: float,
        techniques: Collection[str],
        options: Mapping[str, Sequence[str]],
        *,
        at_once: bool = False,
        judged: bool = True,
        aside: Callable[[str], bool] = lambda technique: False,
    ) -> None:
        self.limit, self.at_once, self.judged, self._aside = limit, at_once, judged, aside
        self.parts = parts(limit, techniques)
        evidenced = [] if at_once else [name for name in EVIDENCED if name in self.parts and options.get(name)]
        shares = {name: WEIGHTS[name] ** 2 for name in evidenced}  # most of it where most is at stake
        whole = sum(shares.values())
        self.openings = {name: Opening(name, options[name], _DELTA * shares[name] / whole) for name in evidenced}
        self._hidden = 0.0

    def limit_of(self, technique: str) -> float:
        """What a technique may lose now: its part, and for the tiers what closed ones lend."""
        part = self.parts.get(technique, 0.0)
        if technique != TIERS:
            return part
        lent = [name for name, each in self.openings.items() if name != TIERS and each.state != "open"]
        lent += [name for name in self.parts if name not in self.openings and self._aside(name)]
        return part + sum(self.parts[name] for name in lent)

    def acts(self, technique: str, exchange: Exchange) -> str | None:
        """The option of a technique that may act on a request; None: closed there."""
        opening = self.openings.get(technique)
        return opening.acts(cell(exchange), place(technique, exchange)) if opening is not None else None

    def closed(self, technique: str, exchange: Exchange) -> int | None:
        """Whether a technique is to watch this request only, and for how many it then stands (0: it does not even
        watch); None: it may act."""
        opening = self.openings.get(technique)
        if opening is None or technique == TIERS or self.acts(technique, exchange) is not None:
            return None
        every = SAMPLED.get(technique, 1)
        if every == 1 or opening.asked < _WATCHED:
            return 1
        return every if exchange.clock.random.random() * every < 1 else 0

    def seen(self, exchange: Exchange, worth: float, *, routed: bool) -> None:
        """A finished request that could be audited; `routed`: routing chooses its model."""
        where, question = cell(exchange), not brings_result(exchange)
        for name, opening in self.openings.items():
            if routed or name != TIERS:
                opening.seen(where, worth, question=question)

    def paired(
        self, technique: str, where: str, option: str, net: float, cost: float = 0.0, judging: float = 0.0
    ) -> None:
        """A pair for a technique's certificate."""
        opening = self.openings.get(technique)
        if opening is not None and option in opening.options:
            opening.add(where, option, net, cost, judging)

    def look(self, hidden: float) -> list[Opening]:
        """Looks at all that is due; those that changed what may act."""
        if not self.judged:
            return []
        self._hidden = hidden
        changed = [each for name, each in self.openings.items() if each.look(self.limit_of(name), hidden)]
        for each in changed:
            share = round(each.share, 3)
            _log.info("a technique is opened as far as evidence bears it", technique=each.technique, share=share)
        return changed

    def watch(self, technique: str, net: float) -> str | None:
        """Takes the net loss of an answer that a technique changed; its new state, if it changes."""
        opening = self.openings.get(technique)
        state = opening.watch(net, self.limit_of(technique)) if opening is not None else None
        if opening is not None and state in ("suspended", "refuted"):
            _log.warning("quality is in doubt: a technique stops acting", technique=technique, state=state)
        return state

    @property
    def in_force(self) -> bool:
        """Whether a technique acts by evidence, or did until it was suspended."""
        return any(each.state in ("open", "suspended") for each in self.openings.values())

    def outlook(self, technique: str) -> list[Ahead]:
        """What a technique may act on now and after so many more requests; empty where evidence opens nothing."""
        opening = self.openings.get(technique)
        if opening is None or not self.judged:
            return []
        return outlook(opening, self.limit_of(technique), self._hidden)

    def standings(self) -> list[Standing]:
        """Who uses what of the budget."""
        told = []
        for name, part in self.parts.items():
            opening = self.openings.get(name)
            if opening is None:
                why = "acts at once, as configured" if self.at_once else "keeps its part by itself"
                told.append(
                    Standing(
                        technique=name, state="open", why=why, limit=part, bound=part, loss=0.0, pairs=0, share=1.0,
                        cells={},
                    )
                )  # fmt: skip
                continue
            standing = opening.standing(self.limit_of(name))
            if not self.judged:
                standing = msgspec.structs.replace(standing, why="no judge is configured (audit_judge)")
            told.append(standing)
        return told


class LossBudgets:
    """The budgets of a deployment, by route.

    Args:
        routes: by name.
        changed: told of each change of what may act: route, and the technique's standing.
    """

    def __init__(
        self, routes: Mapping[str, RouteBudget], changed: Callable[[str, Standing], None] = lambda route, now: None
    ) -> None:
        self.routes = dict(routes)
        self._listeners = [changed]
        self.epochs: dict[str, int] = dict.fromkeys(routes, 0)
        """How often answers of a route became doubtful: stored ones of before are no longer served."""

    def of(self, route: str) -> RouteBudget | None:
        """The budget of a route."""
        return self.routes.get(route)

    def closed(self, route: str, technique: str, exchange: Exchange) -> int | None:
        """Whether a technique is to watch this request only (`RouteBudget.closed`)."""
        budget = self.routes.get(route)
        return budget.closed(technique, exchange) if budget is not None else None

    def listen(self, listener: Callable[[str, Standing], None]) -> None:
        """Tells `listener` of changes as well."""
        self._listeners.append(listener)

    def tell(self, route: str, technique: str) -> None:
        """Tells of a change."""
        for standing in self.routes[route].standings():
            if standing.technique == technique:
                if standing.state == "refuted":
                    self.epochs[route] += 1
                for listener in self._listeners:
                    listener(route, standing)

    def keep(self, before: LossBudgets, same: Callable[[str], bool]) -> None:
        """Goes on with what was known of the routes that are configured as they were."""
        for name, budget in self.routes.items():
            old = before.routes.get(name)
            if old is None or not same(name):
                continue
            self.epochs[name] = before.epochs[name]
            for technique, opening in budget.openings.items():
                known = old.openings.get(technique)
                if known is not None and known.options == opening.options:
                    budget.openings[technique] = known

    def dumps(self) -> bytes:
        """What `loads` takes over after a restart."""
        known = {
            name: {technique: each.dumps() for technique, each in budget.openings.items()}
            for name, budget in self.routes.items()
        }
        return msgspec.msgpack.encode((self.about, self.epochs, known))

    about: Mapping[str, str] = {}
    """How each route is configured: what was learnt under other settings is not taken over."""

    def loads(self, data: bytes) -> None:
        """Goes on from a dump. `MsgspecError` or ValueError on nonsense."""
        about, epochs, known = msgspec.msgpack.decode(
            data, type=tuple[dict[str, str], dict[str, int], dict[str, dict[str, bytes]]]
        )
        for name, budget in self.routes.items():
            if about.get(name) != self.about.get(name):
                continue
            self.epochs[name] = epochs.get(name, 0)
            for technique, opening in budget.openings.items():
                if technique in known.get(name, {}):
                    opening.loads(known[name][technique])
