"""The judge of sampled pairs: text, then facts, then the evidence in the request, then a model asked in both orders,
whose errors are estimated.

A verdict is a net loss: 1 where the candidate is worse than the reference, -1 where it is better, 0 where neither is.
Models prefer places, so a verdict counts only if it stands when the places are swapped; what a judge errs at random
then falls on both sides alike and cancels in the mean. What does not cancel is that errors hide differences: losses and
gains look smaller than they are. `hidden` estimates by how much, from above, of how often verdicts change with the
places; limits are lowered by it. A share of the pairs that need no judge is shown to it all the same.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec
from msgspec import Struct

from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Request
from hapenny.evidence.facts import Said, compared
from hapenny.evidence.grounding import agree_on_evidence
from hapenny.evidence.llm import Judged

ModelJudge: TypeAlias = Callable[[Exchange, str, str, bool], Awaitable[tuple[Judged, int]]]
"""Asks the judge model which of two answers to an exchange's question is better (True: in both orders also where it
first says neither), and what that cost, nano-dollars."""
Distance: TypeAlias = Callable[[str, str], Awaitable[float]]
"""Loss in [0, 1] of two texts by words, numbers and vectors: where there is no model."""

_CHECKED = 0.05
"""Share of pairs told equal without the judge that it sees all the same."""
_BOTH = 0.15
"""Share of pairs that are asked about in both orders whatever the first verdict: how often verdicts change tells how
often the judge errs."""
_BOTH_FIRST = 40
"""Pairs that all are, before a share of them is: what is unknown of the judge narrows every limit."""
_PRIOR_PAIRS, _PRIOR_SWAPPED = 20.0, 1.5
"""Such pairs, and verdicts that changed with the places, before there are any."""


class PairVerdict(Struct, frozen=True):
    """`net`: loss in [-1, 1] of the candidate; `cost`: nano-dollars; `by`: text, model or vectors."""

    net: float
    cost: int
    by: str


class JudgeRecord(Struct, kw_only=True):
    """What is known of the judge."""

    by_facts: int = 0
    """Pairs told equal by text, facts or evidence."""
    by_model: int = 0
    both: int = 0
    """Pairs that were drawn to be asked about in both orders."""
    swapped: int = 0
    """Of these, verdicts that changed with the places."""
    checked: int = 0
    """Of these, pairs that the model was shown all the same."""
    missed: int = 0
    """Of these, told apart in both orders."""
    cost: int = 0


class PairJudge:
    """Compares answers of one route.

    Args:
        clock: draws the checks.
        model: the judge model, None for none.
        distance: what is said where there is none; such verdicts open nothing.
    """

    def __init__(self, clock: Clock, model: ModelJudge | None, distance: Distance) -> None:
        self._clock, self._model, self._distance = clock, model, distance
        self.record = JudgeRecord()

    @property
    def reads(self) -> bool:
        """Whether a model reads the answers."""
        return self._model is not None

    @property
    def hidden(self) -> float:
        """Upper estimate of the share of a difference that verdicts hide, in [0, .5].

        A judge that errs in a share e of its verdicts errs in one order only with 2 e (1 - e) where its errors hang on
        the order; as many again may hang on the pair and come again when it is swapped.
        """
        record = self.record
        asked = record.both + _PRIOR_PAIRS
        mean = (record.swapped + _PRIOR_SWAPPED) / asked
        upper = min(0.5, mean + math.sqrt(mean * (1 - mean) / asked))
        return min(0.5, 2 * upper)

    async def judge(self, audited: Exchange, candidate: Said, reference: Said) -> PairVerdict:
        """The verdict on a candidate."""
        record = self.record
        same = compared(candidate, reference) == "same" or (
            self._model is not None and _carried(audited, candidate, reference)
        )
        if same:
            record.by_facts += 1
            equal = candidate.shown().strip() == reference.shown().strip()
            if self._model is None or equal or self._clock.random.random() >= _CHECKED:
                return PairVerdict(0.0, 0, "text")
        if self._model is None:
            if candidate.calls != reference.calls:
                return PairVerdict(1.0, 0, "text")
            return PairVerdict(await self._distance(candidate.text, reference.text), 0, "vectors")
        draw = self._clock.random.random
        both, turned = record.both < _BOTH_FIRST or draw() < _BOTH, draw() < 0.5
        first, second = (reference, candidate) if turned else (candidate, reference)
        judged, cost = await self._model(audited, first.shown(), second.shown(), both)
        record.cost += cost
        record.by_model += 1
        if both:
            record.both += 1
            record.swapped += not judged.consistent
        net = (2.0 * judged.score - 1.0) * (1 if turned else -1)
        if same:
            record.checked += 1
            record.missed += net != 0
        return PairVerdict(net, cost, "model")

    def dumps(self) -> bytes:
        """What `loads` takes over."""
        return msgspec.msgpack.encode(self.record)

    def loads(self, data: bytes) -> None:
        """Goes on from a dump; `MsgspecError` on nonsense."""
        self.record = msgspec.msgpack.decode(data, type=JudgeRecord)


def plain(exchange: Exchange) -> Request:
    """The request as it would have been answered with every lossy technique off: what retrieval added stays."""
    base = exchange.original
    for step in exchange.steps:
        if step.technique == "retrieval":
            base = step.request
    return msgspec.structs.replace(base, stream=False)


def _carried(audited: Exchange, candidate: Said, reference: Said) -> bool:
    """Whether the evidence in the audited request carries both answers, which give the same numbers."""
    return agree_on_evidence(candidate, reference, plain(audited), audited.original.question)
