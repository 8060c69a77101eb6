"""The cascade: two cheap models answer at once; where they agree, the cheaper one's answer is served.

Agreement of independent models is the strongest signal of a right answer that costs no judge. For comparable answers
(extraction, classification, a number) and for traffic that can wait for a second call. Nothing is sent to the client
before the choice, so an escalation streams nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec import Struct, field

from hapenny.core.answer import Answer, Replay
from hapenny.core.errors import Failure
from hapenny.core.events import Collector, Event
from hapenny.core.exchange import Exchange, Target
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.evidence.judges import agree


class CascadeOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which intents may be cascaded, and the two cheap tiers or models that answer first, the cheaper one first."""

    intents: list[str] = field(default_factory=lambda: ["extraction", "classification"])
    first: list[str] = field(default_factory=lambda: ["fast", "balanced"])
    strong: str = "strong"


class Climb(Decision):
    """The two that are asked first, and the one that is asked where they differ."""

    first: tuple[Target, Target]
    strong: Target


class _Told(Struct):
    branch: Exchange
    events: list[Event]
    text: str


class CascadeStage(Stage):
    """Runs the cascade for routed requests (`auto`, a tier) of the intents that allow it.

    Args:
        options: intents and models.
        find: a target by tier, alias or model name.
        same: whether two answers say the same.
    """

    name = "cascade"

    def __init__(
        self,
        options: CascadeOptions,
        find: Callable[[str], Target | None],
        same: Callable[[str, str], bool] = agree,
    ) -> None:
        self._options, self._find, self._same = options, find, same

    async def decide(self, exchange: Exchange, ask: Ask) -> Climb | None:
        """None for concrete models, for tools (their calls are not comparable text) and for other intents."""
        asked = exchange.facts.get("asked")
        if asked is None or asked.kind == "model" or exchange.intent not in self._options.intents:
            return None
        found = [self._find(name) for name in (*self._options.first, self._options.strong)]
        if exchange.request.tools or len(found) != 3 or any(target is None for target in found):
            return None
        first, second, strong = (target for target in found if target is not None)
        if len({first.model, second.model, strong.model}) < 3:
            return None
        return Climb(first=(first, second), strong=strong, reason=f"{first.model}+{second.model}>{strong.model}")

    async def apply(self, decision: Climb, exchange: Exchange, onward: Onward) -> Answer:
        """Asks both cheap models at once, then serves the first one's answer or climbs."""
        told = await asyncio.gather(*(self._try(exchange, target, onward) for target in decision.first))
        first, second = told
        if first is not None and second is not None and self._same(first.text, second.text):
            exchange.adopt(first.branch)
            exchange.facts["cascade"] = "agreed"
            return Answer(Replay(first.events))
        branch = exchange.branch(f"escalate to {decision.strong.model}", purpose="escalate", payer=self.name)
        branch.target = decision.strong
        answer = await onward(branch)
        exchange.adopt(branch)
        exchange.facts["cascade"] = "escalated"
        return answer

    async def _try(self, exchange: Exchange, target: Target, onward: Onward) -> _Told | None:
        branch = exchange.branch(f"cascade {target.model}", payer=self.name)
        branch.target = target
        events: list[Event] = []
        collector = Collector()
        try:
            answer = await onward(branch)
            try:
                while (batch := await answer.read()) is not None:
                    events.extend(batch)
                    _feed(collector, batch)
            finally:
                answer.close()
            done = collector.finish()
        except Failure:
            return None
        # A cut or refused answer agrees with nothing.
        return _Told(branch, events, done.text) if done.reason in ("end_turn", "stop_sequence") else None


def _feed(collector: Collector, batch: Sequence[Event]) -> None:
    for event in batch:
        collector.feed(event)
