"""The cascade: cheap models answer first, and the strong one only where a gate does not let their answer through.

Agreement of independent models is the strongest signal of a right answer that costs no judge; asked at once, the pair
takes no longer than its slower half. For comparable answers (extraction, classification, a number). Where a second
cheap call costs too much, or answers do not compare, confidence lets through what looks sure: an easy question, an
answer that ended by itself, does not hedge and has the shape that was asked for.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from hapenny.core.answer import Answer
from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Request
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.evidence.json_schema import schema
from hapenny.evidence.judges import agree
from hapenny.routing import complexity
from hapenny.routing.abilities import Lacks
from hapenny.routing.attempts import Attempt, attempt, escalate, serve
from hapenny.routing.fallbacks import STANDS_IN
from hapenny.routing.options import CASCADE_STAGE, CascadeOptions

_HEDGES = re.compile(
    r"\b(?:not sure|unsure|uncertain|don'?t know|do not know|can(?:no|')t (?:determine|tell|answer|help|say)"
    r"|unable to|not enough (?:information|context)|insufficient information|unclear|as an ai)\b",
    re.IGNORECASE,
)


class Climb(Decision):
    """Who is asked first, and who where that does not do. `easy`: a sure answer to this question may be trusted."""

    first: tuple[Target, Target]
    strong: Target
    easy: bool = False


class CascadeStage(Stage, spec=CASCADE_STAGE):
    """Runs the cascade for routed requests (`auto`, a tier) of the intents that allow it.

    Args:
        options: intents and models.
        find: a target by tier, alias or model name.
        same: whether two answers say the same.
        lacks: what a model lacks of what a request needs.
    """

    def __init__(
        self,
        options: CascadeOptions,
        find: Callable[[str], Target | None],
        same: Callable[[str, str], bool] = agree,
        lacks: Lacks = lambda exchange, target: (),
    ) -> None:
        self._options, self._find, self._same, self._lacks = options, find, same, lacks

    async def decide(self, exchange: Exchange, ask: Ask) -> Climb | None:
        """None for concrete models, for tools (their calls are not comparable text) and for other requests."""
        options = self._options
        asked = exchange.asked
        if asked is None or asked.kind == "model" or not options.first or not self._allowed(exchange):
            return None
        if STANDS_IN in exchange.stage_notes:
            return None  # the cheap ones have failed, or were asked already
        alone = options.gate == "confidence"
        names = (options.first[0], options.first[0] if alone else options.first[-1], options.strong)
        targets = [self._find(name) for name in names]
        if exchange.request.tools or any(target is None for target in targets):
            return None
        first, second, strong = (target for target in targets if target is not None)
        if len({first.model, second.model, strong.model}) < (2 if alone else 3):
            return None
        if any(self._lacks(exchange, target) for target in (first, second, strong)):
            return None
        easy = options.gate != "agreement" and (
            complexity.score(exchange.original.question, exchange.intent) < options.confident_below
        )
        names_tried = first.model if alone else f"{first.model}+{second.model}"
        return Climb(first=(first, second), strong=strong, easy=easy, reason=f"{names_tried}>{strong.model}")

    def _allowed(self, exchange: Exchange) -> bool:
        options = self._options
        if "*" in options.intents or exchange.intent in options.intents:
            return True
        return options.background and exchange.context.priority < 0

    async def apply(self, decision: Climb, exchange: Exchange, onward: Onward) -> Answer:
        """Asks the cheap models as the gate says, then serves the first one's answer or climbs."""
        gate = self._options.gate
        first: Attempt | None
        second: Attempt | None = None
        if gate == "agreement":
            first, second = await asyncio.gather(*(self._try(exchange, target, onward) for target in decision.first))
        else:
            first = await self._try(exchange, decision.first[0], onward)
            if first is not None and decision.easy and sure(first.completion.text, exchange.request):
                return serve(exchange, first)
            if gate == "either":
                second = await self._try(exchange, decision.first[1], onward)
        if first is not None and second is not None and self._same(first.completion.text, second.completion.text):
            return serve(exchange, first)
        strong = decision.strong
        return await escalate(exchange, strong, onward, why=f"escalate to {strong.model}", payer=self.name)

    async def _try(self, exchange: Exchange, target: Target, onward: Onward) -> Attempt | None:
        made = await attempt(exchange, target, onward, why=f"cascade {target.model}", payer=self.name)
        # A cut or refused answer agrees with nothing.
        return made if made is not None and made.completion.reason in ("end_turn", "stop_sequence") else None


def sure(text: str, request: Request) -> bool:
    """Whether an answer looks sure: it says something, does not hedge, and is the JSON that was asked for."""
    if not text.strip() or _HEDGES.search(text):
        return False
    wanted = request.parameters.format
    if not isinstance(wanted, dict) or wanted.get("type") not in ("json_object", "json_schema"):
        return True
    shape = (wanted.get("json_schema") or {}).get("schema") or {"type": "object"}
    return schema(text, shape) == 1.0
