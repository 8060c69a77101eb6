"""The latency stage: gives a request its budget, before anything is looked up."""

from __future__ import annotations

from collections.abc import Callable

from hapenny.core.exchange import Exchange
from hapenny.core.latency import BUDGET, EDGE, LatencyBudget
from hapenny.core.stage import Ask, Decision, Stage
from hapenny.responsive.budget import behind, limits, used
from hapenny.responsive.options import LATENCY_STAGE, LatencyRules


class Allowance:
    """How many requests may be degraded: a share of those that came, with a few saved up for a bad minute.

    Args:
        share: of requests.
        saved: the most that may be saved up.
    """

    def __init__(self, share: float, saved: float = 5.0) -> None:
        self._share = share
        self._most = saved
        self._saved = 0.0
        self.refused = 0
        """Degradations that there was no allowance for."""

    def came(self) -> None:
        """A request came."""
        self._saved = min(self._most, self._saved + self._share)

    def take(self) -> bool:
        """Whether one more may be degraded; then it is paid for."""
        if self._saved < 1.0:
            self.refused += 1
            return False
        self._saved -= 1.0
        return True


class LatencyStage(Stage, spec=LATENCY_STAGE):
    """Leaves a `LatencyBudget` on the exchange, from which later stages see what is left.

    Args:
        rules: of the route.
        acts: whether anything is done to keep the deadline; else it is only watched.
        predict: seconds until the whole answer would be there if the exchange's model were asked now; None: not known.
    """

    def __init__(
        self,
        rules: LatencyRules,
        *,
        acts: bool = True,
        predict: Callable[[Exchange], float | None] = lambda exchange: None,
    ) -> None:
        self._seconds = rules.deadline_s
        self._limits = limits(rules.steps)
        self._behind = behind(self._limits)
        self._allowed = frozenset(rules.react)
        self._acts = acts
        self._predict = predict
        self.allowance = Allowance(rules.most_degraded)

    async def decide(self, exchange: Exchange, ask: Ask) -> Decision | None:
        """Nothing to do for work of our own, which nobody waits for."""
        if exchange.background:
            return None
        edge = exchange.stage_notes.get(EDGE)
        began = edge[0] if edge is not None else exchange.arrived
        self.allowance.came()
        exchange.stage_notes[BUDGET] = LatencyBudget(
            began, self._seconds, self._behind, allowed=self._allowed, acts=self._acts, purse=self.allowance.take,
            predict=self._predict, used=used, limits=self._limits,
        )  # fmt: skip
        return None
