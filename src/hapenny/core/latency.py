"""The latency budget of one request, as the stages that it passes see it: deadline, what is left, what was given up.

Theory of operation. Where a route has a deadline the stage `latency` leaves a `LatencyBudget` on the exchange. A stage
that is about to spend time, or might spend less, asks how much it may spend (`spare`: what is left, less what the steps
behind it are allowed) and, where it would do less or pay more to be in time, whether it may (`react`), which writes it
down. On a route without a deadline there is no note, and nobody asks anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, get_args

from hapenny.core.exchange import Exchange
from hapenny.core.notes import Note

Degradation: TypeAlias = Literal[
    "no_expansion", "smaller_rerank", "no_rerank", "faster_model", "shorter_answer", "stale_answer"
]
"""What may change an answer: counted, bounded in number, told to the client, and never stored by a cache."""
Haste: TypeAlias = Literal["hedge", "faster_tier", "other_region", "baseline_model"]
"""What changes no answer, and may cost more."""
Reaction: TypeAlias = Literal[Degradation, Haste]

DEGRADATIONS: frozenset[str] = frozenset(get_args(Degradation))
REACTIONS: tuple[Reaction, ...] = get_args(Reaction)
WOULD = "would:"
"""Stands before a reaction that a budget in shadow only watched for."""


class LatencyBudget:
    """Of one request and its branches.

    Args:
        began: when the request came, `clock.now()` seconds.
        seconds: from then on, for the whole answer.
        behind: by step, seconds that the steps behind it are allowed together.
        limits: by step, seconds that it is allowed.
        allowed: the reactions that the operator allows.
        acts: False where the budget only watches.
        purse: pays for the first degradation of a request; False: too many were degraded of late.
        predict: seconds until the whole answer would be there if the exchange's model were asked now; None: not known.
        used: seconds by step, once the request is over.
    """

    __slots__ = (
        "_acts",
        "_allowed",
        "_behind",
        "_purse",
        "began",
        "deadline",
        "limits",
        "predict",
        "reactions",
        "seconds",
        "used",
    )

    def __init__(
        self,
        began: float,
        seconds: float,
        behind: Mapping[str, float],
        *,
        allowed: frozenset[str] = frozenset(REACTIONS),
        acts: bool = True,
        purse: Callable[[], bool] = lambda: True,
        predict: Callable[[Exchange], float | None] = lambda exchange: None,
        used: Callable[[Exchange], dict[str, float]] = lambda exchange: {},
        limits: Mapping[str, float] | None = None,
    ) -> None:
        self.began = began
        self.seconds = seconds
        self.deadline = began + seconds
        self.predict = predict
        self.used = used
        self.reactions: list[str] = []
        """In the order they were made."""
        self._behind = behind
        self._allowed = allowed
        self.limits = limits or {}
        self._acts = acts
        self._purse = purse

    def left(self, now: float) -> float:
        """Seconds until the deadline; below 0 behind it."""
        return self.deadline - now

    def due(self, step: str) -> float:
        """When a step has to be over, so that those behind it still have what they are allowed."""
        return self.deadline - self._behind.get(step, 0.0)

    def spare(self, step: str, now: float) -> float:
        """Seconds that a step may take from `now` on, to be over in time."""
        return self.due(step) - now

    @property
    def acts(self) -> bool:
        """Whether anything may be done; else it only watches."""
        return self._acts

    def may(self, reaction: str) -> bool:
        """Whether the operator allows a reaction."""
        return self._acts and reaction in self._allowed

    def react(self, exchange: Exchange, reaction: Reaction) -> bool:
        """Whether a stage is to do so; then it has to. Writes it down, tells the client where the answer may be another
        one, and keeps such an answer out of every cache."""
        if reaction not in self._allowed:
            return False
        if not self._acts:
            self._note(WOULD + reaction)
            return False
        if reaction in DEGRADATIONS:
            if not self.degraded and not self._purse():
                return False
            if reaction != "stale_answer":  # which is an answer as it was given once, and never stored again
                exchange.answer.degraded = exchange.answer.degraded or reaction
            exchange.note(f"degraded={reaction}")
        self._note(reaction)
        return True

    @property
    def degraded(self) -> bool:
        """Whether anything was done that may have changed the answer."""
        return any(reaction in DEGRADATIONS for reaction in self.reactions)

    def _note(self, reaction: str) -> None:
        if reaction not in self.reactions:
            self.reactions.append(reaction)


BUDGET: Note[LatencyBudget] = Note("latency.budget", travels=True)
"""The budget of a request on a route that has a deadline."""

EDGE: Note[tuple[float, float]] = Note("latency.edge")
"""When the server had the request's head, and when it was admitted; `clock.now()` seconds."""
