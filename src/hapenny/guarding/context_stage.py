"""The context guardrail: what retrieval put into a request is read before a model does."""

from __future__ import annotations

from msgspec.structs import replace

from hapenny.core.answer import Answer
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Block, Request, Text
from hapenny.core.notes import Note
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.guarding.counts import GuardCounts
from hapenny.guarding.options import GUARD_CONTEXT_STAGE, ContextRules
from hapenny.guarding.policy import Policy
from hapenny.guarding.refused import refusal
from hapenny.guarding.remote_guard import RemoteGuard
from hapenny.guarding.request_guard import RequestGuard
from hapenny.guarding.streaming import Tally

_MADE: Note[tuple[Request, tuple[int, ...], Tally, Ask]] = Note("guard_context.made")
"""The request as it may go on, which blocks of its last turn are passages, what was found, and who pays."""


class GuardedContext(Decision):
    """What was found in passages; `reason` counts kinds and holds no text."""

    blocked: str = ""


class ContextGuardStage(Stage, spec=GUARD_CONTEXT_STAGE):
    """Redacts passages, or answers in the model's place.

    Args:
        rules: of the route.
        secret: keys digests of what was read.
        remote: a provider's guardrail that is asked as well.
        counts: of what was found and acted upon.
    """

    def __init__(
        self,
        rules: ContextRules,
        secret: bytes = b"",
        remote: RemoteGuard | None = None,
        counts: GuardCounts | None = None,
    ) -> None:
        self._counts = GuardCounts() if counts is None else counts
        policy = Policy(rules.items, rules.deny, rules.watch, rules.style)
        self._message = rules.message
        self._guard = RequestGuard(policy, rules.injection, secret=secret)
        self._remote = remote

    async def decide(self, exchange: Exchange, ask: Ask) -> GuardedContext | None:
        """Reads the texts that the last turn has and did not come with; None where nothing is in them."""
        request, came = exchange.request, exchange.original
        if not request.messages or not came.messages or request.messages[-1] is came.messages[-1]:
            return None
        last = request.messages[-1]
        own = {block.text for block in came.messages[-1].content if isinstance(block, Text)}
        tally, blocked, passages = Tally(), "", []
        content: list[Block] = []
        for place, block in enumerate(last.content):
            if isinstance(block, Text) and block.text not in own:
                passages.append(place)
                judged = self._guard.text(block.text, foreign=True)
                for what, count in judged.counts:
                    tally.add(what, count)
                blocked = blocked or judged.blocked
                if judged.text is not None:
                    block = replace(block, text=judged.text)
            content.append(block)
        if not tally and (self._remote is None or not passages):
            return None
        exchange.stage_notes[_MADE] = _with(request, tuple(content)), tuple(passages), tally, ask
        return GuardedContext(reason=tally.sentence(), blocked=blocked)

    async def apply(self, decision: GuardedContext, exchange: Exchange, onward: Onward) -> Answer:
        """Goes on with the redacted passages."""
        request, passages, tally, ask = exchange.stage_notes.pop(_MADE)
        self._counts.take(self.name, tally)
        if decision.blocked:
            return refusal(exchange, self._message, decision.blocked, self.name)
        if self._remote is not None:
            content = list(request.messages[-1].content)
            texts = [block.text for place in passages if isinstance(block := content[place], Text)]
            ruling = await self._remote.judge(exchange, ask, texts, "input")
            changed = not ruling.blocked and ruling.texts != tuple(texts)
            self._counts.take_ruling(self.name, self._remote.name, ruling, changed=changed)
            if ruling.blocked:
                return refusal(exchange, ruling.message or self._message, ruling.blocked, self.name)
            for place, text in zip(passages, ruling.texts, strict=True):
                content[place] = replace(content[place], text=text)
            request = _with(request, tuple(content))
            decision.reason = ", ".join(filter(None, (decision.reason, *ruling.found)))
        if decision.reason:
            exchange.note(f"{self.name}={decision.reason}")
        if request.messages != exchange.request.messages:
            exchange.request = request
        return await onward(exchange)


def _with(request: Request, content: tuple[Block, ...]) -> Request:
    """`request` with another last turn."""
    last = replace(request.messages[-1], content=content)
    return replace(request, messages=(*request.messages[:-1], last))
