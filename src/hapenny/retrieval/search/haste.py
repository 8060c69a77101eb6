"""What a search leaves out where the answer's deadline leaves it less time than it takes."""

from __future__ import annotations

from collections.abc import Callable

from hapenny.core.exchange import Exchange
from hapenny.core.latency import BUDGET, LatencyBudget

STEP = "hybrid_search"
LEAST_DEPTH = 5
"""Passages that a reranker is shown at least: fewer are not worth a call."""


class Haste:
    """Of one search.

    Args:
        budget: what is left of the request's time.
        exchange: on which reactions are written down.
        usual: seconds that reranking takes.
    """

    def __init__(self, budget: LatencyBudget, exchange: Exchange, usual: Callable[[], float]) -> None:
        self._budget = budget
        self._exchange = exchange
        self._usual = usual

    @classmethod
    def of(cls, exchange: Exchange, usual: Callable[[], float]) -> Haste | None:
        """None where the request has no deadline."""
        budget = exchange.stage_notes.get(BUDGET)
        return None if budget is None else cls(budget, exchange, usual)

    def narrow(self, seconds: float = 0.0) -> bool:
        """Whether only the question itself is searched, as it stands: neither its parts nor a model's rewriting, which
        takes `seconds`."""
        spare = self._budget.spare(STEP, self._exchange.clock.now())
        if spare >= max(seconds, self._budget.limits.get(STEP, 0.0)):
            return False
        return self._budget.react(self._exchange, "no_expansion")

    def depth(self, most: int) -> int:
        """How many passages a reranker is shown; 0: it is not asked."""
        spare, usual = self._budget.spare(STEP, self._exchange.clock.now()), self._usual()
        if spare >= usual:
            return most
        share = max(0.0, spare / usual) if usual > 0 else 0.0
        fewer = int(most * share)
        if fewer >= LEAST_DEPTH and self._budget.react(self._exchange, "smaller_rerank"):
            return fewer
        return 0 if self._budget.react(self._exchange, "no_rerank") else most
