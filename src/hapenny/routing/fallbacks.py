"""Fallbacks: who answers where the model that was to answer cannot. They save nothing and run in every preset and mode.

Theory of operation. The stage stands behind the choice of a tier and before everything that shapes the call, since
what is shaped (window, prompt cache, parameters) depends on the model. It passes the request on; where that fails
before anything was sent, and another model may do better, it passes a branch on for each fallback in turn. Each of
them keeps one of the request's calls and a half of the time that is left, so that a model which fails slowly leaves
something to its stand-ins. What counts as a failure: throttles, outages, a refused account, a prompt longer than the
window, a model that is gone, and a content filter that stopped the answer before its first word. A request that is
wrong for every model fails at once.

A request for `auto` is moved here as well where the model that would answer lacks what it needs, so that also a
deployment whose tier choice only watches sends no picture to a model that cannot see.
"""

from __future__ import annotations

from collections.abc import Sequence

from hapenny.core.answer import Answer, Replay
from hapenny.core.errors import Failure, Kind
from hapenny.core.events import CitationDelta, Event, Stopped, TextDelta, ThinkingDelta, ToolCallDelta
from hapenny.core.exchange import Exchange, Limits, Target
from hapenny.core.notes import Note
from hapenny.core.shape import BACKED, ROUTED
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.routing.abilities import UNREAD, Lacks, first_able
from hapenny.routing.names import TIERS, Names

STANDS_IN: Note[str] = Note("stands in", travels=True)
"""The model that answers for another one, on the branch of a fallback."""

PATIENCE_S = 2.0
"""How long a call may wait for the model's own quota where another model may answer."""

_OTHERS_MAY: frozenset[Kind] = frozenset({"context_overflow", "not_found", "model_error"})
"""Kinds after which the same model would fail again, and another one may not."""

_FILTERED = frozenset({"content_filtered", "refusal"})
"""Ends that a provider's filter makes. A guardrail is the operator's own: nobody goes round it."""

_SAYS = (TextDelta, ThinkingDelta, ToolCallDelta, CitationDelta)


class Standby(Decision, kw_only=True):
    """Who answers first, and who stands in."""

    target: Target
    others: tuple[Target, ...]


class FallbackStage(Stage):
    """Calls onward again, on other models, where the one that was to answer cannot.

    Args:
        names: what names mean, and which fallbacks they have.
        lacks: what a model lacks of what a request needs.
    """

    name = "fallbacks"
    needs = BACKED | ROUTED

    def __init__(self, names: Names, lacks: Lacks = lambda exchange, target: ()) -> None:
        self._names, self._lacks = names, lacks

    async def decide(self, exchange: Exchange, ask: Ask) -> Standby | None:
        """None where nothing may stand in and the model is able to answer."""
        asked = exchange.asked
        if asked is None:
            return None
        target = exchange.target
        if asked.kind == "auto" and self._lacks(exchange, target):
            target = first_able(exchange, self._stronger_first(target), self._lacks) or target
        others = self._names.fallbacks(asked, target)
        if not others and target is exchange.target:
            return None
        why = "" if target is exchange.target else f"{exchange.target.model} lacks what the request needs"
        return Standby(target=target, others=others, reason=why)

    async def apply(self, decision: Standby, exchange: Exchange, onward: Onward) -> Answer:
        """Passes on; on a failure that another model may not have, passes branches on for the fallbacks in turn.

        Raises:
            Failure: of the model that was to answer, where none of the others could.
        """
        if decision.target is not exchange.target:
            exchange.note(f"model={decision.target.model}: {exchange.target.model} lacks what the request needs")
            exchange.target = decision.target
        others = [target for target in decision.others if target.model != exchange.target.model]
        if not others:
            return await onward(exchange)
        own = exchange.limits
        first: Failure | Sequence[Event]
        exchange.keep_calls(len(others))
        exchange.limits = self._share(exchange, own)
        try:
            answer = await onward(exchange)
            stopped = await _stopped(answer)
            if stopped is None:
                return answer
            first = stopped
        except Failure as failure:
            if not may_stand_in(failure) or exchange.committed:
                raise
            first = failure
        finally:
            exchange.limits = own
        for left, target in zip(reversed(range(len(others))), others, strict=True):
            exchange.keep_calls(left)
            if exchange.committed:
                break
            branch = exchange.branch(f"fallback to {target.model}", payer=self.name)
            branch.target = target
            branch.limits = self._share(exchange, own) if left else own.copy()
            branch.stage_notes[STANDS_IN] = target.model
            if any(not need.endswith(UNREAD) for need in self._lacks(branch, target)):
                continue  # it is known that it cannot
            try:
                answer = await onward(branch)
                if await _stopped(answer) is not None:
                    continue
            except Failure:
                continue  # what it says is about its own account or limits: the client asked for another model
            branch.note(f"fallback={target.model}")
            exchange.adopt(branch)
            return answer
        if isinstance(first, Failure):
            raise first
        return Answer(Replay(first))

    def _share(self, exchange: Exchange, limits: Limits) -> Limits:
        """Limits for a call that others may follow: half of the time that is left, and no long wait for a quota."""
        now, share = exchange.clock.now(), limits.copy()
        share.shorten(begin_by=now + (limits.begin_by - now) / 2)
        if not exchange.request.stream:  # what streams has begun long before
            share.shorten(finish_by=now + (limits.finish_by - now) / 2)
        share.patience = min(share.patience, PATIENCE_S)
        return share

    def _stronger_first(self, target: Target) -> list[Target]:
        """The tiers' models: those above the target's tier first, from the next one up, then those below."""
        tiers = self._names.tiers
        at = next((TIERS.index(tier) for tier, model in tiers.items() if model == target), 0)
        return [tiers[tier] for tier in (*TIERS[at:], *reversed(TIERS[:at])) if tier in tiers]


def may_stand_in(failure: Failure) -> bool:
    """Whether another model may answer what failed so."""
    return failure.retryable or failure.filtered or failure.kind in _OTHERS_MAY


async def _stopped(answer: Answer) -> Sequence[Event] | None:
    """All events of an answer that a content filter stopped before it said anything; None: any other, unread."""
    head = answer.head
    if not any(isinstance(event, Stopped) and event.reason in _FILTERED for event in head):
        return None
    if any(isinstance(event, _SAYS) for event in head):
        return None
    return [event async for event in answer] or None
