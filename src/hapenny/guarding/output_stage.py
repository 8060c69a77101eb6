"""The output guardrail: answers are redacted and stopped on their way out, whoever gave them.

It stands outside the caches. They keep what the model said, under a key that holds the route; whatever goes out of
them passes the rules of the route that asks, as they are now. An answer that was changed or stopped on its way out is
not kept at all, and a route with this stage publishes nothing for a CDN, whose readers it would never see.
"""

from __future__ import annotations

from collections.abc import Sequence

from hapenny.core.answer import Answer
from hapenny.core.events import Event
from hapenny.core.exchange import Exchange
from hapenny.core.notes import Note
from hapenny.core.stage import Ask, Decision, Onward, Stage
from hapenny.guarding.answer_guard import AnswerGuard
from hapenny.guarding.counts import GuardCounts
from hapenny.guarding.options import GUARD_OUTPUT_STAGE, OutputRules
from hapenny.guarding.policy import Policy
from hapenny.guarding.refused import REFUSED
from hapenny.guarding.remote_answer import RemoteAnswer
from hapenny.guarding.remote_guard import RemoteGuard

_ASK: Note[Ask] = Note("guard_output.ask")


class Guards(Decision):
    """An answer will be read; what is found in it, `reason` says when it has ended."""


class OutputGuardStage(Stage, spec=GUARD_OUTPUT_STAGE):
    """Reads every answer of a route.

    Args:
        rules: of the route.
        remote: a provider's guardrail that is asked as well.
        counts: of what was found and acted upon.
    """

    def __init__(
        self, rules: OutputRules, remote: RemoteGuard | None = None, counts: GuardCounts | None = None
    ) -> None:
        self._counts = GuardCounts() if counts is None else counts
        self._rules = rules
        self._policy = Policy(rules.items, rules.deny, rules.watch, rules.style)
        self._remote = remote

    async def decide(self, exchange: Exchange, ask: Ask) -> Guards | None:
        """Always, unless no rule could find anything."""
        if not self._policy and self._remote is None and self._rules.max_characters is None:
            return None
        exchange.stage_notes[_ASK] = ask
        return Guards()

    async def apply(self, decision: Guards, exchange: Exchange, onward: Onward) -> Answer:
        """Stands between the answer and its reader."""
        ask = exchange.stage_notes.pop(_ASK)
        rules = self._rules
        answer = await onward(exchange)
        if REFUSED in exchange.stage_notes:
            return answer
        guard = AnswerGuard(self._policy, rules.message, rules.max_characters)
        source = GuardedAnswer(answer, guard, exchange, decision, self._counts)
        if self._remote is None:
            return Answer(source, begun=answer.begun)
        inner = Answer(source, begun=answer.begun)
        return Answer(RemoteAnswer(inner, self._remote, exchange, ask, rules.message, self._counts), begun=answer.begun)


class GuardedAnswer:
    """A source that reads an answer and hands on what its guard lets through."""

    def __init__(
        self, answer: Answer, guard: AnswerGuard, exchange: Exchange, decision: Guards, counts: GuardCounts
    ) -> None:
        self._answer = answer
        self._guard = guard
        self._exchange = exchange
        self._decision = decision
        self._counts = counts
        self._counted: dict[str, int] = {}
        self._over = False

    async def read(self) -> Sequence[Event] | None:
        """The next batch; where a rule stopped the answer, the last one, and its upstream is let go."""
        while not self._over:
            batch = await self._answer.read()
            if batch is None:
                self._over = True
                out = self._guard.end()
                self._tell()
                return out or None
            out = self._guard.feed(batch)
            if self._guard.stopped:
                self._over = True
                self._tell()
                self._answer.close()
            elif self._guard.tally:
                self._tell()
            if out:
                return out
        return None

    def close(self) -> None:
        """Lets the upstream go."""
        self._over = True
        self._answer.close()

    def _tell(self) -> None:
        """Before the caches behind hear that the answer has ended: what was changed is not kept."""
        guard, exchange = self._guard, self._exchange
        if not guard.tally:
            return
        self._counts.take(GUARD_OUTPUT_STAGE.name, guard.tally, self._counted)
        self._counted = dict(guard.tally)
        sentence = guard.tally.sentence()
        self._decision.reason = sentence
        if guard.changed or any(what.startswith("redacted") for what in guard.tally):
            exchange.answer.guarded = sentence
        if not exchange.committed:
            exchange.note(f"{GUARD_OUTPUT_STAGE.name}={sentence}")
